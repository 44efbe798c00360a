//! Reserves slots for threads that have waited for one for long.
//!
//! A thread that waits for a slot sleeps, and is woken when one is freed. The thread that freed it is awake, and
//! takes it for its next call before the woken one runs. So a thread that has waited for a while *reserves* the next
//! slots: until it has one, or gives up, only threads that have reserved take slots for this gate. All others
//! wait, also new callers.
//!
//! Only one gate has reservations at a time: otherwise a gate that has all the slots it may have could keep callers of
//! other gates from theirs. Calls inside chains ignore reservations, because the calls that hold the slots may wait for
//! them.
//!
//! The thread that ends the last reservation changes the word here and then the count of changes of
//! [`Waiters`](crate::waiters::Waiters) (release), without asking whether any thread waits. A thread that waits reads
//! that count (acquire) before this word, and sleeps while the count is as it was read.

use super::{Pending, Ticket};
use crate::atomic::{AtomicU32, Ordering};

/// Nanoseconds of waiting after which the next slot is reserved.
const LONG: u64 = 1_000_000;

/// The gate that has reservations, in the upper half, and the number of threads that have reserved; 0 for none.
#[derive(Debug)]
pub(super) struct Reserved(AtomicU32);

impl Reserved {
    pub(super) fn new() -> Reserved {
        Reserved(AtomicU32::new(0))
    }

    /// Whether the next slots of this gate are reserved.
    #[inline]
    pub(super) fn is_for(&self, gate: u16) -> bool {
        let reserved = self.0.load(Ordering::Relaxed);
        reserved != 0 && reserved >> 16 == u32::from(gate)
    }

    /// Adds a reservation; false while another gate has reservations.
    fn begin(&self, gate: u16) -> bool {
        let more = |reserved: u32| match (reserved, reserved >> 16 == u32::from(gate)) {
            (0, _) => Some(u32::from(gate) << 16 | 1),
            (_, true) if reserved & 0xFFFF < 0xFFFF => Some(reserved + 1),
            _ => None,
        };
        let changed = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        changed.is_ok()
    }

    /// Ends a reservation; true if that was the last.
    fn end(&self) -> bool {
        let less = |reserved: u32| match reserved & 0xFFFF {
            0 | 1 => Some(0),
            _ => Some(reserved - 1),
        };
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        before.is_ok_and(|before| before & 0xFFFF <= 1)
    }
}

/// A thread's wait for a slot, for a call that begins a chain.
#[derive(Debug)]
#[must_use = "others wait until it ends"]
pub struct SlotWait {
    gate: u16,
    since: u64,
    has_reserved: bool,
}

impl SlotWait {
    /// Begins a wait, after the thread found no slot. Times are nanoseconds of the monotonic clock.
    pub fn begin(gate: u16, now: u64) -> SlotWait {
        SlotWait {
            gate,
            since: now,
            has_reserved: false,
        }
    }

    /// Takes a slot, if the thread may have one; reserves the next if it has waited for long.
    pub fn take(&mut self, pending: &Pending, now: impl FnOnce() -> u64) -> Option<Ticket> {
        if !self.has_reserved && now().saturating_sub(self.since) >= LONG {
            self.has_reserved = pending.reserved.begin(self.gate);
        }
        match self.has_reserved {
            true => pending.take_if(self.gate, |taken| pending.may_take(taken, self.gate)),
            false => pending.take_for(self.gate),
        }
    }

    /// Ends the wait, with a slot or without. True if the last reservation has ended, so that the caller must
    /// [tell](crate::waiters::Waiters::change) all other waiting threads.
    #[must_use = "others wait for it"]
    pub fn end(self, pending: &Pending) -> bool {
        self.has_reserved && pending.reserved.end()
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;
    use crate::geometry::Geometry;

    const GATE: u16 = 7;

    fn full() -> (Pending, Vec<Ticket>) {
        let pending = Pending::new(Geometry::DEFAULT);
        let taken = std::iter::from_fn(|| pending.take_for(GATE)).collect();
        (pending, taken)
    }

    /// Whoever had just freed a slot took it again, for as long as it liked.
    #[test]
    fn who_has_waited_for_long_is_next() {
        let (pending, taken) = full();
        let (mut early, mut late) = (SlotWait::begin(GATE, 0), SlotWait::begin(GATE, LONG));
        assert_eq!(early.take(&pending, || LONG), None);
        assert_eq!(late.take(&pending, || LONG), None);
        taken[..2].iter().for_each(|ticket| pending.free(*ticket));
        assert_eq!(pending.take_for(GATE), None);
        assert_eq!(late.take(&pending, || LONG), None);
        // Other gates' calls and those inside chains go on.
        assert!(pending.take_for(GATE + 1).is_some());
        assert!(pending.take(GATE + 1).is_some());
        assert!(early.take(&pending, || LONG).is_some());
        assert!(early.end(&pending), "the other is to be told");
        assert!(late.take(&pending, || LONG).is_some());
        assert!(!late.end(&pending), "it has kept nobody waiting");
    }

    /// A gate whose handlers hung would have kept the slots of all others.
    #[test]
    fn slots_are_reserved_for_one_gate_at_a_time() {
        let (pending, _taken) = full();
        let wait = |gate| {
            let mut wait = SlotWait::begin(gate, 0);
            assert_eq!(wait.take(&pending, || LONG).is_none(), gate == GATE);
            wait
        };
        let (first, second, other) = (wait(GATE), wait(GATE), wait(GATE + 1));
        assert!(!other.has_reserved && !other.end(&pending));
        assert!(!first.end(&pending) && second.end(&pending));
        assert!(wait(0).end(&pending) && pending.take_for(0).is_some());
    }
}
