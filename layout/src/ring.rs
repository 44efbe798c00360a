//! The ring of calls in an outbox.
//!
//! **Who writes what.** The caller's process writes every word of the ring; its threads claim
//! entries by a private counter. The provider's dispatcher reads, and keeps its position in
//! private memory: nothing in the ring says how far it got.
//!
//! **Why it cannot be full.** A caller holds one of N pending calls before it claims one of N
//! entries, and keeps it until the reply is published. Entries are taken in order. Were the
//! entry of call `s - N` not yet taken when call `s` claims it, then none of `s - N .. s` would
//! have been answered: N pending calls, and `s` would need one more than there are.
//!
//! **Sync points.** CALL-PUBLISHED: the writer's release store of an entry's first word pairs
//! with the reader's acquire load of it, so that the rest of the entry, and the payload in the
//! blocks, are there when the number is. Relaxed would show the number before the bytes.

use crate::atomic::{AtomicU32, Ordering};
use crate::envelope::{Call, Cell, Violation};
use crate::geometry::{Geometry, LINE_LEN};
use crate::view::{ReadView, WriteView};

/// Where an entry's first word has the slot.
const SLOT_BITS: u32 = 48;

/// The caller's end: publishes calls.
#[derive(Debug)]
pub struct RingWriter {
    geometry: Geometry,
    /// The number of the last call claimed; private, so that no peer can disturb it.
    claimed: AtomicU32,
}

impl RingWriter {
    /// The writer of an empty ring.
    pub fn new(geometry: Geometry) -> RingWriter {
        RingWriter {
            geometry,
            claimed: AtomicU32::new(0),
        }
    }

    /// Has the processor fetch the next entry's lines while the call is still being put together. The reader polls that
    /// entry, and moving its lines to this core takes about as long as putting the call together.
    #[inline(always)]
    pub fn prepare(&self, outbox: &WriteView) {
        // Another thread may claim it first; then it was in vain.
        let next = self.claimed.load(Ordering::Relaxed).wrapping_add(1);
        outbox.claim_cell(self.geometry.entry_at(next));
    }

    /// Publishes a call whose inline payload, if it has one, already stands in `cell`.
    ///
    /// The caller must hold pending call `call.slot`; see the module's argument.
    #[inline(always)]
    pub fn publish(&self, outbox: &WriteView, call: &Call, cell: &mut Cell) {
        // AcqRel: the counter hands on, from claim to claim, what an earlier claimant knew of
        // taken entries (PENDING-FREED), so that this one may overwrite the entry it gets.
        let sequence = self.claimed.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        cell.set_call(call, sequence);
        let at = self.geometry.entry_at(sequence);
        cell.write(outbox, at, Cell::used_by(call));
        // CALL-PUBLISHED, release.
        outbox.store64(at, cell.head[0], Ordering::Release);
    }

    /// The number of the call that a slot bears, while it is taken; looked up in the ring itself, because hardly
    /// any call is asked for its number. Where its entry bears another call by now, that of an earlier call of the
    /// slot, or none: then it was taken, as the module's argument says, and so was the earlier one.
    ///
    /// That holds in a ring from which no more is taken, too. Were call `s` not taken and `s + N` claimed, then
    /// each of `s + 1 ..= s + N` was claimed by the holder of one of the N - 1 other slots. None of them is taken, so a slot
    /// comes free of one only when its caller knows that, and then no more calls are published.
    #[cold]
    pub fn number_of(&self, outbox: &WriteView, slot: u8) -> Option<u32> {
        let claimed = self.claimed.load(Ordering::Relaxed);
        let entries = (0..self.geometry.entries()).map(|nth| self.geometry.entry_at(nth));
        let words = entries.map(|at| outbox.as_read().load64(at, Ordering::Relaxed));
        let of_slot = words.filter(|word| (word >> SLOT_BITS) as u8 == slot);
        of_slot
            .map(|word| word as u32)
            .min_by_key(|number| claimed.wrapping_sub(*number))
    }
}

/// The provider's end: takes calls, in order.
#[derive(Debug)]
pub struct RingReader {
    geometry: Geometry,
    /// The number of the next call; private.
    next: u32,
}

impl RingReader {
    /// The reader of a ring from which nothing was taken.
    pub fn new(geometry: Geometry) -> RingReader {
        RingReader { geometry, next: 1 }
    }

    /// The number of the last call that was taken.
    pub fn taken(&self) -> u32 {
        self.next.wrapping_sub(1)
    }

    /// Whether a call waits to be taken.
    #[inline]
    pub fn has_call(&self, inbox: &ReadView) -> bool {
        let at = self.geometry.entry_at(self.next);
        inbox.touch(at + LINE_LEN);
        self.first_word(inbox, Ordering::Relaxed) as u32 == self.next
    }

    /// Copies the next call out and checks it; `None` where there is none.
    ///
    /// The bytes behind the envelope that the call uses stand in `cell` afterwards; behind them is
    /// whatever was there. After a [`Violation`] the link
    /// is of no more use.
    #[inline(always)]
    pub fn take(&mut self, inbox: &ReadView, cell: &mut Cell) -> Option<Result<Call, Violation>> {
        let at = self.geometry.entry_at(self.next);
        // Fetched together with the first line, which is looked at again and again.
        inbox.touch(at + LINE_LEN);
        // CALL-PUBLISHED, acquire.
        let first = self.first_word(inbox, Ordering::Acquire);
        if first as u32 != self.next {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        cell.read_first(inbox, at, first);
        let call = cell.call(self.geometry);
        if let Ok(call) = &call {
            cell.read_second(inbox, at, Cell::used_by(call));
        }
        Some(call)
    }

    #[inline]
    fn first_word(&self, inbox: &ReadView, order: Ordering) -> u64 {
        inbox.load64(self.geometry.entry_at(self.next), order)
    }
}

/// What an entry of a ring says about its call, for threads that only look and do not take calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The number of the call, from 1; it wraps around.
    pub number: u32,
    /// Its slot.
    pub slot: u8,
    /// Its deadline ([`clock::from_tick`](crate::clock::from_tick)).
    pub deadline: u32,
}

/// The calls that the entries of a peer's ring bear now, taken or not, as the peer says. Any thread may look; where
/// the peer is publishing a call meanwhile, that one may be mixed up with the one before it.
#[cold]
pub fn published(inbox: &ReadView, geometry: Geometry) -> Vec<Published> {
    let mut cell = Cell::default();
    let entries = (0..geometry.entries()).map(|nth| geometry.entry_at(nth));
    let shown = entries.filter_map(|at| {
        // CALL-PUBLISHED, of who only looks: acquire.
        let first = inbox.load64(at, Ordering::Acquire);
        if first as u32 == 0 {
            return None;
        }
        cell.read_first(inbox, at, first);
        let call = cell.call(geometry).ok()?;
        Some(Published {
            number: first as u32,
            slot: call.slot,
            deadline: call.deadline,
        })
    });
    shown.collect()
}

/// The one of these that was published last.
pub fn latest(of: impl Iterator<Item = Published>) -> Option<Published> {
    // They are no more numbers apart than a ring has entries.
    of.reduce(
        |one, other| match other.number.wrapping_sub(one.number) as i32 {
            ..=0 => one,
            _ => other,
        },
    )
}
