//! The sender's side of a ring.

use super::ahead::Ahead;
use super::marks::{At, Marks};
use super::{
    ALIGNMENT, Extent, HEAD, Header, Kind, NEXT, OLDEST, RECORD_HEADER, RING_HEADER, STARVING,
    STATE, most_payload, place, record_len,
};
use crate::atomic::{Ordering, fence};
use crate::geometry::CELL_LEN;
use crate::view::WriteView;

/// How far ahead lines are claimed: about what is sent while a line comes from another core. Twice as much made no
/// difference.
const AHEAD: u64 = 512;

/// The sender's side of a ring. The positions of records are in private memory. Their lengths are read back from the ring,
/// which only this process can write: the broker sealed the memory before any other process had it.
#[derive(Debug)]
pub struct RingWriter {
    ring: WriteView,
    capacity: u64,
    /// Start of the oldest record, and its number.
    oldest: u64,
    first: u64,
    marks: Marks,
    written: End,
    published: End,
}

/// Where the records end.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Start of the newest.
    newest: u64,
    /// Its end.
    end: u64,
    /// The number of the one after it.
    next: u64,
}

impl RingWriter {
    /// The writer of an empty ring; its capacity is what the memory has behind the header. The first event that is
    /// written into it has this number.
    pub fn new(ring: WriteView, first: u64) -> RingWriter {
        let capacity = (ring.as_read().len() - RING_HEADER) as u64;
        assert!(
            capacity.is_power_of_two(),
            "a ring's capacity is a power of two"
        );
        // Ordered by the record through which others learn of the ring.
        ring.store64(NEXT, first, Ordering::Relaxed);
        let empty = End {
            newest: 0,
            end: 0,
            next: first,
        };
        RingWriter {
            ring,
            capacity,
            oldest: 0,
            first,
            marks: Marks::new(capacity, first),
            written: empty,
            published: empty,
        }
    }

    /// Bytes of records that the ring holds.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The positions of the published records.
    pub fn extent(&self) -> Extent {
        Extent {
            oldest: self.oldest,
            head: self.published.end,
        }
    }

    /// Start of the oldest record.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// End of the newest that is published.
    pub fn head(&self) -> u64 {
        self.published.end
    }

    /// The number of the next event.
    pub fn next(&self) -> u64 {
        self.written.next
    }

    /// The longest payload.
    pub fn most(&self) -> usize {
        most_payload(self.capacity)
    }

    /// Whether a payload of this length can be written without writing over older records.
    #[inline]
    pub fn has_room(&self, payload: usize) -> bool {
        self.written.end + record_len(payload) <= self.oldest + self.capacity
    }

    /// The position up to which a record with a payload of this length writes over older ones: `oldest` must be there or
    /// beyond before it is written.
    #[inline]
    pub fn needed(&self, payload: usize) -> u64 {
        (self.written.end + record_len(payload)).saturating_sub(self.capacity)
    }

    /// Moves `oldest` forward by whole records: to the first that begins at `needed` or behind it, and then on as long as
    /// it stays at or before `limit`. Returns false, and moves nothing, if there is no such record.
    ///
    /// The newest published record stays: a reader that was overtaken finds there how many events it has lost, even if the
    /// sender dies before it publishes the next one. So a batch that needs more room is published first; once all of it
    /// is, there is room for any event.
    pub fn forget(&mut self, needed: u64, limit: u64) -> bool {
        let newest = self.published.newest;
        let far = self.marks.before(limit.min(newest), self.oldest);
        let (mut oldest, mut first) = match far {
            Some(At { position, number }) => (position, number),
            None => (self.oldest, self.first),
        };
        while oldest < newest {
            let next = oldest + self.record_at(oldest);
            if oldest >= needed && next > limit {
                break;
            }
            (oldest, first) = (next, first + 1);
        }
        if oldest < needed {
            return false;
        }
        (self.oldest, self.first) = (oldest, first);
        // OLDEST-MOVED, release: a reader that sees it finds the record there, and a head behind that.
        self.ring.store64(OLDEST, oldest, Ordering::Release);
        // OLDEST-MOVED, the sender's fence.
        fence(Ordering::Release);
        true
    }

    /// Bytes of the record at a position.
    fn record_at(&self, position: u64) -> u64 {
        let (at, _) = place(position, self.capacity);
        let word = self.ring.as_read().load64(at, Ordering::Relaxed);
        record_len(Header::len_of(word))
    }

    /// Writes the next event, for which [there is room](RingWriter::has_room) and which is no longer than
    /// [`RingWriter::most`]. Readers do not see it before [`RingWriter::publish`].
    #[inline]
    pub fn push(&mut self, kind: Kind, time: u64, payload: &[u8]) {
        debug_assert!(payload.len() <= self.most() && self.has_room(payload.len()));
        let len = record_len(payload.len());
        let End { end, next, .. } = self.written;
        let (at, left) = place(end, self.capacity);
        let header = Header {
            len: payload.len(),
            is_unfit: kind == Kind::Unfit,
            number: next as u32,
            time,
        };
        self.ring.store_words(at, header.words());
        if (left as u64) < len {
            self.push_around(payload);
        } else {
            self.write(at + RECORD_HEADER as usize, payload);
        }
        let at = At {
            position: end,
            number: next,
        };
        self.marks.note(at, len);
        self.written = End {
            newest: end,
            end: end + len,
            next: next + 1,
        };
        self.claim_ahead();
    }

    /// Where the next records will lie.
    pub fn ahead(&self) -> Ahead {
        Ahead::new(self.ring.as_read().clone(), self.capacity, self.written.end)
    }

    /// Has the processor fetch the lines that will soon be written. They are in the caches of the cores that read them in
    /// the ring's last round. Without this, each event that is published by itself would wait for its lines, in the fence
    /// that follows it.
    #[inline]
    fn claim_ahead(&self) {
        let (at, left) = place(self.written.end + AHEAD, self.capacity);
        if left >= CELL_LEN {
            self.ring.claim_cell(at);
        }
    }

    /// Writes the payload of the next record where that goes on at the ring's beginning.
    #[cold]
    fn push_around(&mut self, payload: &[u8]) {
        let (at, left) = place(self.written.end + RECORD_HEADER, self.capacity);
        let (first, rest) = payload.split_at(left.min(payload.len()));
        self.write(at, first);
        self.write(RING_HEADER, rest);
    }

    /// Writes a payload or a part of it, and zeros up to the next record.
    #[inline]
    fn write(&self, at: usize, bytes: &[u8]) {
        let rest = bytes.len() % ALIGNMENT as usize;
        if rest != 0 {
            self.ring.store_words(at + bytes.len() - rest, [0; 2]);
        }
        self.ring.copy_in_by_pairs(at, bytes);
    }

    /// Publishes all records that were written.
    #[inline]
    pub fn publish(&mut self) {
        self.published = self.written;
        self.ring
            .store64(NEXT, self.published.next, Ordering::Relaxed);
        // EVENT-PUBLISHED, release.
        self.ring
            .store64(HEAD, self.published.end, Ordering::Release);
    }

    /// Where the last `events` published events begin that are still in the ring, and the number of the first of them.
    /// Walks past all older records.
    pub fn last(&self, events: u64) -> (u64, u64) {
        if events == 0 {
            return (self.published.end, self.published.next);
        }
        let number = self.published.next.saturating_sub(events);
        let number = number.max(self.first);
        let mut at = self.oldest;
        for _ in self.first..number {
            at += self.record_at(at);
        }
        (at, number)
    }

    /// Reads the published record at a position back into a buffer: its kind, its time, and the position of the next one.
    pub fn read_back(&self, position: u64, into: &mut Vec<u8>) -> Option<(Kind, u64, u64)> {
        if position < self.oldest || position >= self.published.end {
            return None;
        }
        let word = |position| {
            let (at, _) = place(position, self.capacity);
            self.ring.as_read().load64(at, Ordering::Relaxed)
        };
        let header = Header::new([word(position), word(position + 8)]);
        let kind = match header.is_unfit {
            false => Kind::Event,
            true => Kind::Unfit,
        };
        into.clear();
        into.resize(header.len, 0);
        let (at, left) = place(position + RECORD_HEADER, self.capacity);
        let (first, rest) = into.split_at_mut(left.min(header.len));
        self.ring.as_read().copy_out(at, first);
        if !rest.is_empty() {
            self.ring.as_read().copy_out(RING_HEADER, rest);
        }
        Some((kind, header.time, position + record_len(header.len)))
    }

    /// Counts one more of the sender's threads that wait for cursors. Afterwards it looks at the cursors once more, and may
    /// then sleep while *room* of its topic word is as it was before this.
    pub fn starve(&self) {
        self.ring.add32(STARVING, 1, Ordering::Relaxed);
        // CURSOR-OR-STARVING, the sender's side.
        fence(Ordering::SeqCst);
    }

    /// Counts one waiting thread less.
    pub fn sated(&self) {
        self.ring.add32(STARVING, u32::MAX, Ordering::Relaxed);
    }

    /// Closes the ring: there will be no more events.
    pub fn close(&self) {
        // EVENT-PUBLISHED, release: a reader that sees the end sees every record.
        self.ring.store32(STATE, 1, Ordering::Release);
    }
}
