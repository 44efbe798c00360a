//! Notes which record lies at each sixty-fourth of a ring, so that the writer need not walk record by record through
//! everything that it wrote long ago.

const COUNT: u64 = 64;

/// The record that begins at or before each sixty-fourth of a ring, and goes beyond it.
#[derive(Debug)]
pub(super) struct Marks {
    all: Box<[At; COUNT as usize]>,
    /// Bytes from one to the next: two to the power of this.
    apart: u32,
}

/// Where a record begins, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) position: u64,
    pub(super) number: u64,
}

impl Marks {
    /// The marks of an empty ring; its capacity is a power of two, and larger than the number of marks.
    pub(super) fn new(capacity: u64, first: u64) -> Marks {
        let begin = At {
            position: 0,
            number: first,
        };
        Marks {
            all: Box::new([begin; COUNT as usize]),
            apart: (capacity / COUNT).trailing_zeros(),
        }
    }

    /// Notes a record of `len` bytes that was written.
    #[inline]
    pub(super) fn note(&mut self, at: At, len: u64) {
        // The first mark at or behind where it begins, and the last one before its end.
        let first = (at.position + (1 << self.apart) - 1) >> self.apart;
        let last = (at.position + len - 1) >> self.apart;
        for mark in first..=last {
            self.all[(mark % COUNT) as usize] = at;
        }
    }

    /// A marked record that begins after `behind` and at most at `limit`, not much before `limit`; `None` if no mark
    /// has one. Both positions are of records that are still in the ring.
    pub(super) fn before(&self, limit: u64, behind: u64) -> Option<At> {
        let at = self.all[((limit >> self.apart) % COUNT) as usize];
        (behind < at.position && at.position <= limit).then_some(at)
    }
}
