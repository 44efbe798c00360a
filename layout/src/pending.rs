//! The caller's private record of its calls in flight on one link.
//!
//! A word has one bit for each slot that is taken. A slot stays taken until its reply is *published*, even
//! if the caller gave up long before: so the ring cannot be full
//! ([`crate::ring`]). A second word has the slots whose callers gave up; a thread that needs a slot
//! looks through them for answers.
//!
//! **Sync point.** PENDING-FREED: freeing releases, taking acquires; all changes of the word are
//! read-modify-writes, so what any earlier holder knew (its reply, its payload) is known to
//! whoever takes a slot after it, whichever slot that is.

mod reserved;

use crate::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use crate::geometry::{Geometry, MAX_ENTRIES};

use reserved::Reserved;

pub use reserved::SlotWait;

/// The pending calls of one link.
#[derive(Debug)]
pub struct Pending {
    taken: AtomicU64,
    abandoned: AtomicU64,
    /// The number of calls that each slot has had; only the slot's holder changes it.
    generations: [AtomicU32; MAX_ENTRIES as usize],
    /// The gate that each taken slot is for; [`UNKNOWN`] until its holder has noted it.
    gates: [AtomicU16; MAX_ENTRIES as usize],
    reserved: Reserved,
    entries: u32,
}

/// The gate of a slot whose holder has not noted it yet. Such a slot counts for every gate.
const UNKNOWN: u16 = u16::MAX;

/// A taken slot and the generation of the call it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The slot's index.
    pub slot: u8,
    /// What the reply slot's state will be when the answer is there.
    pub generation: u32,
}

impl Pending {
    /// A record without a call in flight.
    pub fn new(geometry: Geometry) -> Pending {
        Pending {
            taken: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            generations: core::array::from_fn(|_| AtomicU32::new(0)),
            gates: core::array::from_fn(|_| AtomicU16::new(UNKNOWN)),
            reserved: Reserved::new(),
            entries: geometry.entries(),
        }
    }

    /// Takes the lowest free slot for a call of a gate that is made inside a chain; `None` while all
    /// are taken. Such a call counts against no limit, because the calls that hold the slots may wait for it.
    #[inline]
    pub fn take(&self, gate: u16) -> Option<Ticket> {
        self.take_if(gate, |_| true)
    }

    /// Takes a slot for a call of a gate that begins a chain. `None` while half of the slots are taken for this very gate,
    /// so that a slow gate does not keep callers from the other gates of its link; or while three quarters of the slots are
    /// taken altogether, so that calls inside chains find the rest; or while the next slot of this gate is reserved for a
    /// thread that has waited for long ([`SlotWait`]).
    #[inline]
    pub fn take_for(&self, gate: u16) -> Option<Ticket> {
        // If no slot is taken, nothing has to be counted.
        let may = |taken| taken == 0 || !self.reserved.is_for(gate) && self.may_take(taken, gate);
        self.take_if(gate, may)
    }

    /// Whether a call of a gate that begins a chain may have one more slot beside those that are taken.
    #[inline]
    fn may_take(&self, taken: u64, gate: u16) -> bool {
        let half = (self.entries / 2).max(1);
        let most = (self.entries - self.entries / 4).max(1);
        let all = taken.count_ones();
        all < half || all < most && self.count(taken, gate) < half
    }

    /// How many of the taken slots are for a gate, or may be: a slot's gate is unknown from before
    /// it is freed until after it is taken. This is as exact as fairness between gates needs: where a slot
    /// goes to this gate between the count and the taking, the gate may have one more than half until one
    /// of its calls is answered. How many are taken altogether is exact.
    #[cold]
    fn count(&self, mut taken: u64, gate: u16) -> u32 {
        let mut count = 0;
        while taken != 0 {
            let slot = taken.trailing_zeros() as usize;
            taken &= taken - 1;
            let its = self.gates[slot].load(Ordering::Relaxed);
            count += u32::from(its == gate || its == UNKNOWN);
        }
        count
    }

    #[inline]
    fn take_if(&self, gate: u16, may: impl Fn(u64) -> bool) -> Option<Ticket> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let slot = taken.trailing_ones();
            if slot >= self.entries || !may(taken) {
                return None;
            }
            // PENDING-FREED, acquire.
            match self.taken.compare_exchange_weak(
                taken,
                taken | 1 << slot,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.gates[slot as usize].store(gate, Ordering::Relaxed);
                    return Some(self.ticket(slot as u8));
                }
                Err(now) => taken = now,
            }
        }
    }

    #[inline]
    fn ticket(&self, slot: u8) -> Ticket {
        let count = &self.generations[usize::from(slot)];
        // Only the slot's holder comes here; the word orders holder after holder.
        let generation = count.load(Ordering::Relaxed).wrapping_add(1);
        count.store(generation, Ordering::Relaxed);
        Ticket { slot, generation }
    }

    /// Frees a slot whose reply was published and copied.
    #[inline]
    pub fn free(&self, ticket: Ticket) {
        self.gates[usize::from(ticket.slot)].store(UNKNOWN, Ordering::Relaxed);
        // PENDING-FREED, release. FREED-OR-WAITER, who frees: acquire, at no cost where a locked instruction
        // is both, so that "does anybody wait for a slot?" is read after this.
        self.taken.fetch_and(!(1 << ticket.slot), Ordering::AcqRel);
    }

    /// Orders this thread with the threads that free or abandon slots. This thread sees, after this, every slot freed or
    /// abandoned before; a thread that does so later sees what this thread did before.
    pub(crate) fn order_with_frees(&self) {
        // FREED-OR-WAITER, the thread that waits: read-modify-writes that leave the values as they are. The values that
        // they replace are seen by every later look at the same word; a thread that takes a slot or looks at an abandoned
        // one acquires.
        self.taken.fetch_or(0, Ordering::Release);
        self.abandoned.fetch_or(0, Ordering::Release);
    }

    /// Frees a slot for which no call was published: its generation is not used up, because the
    /// provider counts only what it sees.
    pub fn cancel(&self, ticket: Ticket) {
        let unused = ticket.generation.wrapping_sub(1);
        self.generations[usize::from(ticket.slot)].store(unused, Ordering::Relaxed);
        self.free(ticket);
    }

    /// Leaves a slot whose caller gave up to [`Pending::sweep`], after the fence of
    /// [`Abandoning::abandon`](crate::late::Abandoning::abandon).
    pub(crate) fn abandon(&self, ticket: Ticket) {
        // Release: who finds the slot here is behind that fence, and knows the slot's generation.
        // FREED-OR-WAITER, who changes something: acquire.
        self.abandoned.fetch_or(1 << ticket.slot, Ordering::AcqRel);
    }

    /// The slots that [`Pending::sweep`] would look at.
    pub fn abandoned(&self) -> impl Iterator<Item = u8> + use<> {
        let mut bits = self.abandoned.load(Ordering::Acquire);
        core::iter::from_fn(move || {
            let slot = bits.trailing_zeros() as u8;
            (bits != 0).then(|| {
                bits &= bits - 1;
                slot
            })
        })
    }

    /// Frees the abandoned slots for which `is_answered` says that the reply was published
    /// meanwhile, after `free_payload` has given back what the call had taken. One thread at a time
    /// sweeps.
    ///
    /// A slot stays among [`Pending::abandoned`] until it is freed: were it hidden while somebody
    /// looks, another thread could go to sleep without watching it.
    pub fn sweep(&self, is_answered: impl Fn(Ticket) -> bool, mut free_payload: impl FnMut(u8)) {
        for slot in self.abandoned() {
            let generation = self.generations[usize::from(slot)].load(Ordering::Relaxed);
            let ticket = Ticket { slot, generation };
            if is_answered(ticket) {
                self.abandoned.fetch_and(!(1 << slot), Ordering::Relaxed);
                free_payload(slot);
                self.free(ticket);
            }
        }
    }

    /// Whether no slot is taken, as far as this thread can see.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }

    /// True if no caller waits for an answer: the callers of all taken slots gave up.
    pub fn is_left(&self) -> bool {
        // Load `taken` first: a slot that is freed and taken again meanwhile then counts as one with a waiting caller.
        // PENDING-FREED, who looks for callers: acquire, so that a slot is not seen taken again and still abandoned.
        let taken = self.taken.load(Ordering::Acquire);
        taken & !self.abandoned.load(Ordering::Relaxed) == 0
    }

    /// How many slots are taken.
    pub fn in_flight(&self) -> u32 {
        self.taken.load(Ordering::Relaxed).count_ones()
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;

    /// One gate whose handler hung took all slots of its link, and no other gate could be called.
    #[test]
    fn a_gate_gets_half_of_the_slots() {
        let pending = Pending::new(Geometry::DEFAULT);
        let slow: Vec<_> = (0..32).map(|_| pending.take_for(7).unwrap()).collect();
        assert_eq!(pending.take_for(7), None);
        let other = pending.take_for(8).unwrap();
        assert_eq!(pending.take_for(7), None);
        pending.free(slow[5]);
        assert_eq!(pending.take_for(7).map(|ticket| ticket.slot), Some(5));
        pending.free(other);
        // Chains may have the rest.
        assert!((0..32).all(|_| pending.take(7).is_some()));
        assert_eq!(pending.take(7), None);
    }

    /// Two gates, each within its half, filled all slots, and a chain that what held them waited
    /// for found none.
    #[test]
    fn a_quarter_of_the_slots_is_kept_for_chains() {
        let pending = Pending::new(Geometry::DEFAULT);
        let take = |gate| pending.take_for(gate);
        assert_eq!((0..100).filter_map(|n| take(n % 2)).count(), 48);
        assert_eq!(take(9), None);
        assert!((0..16).all(|_| pending.take(9).is_some()));
        assert_eq!(pending.take(9), None);
    }

    /// The slots of calls inside chains counted against every gate, and a gate that had nothing
    /// under way could not be called.
    #[test]
    fn a_chains_calls_count_for_their_own_gate_alone() {
        let pending = Pending::new(Geometry::DEFAULT);
        assert!((0..32).all(|_| pending.take(1).is_some()));
        assert_eq!(pending.take_for(1), None);
        assert!(pending.take_for(2).is_some());
    }

    /// A slot that was given up is looked at until its answer is there, and not taken meanwhile.
    #[test]
    fn an_abandoned_slot_comes_back_with_its_answer() {
        let pending = Pending::new(Geometry::DEFAULT);
        assert!(pending.is_idle());
        let held: Vec<_> = (0..3).map(|_| pending.take(0).unwrap()).collect();
        assert_eq!((pending.is_idle(), pending.in_flight()), (false, 3));
        pending.abandon(held[0]);
        pending.abandon(held[2]);
        assert!(pending.abandoned().eq([0, 2]));
        assert!(!pending.is_left());
        pending.sweep(|_| false, |_| panic!("nothing was answered"));
        let mut freed = Vec::new();
        pending.sweep(|ticket| ticket == held[2], |slot| freed.push(slot));
        assert_eq!((freed, pending.in_flight()), (vec![2], 2));
        assert!(pending.abandoned().eq([0]));
        let again = pending.take(0).unwrap();
        assert_eq!(again.slot, 2);
        pending.abandon(held[1]);
        pending.abandon(again);
        assert!(pending.is_left() && !pending.is_idle());
    }

    /// The smallest links, too, have slots for calls that begin chains.
    #[test]
    fn a_link_of_one_slot_or_two_can_be_called() {
        for (entries, most) in [(1, 1), (2, 2), (4, 3), (8, 6)] {
            let pending = Pending::new(Geometry::new(entries, 512).unwrap());
            let taken = (0..8).filter(|gate| pending.take_for(*gate).is_some());
            assert_eq!(taken.count(), most, "{entries}");
        }
    }

    /// A call that found no room for its payload was never published, but its slot's generation
    /// was used up; from then on the caller waited for answers that the provider, which counts
    /// the calls it sees, gave under another number.
    #[test]
    fn a_call_that_is_not_published_is_not_counted() {
        let pending = Pending::new(Geometry::DEFAULT);
        let first = pending.take(0).unwrap();
        pending.cancel(first);
        assert_eq!(pending.take(0), Some(first));
        pending.free(first);
        let next = Ticket {
            generation: 2,
            ..first
        };
        assert_eq!(pending.take(0), Some(next));
    }
}
