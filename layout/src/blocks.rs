//! The allocator of payload blocks. Its state lies in private memory of the plugin that writes the blocks.
//!
//! One word has a bit for each block, so that many threads allocate without a lock. Nothing needs
//! repair when the process is killed: the word dies with it.

use crate::atomic::{AtomicU64, Ordering};
use crate::geometry::{BLOCKS, Geometry};
use crate::view::{ReadView, WriteView};

/// Where payload blocks lie: in an outbox, or in an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    base: usize,
    len: usize,
}

impl Region {
    /// The payload blocks of an outbox.
    pub const fn outbox(geometry: Geometry) -> Region {
        Region {
            base: geometry.blocks_at(),
            len: geometry.blocks_len(),
        }
    }

    /// The payload blocks of an extent, which has nothing else in it.
    pub const fn extent(len: usize) -> Region {
        Region { base: 0, len }
    }

    /// Bytes of one block.
    pub const fn block_len(&self) -> usize {
        self.len / BLOCKS
    }

    /// Bytes of all blocks.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no blocks.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where a block lies in its memory.
    pub const fn block_at(&self, block: u8) -> usize {
        self.base + block as usize * self.block_len()
    }

    /// Whether a payload of `length` bytes that begins with `block` stays inside.
    pub const fn holds(&self, block: u8, length: u32) -> bool {
        block as usize * self.block_len() + length as usize <= self.len
    }
}

/// Which of an outbox's or an extent's blocks are free.
#[derive(Debug)]
pub struct Blocks {
    /// A one for each free block.
    free: AtomicU64,
    region: Region,
}

/// Neighbouring blocks that belong to one payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    first: u8,
    count: u8,
}

impl Run {
    /// The first block's number, as it stands in an envelope.
    pub fn first(&self) -> u8 {
        self.first
    }

    fn mask(&self) -> u64 {
        ones(self.count) << self.first
    }
}

impl Blocks {
    /// An allocator for this region, with all blocks free.
    pub fn new(region: Region) -> Blocks {
        Blocks {
            free: AtomicU64::new(u64::MAX),
            region,
        }
    }

    /// Where its blocks lie.
    pub fn region(&self) -> Region {
        self.region
    }

    /// The longest payload that could ever fit.
    pub fn capacity(&self) -> usize {
        self.region.len()
    }

    /// Takes blocks for `len` bytes; `None` while there are not enough in a row.
    pub fn allocate(&self, len: usize) -> Option<Run> {
        let count = u8::try_from(len.div_ceil(self.region.block_len()).max(1)).ok()?;
        let mut free = self.free.load(Ordering::Relaxed);
        loop {
            let run = Run {
                first: first_fit(free, count)?,
                count,
            };
            // BLOCKS-FREED, acquire: the thread that freed these blocks is done with reading or writing them.
            match self.free.compare_exchange_weak(
                free,
                free & !run.mask(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(run),
                Err(now) => free = now,
            }
        }
    }

    /// Gives a run back. Each run is given back once.
    pub fn free(&self, run: Run) {
        // BLOCKS-FREED, release. FREED-OR-WAITER, the thread that frees: acquire, as in `Pending::free`.
        let before = self.free.fetch_or(run.mask(), Ordering::AcqRel);
        debug_assert_eq!(before & run.mask(), 0, "a run was freed twice");
    }

    /// Orders this thread with the threads that free blocks. This thread sees, after this, every block freed
    /// before; a thread that frees blocks later sees what this thread did before.
    pub fn order_with_frees(&self) {
        // FREED-OR-WAITER, the thread that waits: a read-modify-write that leaves the value as it is; the thread
        // that takes blocks acquires.
        self.free.fetch_or(0, Ordering::Release);
    }

    /// How many blocks are taken.
    pub fn taken(&self) -> u32 {
        self.free.load(Ordering::Relaxed).count_zeros()
    }
}

/// Copies a payload into its run; it is published with the envelope that names the run.
pub fn write(memory: &WriteView, region: Region, run: Run, payload: &[u8]) {
    memory.copy_in(region.block_at(run.first), payload);
}

/// Copies a payload out of a peer's memory. The region [`holds`](Region::holds) it.
pub fn read(memory: &ReadView, region: Region, block: u8, into: &mut [u8]) {
    memory.copy_out(region.block_at(block), into);
}

const fn ones(count: u8) -> u64 {
    if count >= 64 {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}

/// The lowest place where `count` ones stand in a row.
fn first_fit(free: u64, count: u8) -> Option<u8> {
    if count == 0 || usize::from(count) > BLOCKS {
        return None;
    }
    // Bit `i` of `starts` is set if the bits `i .. i + have` of `free` all are.
    let (mut starts, mut have) = (free, 1);
    while have < count {
        let step = have.min(count - have);
        starts &= starts >> step;
        have += step;
    }
    (starts != 0).then(|| starts.trailing_zeros() as u8)
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_region_says_where_its_blocks_lie() {
        let outbox = Region::outbox(Geometry::DEFAULT);
        assert_eq!((outbox.len(), outbox.is_empty()), (64 << 10, false));
        assert_eq!((outbox.block_at(0), outbox.block_at(63)), (20480, 84992));
        let extent = Region::extent(1 << 20);
        assert_eq!((extent.block_at(0), extent.block_at(2)), (0, 32 << 10));
        assert!(extent.holds(63, 16 << 10) && !extent.holds(63, (16 << 10) + 1));
        assert!(Region::extent(0).is_empty() && !extent.is_empty());
    }

    proptest! {
        #[test]
        fn first_fit_is_the_lowest_run(free: u64, count in 0u8..70) {
            let naive = (0..64u8).find(|&first| {
                count > 0 && u32::from(first) + u32::from(count) <= 64
                    && (first..first + count).all(|bit| free >> bit & 1 == 1)
            });
            prop_assert_eq!(first_fit(free, count), naive);
        }

        #[test]
        fn runs_never_overlap_and_all_come_back(lens in proptest::collection::vec(0usize..70_000, 1..40)) {
            let blocks = Blocks::new(Region::outbox(Geometry::DEFAULT));
            let mut runs: Vec<Run> = Vec::new();
            for len in lens {
                match blocks.allocate(len) {
                    Some(run) => {
                        prop_assert!(runs.iter().all(|r| r.mask() & run.mask() == 0));
                        prop_assert!(usize::from(run.count) * 1024 >= len);
                        runs.push(run);
                    }
                    None => if let Some(run) = runs.pop() { blocks.free(run) },
                }
            }
            runs.drain(..).for_each(|run| blocks.free(run));
            prop_assert_eq!(blocks.taken(), 0);
        }
    }
}
