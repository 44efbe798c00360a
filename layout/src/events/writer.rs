//! The sender's side of a ring.

use super::{
    Extent, HEAD, Kind, NEXT, OLDEST, RECORD_HEADER, RING_HEADER, STARVING, STATE, most_payload,
    place, record_len,
};
use crate::atomic::{Ordering, fence};
use crate::view::WriteView;

/// The one who writes a ring. What is needed for that is private: nothing in the ring is believed, though only this
/// process writes there.
#[derive(Debug)]
pub struct RingWriter {
    ring: WriteView,
    capacity: u64,
    oldest: u64,
    /// End of the last record that was written, perhaps not published yet.
    end: u64,
    /// The number of the next event.
    next: u64,
    /// End of the last record that was published, and the number of the event that follows it.
    head: u64,
    shown: u64,
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
        // Ordered by the record that tells anybody of the ring.
        ring.store64(NEXT, first, Ordering::Relaxed);
        RingWriter {
            ring,
            capacity,
            oldest: 0,
            end: 0,
            next: first,
            head: 0,
            shown: first,
        }
    }

    /// Bytes of records that the ring holds.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Where the records lie that are published.
    pub fn extent(&self) -> Extent {
        Extent {
            oldest: self.oldest,
            head: self.head,
        }
    }

    /// Start of the oldest record.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// End of the newest that is published.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The number of the next event.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The longest payload.
    pub fn most(&self) -> usize {
        most_payload(self.capacity)
    }

    /// Whether a payload of so many bytes can be written without writing over anything.
    #[inline]
    pub fn has_room(&self, payload: usize) -> bool {
        self.end + record_len(payload) <= self.oldest + self.capacity
    }

    /// Up to where records are written over by one with such a payload: `oldest` has to be there, or beyond.
    #[inline]
    pub fn needed(&self, payload: usize) -> u64 {
        (self.end + record_len(payload)).saturating_sub(self.capacity)
    }

    /// Moves `oldest` forward by whole records, at least to `needed` and then on as long as it stays at or before `limit`
    /// and before what is not published; false, and nothing is moved, where there is no such record.
    pub fn forget(&mut self, needed: u64, limit: u64) -> bool {
        let limit = limit.min(self.head);
        let mut oldest = self.oldest;
        while oldest < limit {
            let next = oldest + self.record_at(oldest);
            if next > limit {
                break;
            }
            oldest = next;
        }
        if oldest < needed {
            return false;
        }
        self.oldest = oldest;
        // OLDEST-MOVED, release: who sees it sees a head that is no older.
        self.ring.store64(OLDEST, oldest, Ordering::Release);
        // OLDEST-MOVED, the sender's side.
        fence(Ordering::Release);
        true
    }

    /// Bytes of the record at a position.
    fn record_at(&self, position: u64) -> u64 {
        let (at, _) = place(position, self.capacity);
        let word = self.ring.as_read().load64(at, Ordering::Relaxed);
        record_len(word as u32 as usize)
    }

    /// Writes the next event, for which [there is room](RingWriter::has_room) and which is no longer than
    /// [`RingWriter::most`]. Nobody sees it before [`RingWriter::publish`].
    #[inline]
    pub fn push(&mut self, kind: Kind, time: u64, payload: &[u8]) {
        debug_assert!(payload.len() <= self.most() && self.has_room(payload.len()));
        let kind = match kind {
            Kind::Event => 0,
            Kind::Unfit => 1_u64 << 32,
        };
        let len = record_len(payload.len());
        let (at, left) = place(self.end, self.capacity);
        if (left as u64) < len {
            self.push_around(kind, time, payload);
        } else {
            self.ring
                .store64(at, kind | payload.len() as u64, Ordering::Relaxed);
            self.ring.store64(at + 8, self.next, Ordering::Relaxed);
            self.ring.store64(at + 16, time, Ordering::Relaxed);
            self.write(at + RECORD_HEADER as usize, payload);
        }
        self.end += len;
        self.next += 1;
    }

    /// Writes a record that goes on at the ring's beginning.
    #[cold]
    fn push_around(&mut self, kind: u64, time: u64, payload: &[u8]) {
        let head = [kind | payload.len() as u64, self.next, time];
        for (word, position) in head.into_iter().zip((self.end..).step_by(8)) {
            let (at, _) = place(position, self.capacity);
            self.ring.store64(at, word, Ordering::Relaxed);
        }
        let (at, left) = place(self.end + RECORD_HEADER, self.capacity);
        let (first, rest) = payload.split_at(left.min(payload.len()));
        self.write(at, first);
        self.write(RING_HEADER, rest);
    }

    /// Writes a payload or a part of it, and zeros up to a multiple of eight bytes.
    #[inline]
    fn write(&self, at: usize, bytes: &[u8]) {
        if !bytes.len().is_multiple_of(8) {
            // What is copied at once does not fill up its last word.
            self.ring
                .store64(at + (bytes.len() & !7), 0, Ordering::Relaxed);
        }
        self.ring.copy_in(at, bytes);
    }

    /// Shows everything that was written.
    #[inline]
    pub fn publish(&mut self) {
        (self.head, self.shown) = (self.end, self.next);
        self.ring.store64(NEXT, self.next, Ordering::Relaxed);
        // EVENT-PUBLISHED, release.
        self.ring.store64(HEAD, self.head, Ordering::Release);
    }

    /// Where the last so many events begin of those that are published and still there, and the number of the first of
    /// them. Looks through all of the ring.
    pub fn last(&self, events: u64) -> (u64, u64) {
        if events == 0 {
            return (self.head, self.shown);
        }
        let mut positions = Vec::new();
        let mut at = self.oldest;
        while at < self.head {
            positions.push(at);
            at += self.record_at(at);
        }
        let wanted = usize::try_from(events).unwrap_or(usize::MAX);
        let from = positions.len().saturating_sub(wanted);
        let position = positions.get(from).copied().unwrap_or(self.head);
        (position, self.shown - (positions.len() - from) as u64)
    }

    /// Reads the published record at a position back into a buffer: its kind, its time, and the position of the next one.
    pub fn read_back(&self, position: u64, into: &mut Vec<u8>) -> Option<(Kind, u64, u64)> {
        if position < self.oldest || position >= self.head {
            return None;
        }
        let word = |position| {
            let (at, _) = place(position, self.capacity);
            self.ring.as_read().load64(at, Ordering::Relaxed)
        };
        let head = word(position);
        let kind = if head >> 32 == 0 {
            Kind::Event
        } else {
            Kind::Unfit
        };
        into.clear();
        into.resize(head as u32 as usize, 0);
        let (at, left) = place(position + RECORD_HEADER, self.capacity);
        let (first, rest) = into.split_at_mut(left.min(head as u32 as usize));
        self.ring.as_read().copy_out(at, first);
        if !rest.is_empty() {
            self.ring.as_read().copy_out(RING_HEADER, rest);
        }
        let next = position + record_len(head as u32 as usize);
        Some((kind, word(position + 16), next))
    }

    /// Counts one more of the sender's threads that wait for cursors. Afterwards it looks at the cursors once more, and may
    /// then sleep while *room* of its topic word is as it was before this.
    pub fn starve(&self) {
        self.ring.add32(STARVING, 1, Ordering::Relaxed);
        // CURSOR-OR-STARVING, the sender's side.
        fence(Ordering::SeqCst);
    }

    /// Counts one less.
    pub fn sated(&self) {
        self.ring.add32(STARVING, u32::MAX, Ordering::Relaxed);
    }

    /// Says that there will be no more events.
    pub fn close(&self) {
        // EVENT-PUBLISHED, release: who sees the end sees every record.
        self.ring.store32(STATE, 1, Ordering::Release);
    }
}
