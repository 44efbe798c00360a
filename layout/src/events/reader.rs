//! A listener's side of a ring. Nothing in the ring is trusted: each value is read once, and checked.

use super::run::Run;
use super::{
    ALIGNMENT, HEAD, Header, LEAST_CAPACITY, NEXT, OLDEST, RECORD_HEADER, RING_HEADER, STARVING,
    STATE, most_payload, place, record_len,
};
use crate::atomic::{Ordering, fence};
use crate::buffer::OutOfMemory;
use crate::view::ReadView;

/// Positions and numbers beyond this are no correct sender's.
const MOST: u64 = u64::MAX / 2;

/// Limits of one copy: as many events as a dispatcher takes at a time, and this many bytes, unless a single event is longer.
const MOST_EVENTS: u64 = 16;
const MOST_BYTES: u64 = 4096;

/// One place in a ring, from which events are taken in order.
#[derive(Debug)]
pub struct RingReader {
    ring: ReadView,
    capacity: u64,
    position: u64,
    /// The number that the record there must have.
    number: u64,
    /// The head as it was read last. The reader does not read it again before it reaches it, so that the line stays in the
    /// sender's cache.
    head: u64,
}

/// Result of looking for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There is no event now.
    Nothing,
    /// There is no event, and the sender has closed the ring.
    Closed,
    /// The run holds an event. Its number is one less than the [next](RingReader::number).
    Event,
    /// The sender wrote over this many events before the reader took them; the next look goes on behind them.
    Lost(u64),
    /// The sender wrote over the events during the copy. Look again after everything else.
    Again,
    /// There is no memory for a copy of the next event. Try again later.
    OutOfMemory(OutOfMemory),
    /// The sender wrote what no correct sender writes. The listener must not read this ring any more.
    Broken(&'static str),
}

impl RingReader {
    /// A reader that begins at this position, where the event with this number lies or will lie; `None` if the memory is no
    /// ring, or no record can lie there. Which capacities a source may have is checked elsewhere.
    pub fn new(ring: ReadView, position: u64, number: u64) -> Option<RingReader> {
        let capacity = ring.len().checked_sub(RING_HEADER)? as u64;
        let is_ring = capacity.is_power_of_two() && capacity >= LEAST_CAPACITY;
        let can_be = position.is_multiple_of(ALIGNMENT) && position <= MOST && number <= MOST;
        (is_ring && can_be).then(|| RingReader {
            ring,
            capacity,
            position,
            number,
            head: position,
        })
    }

    /// Bytes of records that the ring holds.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The position up to which it was read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The end of the newest published record, as the sender says. Relaxed: `take` reads it again before it copies a record.
    pub fn published(&self) -> u64 {
        self.ring.load64(HEAD, Ordering::Relaxed)
    }

    /// The number of the event that is expected next.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// True if [`RingReader::take`] would find anything; asked in every round and before sleeping. Relaxed: `take` reads
    /// the same words once more.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.head != self.position
            || self.ring.load64(HEAD, Ordering::Relaxed) != self.position
            || self.ring.load32(STATE, Ordering::Relaxed) != 0
    }

    fn is_closed(&self) -> bool {
        // EVENT-PUBLISHED, acquire.
        self.ring.load32(STATE, Ordering::Acquire) != 0
    }

    /// Takes the next event from this reader's run, and copies more records into the run first if it is used up. Records
    /// that were copied but not taken still count as unread: the reader's position does not move past them.
    #[inline]
    pub fn take(&mut self, run: &mut Run) -> Taken {
        if run.is_over()
            && let Some(taken) = self.fill(run)
        {
            return taken;
        }
        match self.step(run) {
            true => Taken::Event,
            false => self.go_on(run),
        }
    }

    /// Takes the next record of the run, if it is complete and correct.
    #[inline]
    fn step(&mut self, run: &mut Run) -> bool {
        let Some(header) = run.header() else {
            return false;
        };
        if header.len > most_payload(self.capacity) || header.number != self.number as u32 {
            return false;
        }
        let len = run.take(&header);
        self.position += len.unwrap_or(0);
        self.number += u64::from(len.is_some());
        len.is_some()
    }

    /// Goes on when the next record is not complete in the run, or is not correct.
    #[cold]
    fn go_on(&mut self, run: &mut Run) -> Taken {
        if !run.is_whole() {
            if let Some(taken) = self.fill(run) {
                return taken;
            }
            if self.step(run) {
                return Taken::Event;
            }
        }
        run.clear();
        Taken::Broken("a record that no sender writes")
    }

    /// Copies the next records into the run; returns what to report if there are none, or if the sender wrote over them
    /// during the copy.
    fn fill(&mut self, run: &mut Run) -> Option<Taken> {
        if self.head == self.position
            && let Some(taken) = self.look()
        {
            return Some(taken);
        }
        if let Err(why) = self.copy(run) {
            return Some(Taken::OutOfMemory(why));
        }
        // OLDEST-MOVED, the reader's fence.
        fence(Ordering::Acquire);
        let oldest = self.ring.load64(OLDEST, Ordering::Relaxed);
        if oldest > self.position {
            return Some(self.overtaken(oldest));
        }
        if self.head - oldest > self.capacity {
            return Some(Taken::Broken("more records than the ring holds"));
        }
        run.show();
        None
    }

    /// Copies about as many records as are taken at a time, assuming that all are as long as the first. Whether that length
    /// is valid is checked later: the sender may have written over it.
    #[inline]
    fn copy(&self, run: &mut Run) -> Result<(), OutOfMemory> {
        let (at, left) = place(self.position, self.capacity);
        let first = Header::len_of(self.ring.load64(at, Ordering::Relaxed));
        let first = record_len(first.min(most_payload(self.capacity)));
        let most = MOST_BYTES.min(self.capacity);
        let len = (MOST_EVENTS * first).min(most).max(first);
        let len = len.min(self.head - self.position) as usize;
        let (before, behind) = run.room(len)?.split_at_mut(left.min(len));
        self.ring.copy_out(at, before);
        if !behind.is_empty() {
            self.ring.copy_out(RING_HEADER, behind);
        }
        Ok(())
    }

    /// Reads the head again; returns what to report if there is no event.
    fn look(&mut self) -> Option<Taken> {
        // Before the head: what was published before the ring was closed is taken first.
        let is_closed = self.is_closed();
        // EVENT-PUBLISHED, acquire.
        let head = self.ring.load64(HEAD, Ordering::Acquire);
        if head == self.position {
            return Some(if is_closed {
                Taken::Closed
            } else {
                Taken::Nothing
            });
        }
        if head < self.position || !head.is_multiple_of(ALIGNMENT) || head > MOST {
            return Some(Taken::Broken(
                "an end of its records that lies before what was read, or nowhere",
            ));
        }
        self.head = head;
        None
    }

    /// The record at the reader's place was written over. Goes on at the oldest one; the number there says how many were
    /// lost. There always is one, because a sender never forgets the newest.
    #[cold]
    fn overtaken(&mut self, oldest: u64) -> Taken {
        // OLDEST-MOVED, acquire, with the load before this: the oldest record was published when it became that.
        fence(Ordering::Acquire);
        let head = self.ring.load64(HEAD, Ordering::Relaxed);
        if oldest >= head || !(oldest | head).is_multiple_of(ALIGNMENT) || head > MOST {
            return Taken::Broken("an oldest record that lies behind the newest, or nowhere");
        }
        let next = self.ring.load64(NEXT, Ordering::Relaxed);
        let (at, _) = place(oldest, self.capacity);
        let low = Header::number_of(self.ring.load64(at, Ordering::Relaxed));
        // OLDEST-MOVED, the reader's fence. EVENT-PUBLISHED, acquire, with the load of the head.
        fence(Ordering::Acquire);
        if self.ring.load64(OLDEST, Ordering::Relaxed) != oldest {
            return Taken::Again;
        }
        // The last number before `next` that has this low half.
        let number = next.wrapping_sub(u64::from((next as u32).wrapping_sub(low)));
        // Each of them took the bytes of a record at least.
        let most = (oldest - self.position) / RECORD_HEADER;
        let lost = number.checked_sub(self.number);
        let lost = lost.filter(|lost| (1..=most).contains(lost));
        match lost {
            Some(lost) if number <= MOST && head - oldest <= self.capacity => {
                (self.position, self.number, self.head) = (oldest, number, head);
                Taken::Lost(lost)
            }
            _ => Taken::Broken("an oldest record that no sender has"),
        }
    }

    /// Whether a thread of the sender waits for cursors: to be asked after a cursor has moved, before the listener turns to
    /// something else.
    pub fn is_starving(&self) -> bool {
        // CURSOR-OR-STARVING, the listener's side.
        fence(Ordering::SeqCst);
        self.seems_starving()
    }

    /// As [`RingReader::is_starving`] without the fence: the value may be slightly old.
    #[inline]
    pub fn seems_starving(&self) -> bool {
        self.ring.load32(STARVING, Ordering::Relaxed) != 0
    }
}

/// Where a ring ends, and the number of its next event, as its sender says.
pub fn shown(ring: &ReadView) -> (u64, u64) {
    let head = ring.load64(HEAD, Ordering::Acquire);
    (head, ring.load64(NEXT, Ordering::Relaxed))
}
