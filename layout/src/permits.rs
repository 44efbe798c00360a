//! How many calls of a gate may be handled at a time: the state behind the client's limits.
//!
//! Private memory of one process. Each call that is handled has one of the gate's *permits*, beside which
//! the name of its chain stands. A call that comes back in a chain that has one needs none: it would wait
//! for itself. Where all permits are taken, calls wait in two ways: those that came through links in the
//! dispatcher's queue, and *visitors* (threads of the same process) asleep on a count of changes.
//!
//! Who begins a chain does not overtake those that wait. Among these a visitor takes what it finds; the
//! queue, whose dispatcher looks at once after it gave a permit back, leaves every second one to visitors.
//! Calls inside chains may overtake, because what has the permits, or the dispatcher, may wait for them.
//!
//! **Sync points.** PERMIT-ENDED: who gives a permit back releases, who takes one acquires, so that what
//! the last handler did is seen by the next one.
//!
//! PERMIT-OR-WAITER: who gives a permit back changes the word that says which are taken, and then looks
//! whether anybody waits. Who waits says so, and then changes the same word, to what it is (release).
//! Changes of one word have an order: who waits changes it later, and finds the permit in the next look;
//! or who gives it back changes it later (acquire), and sees that somebody waits. So there is no fence.
//! For visitors it then changes a count (release), which they read (acquire) before they look, and on
//! which they sleep; for the queue the doorbell, which does the same.

use crate::atomic::{AtomicU32, AtomicU64, Ordering};

/// The most calls of a gate that can be handled at a time.
pub const MOST: u32 = 64;

/// Set in `waiting` while calls wait in the dispatcher's queue.
const QUEUED: u32 = 1 << 31;
/// Set in `waiting` where the queue took a permit although visitors waited: the next is theirs.
const VISITORS_NEXT: u32 = 1 << 30;
/// How many visitors wait.
const VISITORS: u32 = VISITORS_NEXT - 1;

/// The permits of one gate.
#[derive(Debug)]
pub struct Permits {
    /// One bit for each permit that is taken.
    taken: AtomicU64,
    /// The chain that has each of them; 0 for none.
    chains: [AtomicU64; MOST as usize],
    /// The thread that runs the handler of each; 0 where that has ended, or for none.
    threads: [AtomicU64; MOST as usize],
    limit: AtomicU32,
    waiting: AtomicU32,
    /// Changes whenever visitors are to look again.
    changes: AtomicU32,
}

/// Who asks for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// A call that begins a chain, for the first time.
    First,
    /// One that begins a chain, from the dispatcher's queue.
    Queue,
    /// One that begins a chain, of a visitor that has waited.
    Visitor,
    /// A call made inside a chain.
    Chain,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The call has a permit, which it gives back.
    Permit(u8),
    /// Its chain has one already.
    Inside,
    /// It has to wait.
    Full,
}

/// Who is to be told that a permit was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Visitors: the count of changes is changed, and they are woken.
    pub visitors: bool,
    /// The dispatcher, which has calls in its queue.
    pub queue: bool,
}

impl Waiting {
    fn of(word: u32) -> Waiting {
        Waiting {
            visitors: word & VISITORS != 0,
            queue: word & QUEUED != 0,
        }
    }
}

impl Permits {
    /// So many permits, at least one and at most [`MOST`], of which none is taken.
    pub fn new(limit: u32) -> Permits {
        Permits {
            taken: AtomicU64::new(0),
            chains: core::array::from_fn(|_| AtomicU64::new(0)),
            threads: core::array::from_fn(|_| AtomicU64::new(0)),
            limit: AtomicU32::new(limit.clamp(1, MOST)),
            waiting: AtomicU32::new(0),
            changes: AtomicU32::new(0),
        }
    }

    /// How many there are.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes how many there are from now on. Afterwards everybody who waits is told.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit.clamp(1, MOST), Ordering::Relaxed);
    }

    /// Takes a permit for a call of a chain, if it needs one and may have it. Its handler runs on this
    /// thread, whose number `me` tells.
    #[inline]
    pub fn take(&self, chain: u64, asks: Asks, me: impl FnOnce() -> u64) -> Entry {
        if asks == Asks::Chain && self.is_inside(chain) {
            return Entry::Inside;
        }
        if !self.may(asks) {
            return Entry::Full;
        }
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let permit = taken.trailing_ones();
            if taken.count_ones() >= self.limit() {
                return Entry::Full;
            }
            // PERMIT-ENDED, acquire.
            match self.taken.compare_exchange_weak(
                taken,
                taken | 1 << permit,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.threads[permit as usize].store(me(), Ordering::Relaxed);
                    self.note(permit as usize, chain, asks);
                    return Entry::Permit(permit as u8);
                }
                Err(now) => taken = now,
            }
        }
    }

    #[inline]
    fn note(&self, permit: usize, chain: u64, asks: Asks) {
        self.chains[permit].store(chain, Ordering::Relaxed);
        match asks {
            Asks::First | Asks::Chain => {}
            Asks::Queue => {
                if self.waiting.load(Ordering::Relaxed) & VISITORS != 0 {
                    self.waiting.fetch_or(VISITORS_NEXT, Ordering::Relaxed);
                }
            }
            Asks::Visitor => {
                self.waiting.fetch_and(!VISITORS_NEXT, Ordering::Relaxed);
            }
        }
    }

    /// Whether a call could have what it needs now, for who then tries.
    pub fn could_take(&self, chain: u64, asks: Asks) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        let is_free = taken.count_ones() < self.limit() && self.may(asks);
        is_free || asks == Asks::Chain && self.is_inside(chain)
    }

    #[inline]
    fn may(&self, asks: Asks) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        match asks {
            Asks::First => waiting & (QUEUED | VISITORS) == 0,
            Asks::Queue => waiting & VISITORS == 0 || waiting & VISITORS_NEXT == 0,
            Asks::Visitor | Asks::Chain => true,
        }
    }

    /// Whether a chain has a permit, for a call of that chain. What it did with its own permits lies before
    /// that call, so relaxed loads tell it the truth.
    pub fn is_inside(&self, chain: u64) -> bool {
        let mut taken = self.taken.load(Ordering::Relaxed);
        while taken != 0 {
            let permit = taken.trailing_zeros() as usize;
            taken &= taken - 1;
            if self.chains[permit].load(Ordering::Relaxed) == chain {
                return true;
            }
        }
        false
    }

    /// Whether a handler that has a permit runs on this thread, whose number is `me`.
    pub fn is_held_by(&self, me: u64) -> bool {
        self.threads
            .iter()
            .any(|thread| thread.load(Ordering::Relaxed) == me)
    }

    /// The handler of a call has ended, which keeps its permit until it was answered.
    pub fn leave(&self, permit: u8) {
        self.threads[usize::from(permit)].store(0, Ordering::Relaxed);
    }

    /// Gives a permit back; who is to be told.
    #[inline]
    pub fn end(&self, permit: u8) -> Waiting {
        self.leave(permit);
        self.chains[usize::from(permit)].store(0, Ordering::Relaxed);
        // PERMIT-ENDED, release. PERMIT-OR-WAITER, who gives back: acquire, so that "does anybody wait?" is
        // read after this.
        self.taken.fetch_and(!(1 << permit), Ordering::AcqRel);
        Waiting::of(self.waiting.load(Ordering::Relaxed))
    }

    /// Says that calls wait in the dispatcher's queue, which then looks once more.
    pub fn queue(&self) {
        self.waiting.fetch_or(QUEUED, Ordering::Relaxed);
        self.order_with_ends();
    }

    /// None waits there any more. The visitors, if there are any, may take all permits already.
    pub fn unqueue(&self) {
        self.waiting.fetch_and(!QUEUED, Ordering::Relaxed);
    }

    /// Tries `attempt` until it gives something, or `sleep` says that the time is up. In between it sleeps,
    /// while the number of changes is as `sleep` is told. Gives back besides whether the queue is to be
    /// told: it may have left a permit to this visitor.
    pub fn wait_for<T>(
        &self,
        mut attempt: impl FnMut() -> Option<T>,
        mut sleep: impl FnMut(u32) -> bool,
    ) -> (Option<T>, bool) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.order_with_ends();
        let outcome = loop {
            // PERMIT-OR-WAITER, acquire; before the look, so that no change after it is slept through.
            let seen = self.changes.load(Ordering::Acquire);
            if let Some(found) = attempt() {
                break Some(found);
            }
            if !sleep(seen) {
                break None;
            }
        };
        let before = self.waiting.fetch_sub(1, Ordering::Relaxed);
        (outcome, Waiting::of(before).queue)
    }

    fn order_with_ends(&self) {
        // PERMIT-OR-WAITER, who waits: a change that changes nothing.
        self.taken.fetch_or(0, Ordering::Release);
    }

    /// Notes a change, before the visitors are woken.
    pub fn change(&self) {
        // PERMIT-OR-WAITER, release.
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// The number of changes now.
    pub fn seen(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }
}

#[cfg(not(callgate_loom))]
impl Permits {
    /// The word to sleep on until there is a change.
    pub fn word(&self) -> &AtomicU32 {
        &self.changes
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;

    const NOBODY: Waiting = Waiting {
        visitors: false,
        queue: false,
    };

    const ME: u64 = 5;

    fn permit(entry: Entry) -> u8 {
        match entry {
            Entry::Permit(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn there_are_as_many_as_the_limit_says() {
        for limit in [1, 2, MOST] {
            let permits = Permits::new(limit);
            let taken: Vec<_> = (0..u64::from(limit))
                .map(|chain| permit(permits.take(chain + 1, Asks::First, || ME)))
                .collect();
            assert_eq!(permits.take(99, Asks::First, || ME), Entry::Full);
            assert!(!permits.could_take(99, Asks::Chain));
            for one in taken {
                assert_eq!(permits.end(one), NOBODY);
                assert_eq!(permit(permits.take(100, Asks::First, || ME)), one);
            }
        }
        assert_eq!(
            (Permits::new(0).limit(), Permits::new(99).limit()),
            (1, MOST)
        );
    }

    /// A limit that is lowered holds for the calls after it, whichever permits are taken.
    #[test]
    fn a_limit_may_change_while_permits_are_taken() {
        let permits = Permits::new(3);
        let [first, second, third] = [1, 2, 3].map(|n| permit(permits.take(n, Asks::First, || ME)));
        permits.set_limit(1);
        for one in [first, second] {
            permits.end(one);
            assert_eq!(permits.take(9, Asks::First, || ME), Entry::Full);
        }
        permits.end(third);
        permit(permits.take(9, Asks::First, || ME));
        permits.set_limit(2);
        permit(permits.take(9, Asks::First, || ME));
    }

    /// A → B → A stood still where the second call of A waited for the first.
    #[test]
    fn a_chain_that_is_inside_comes_in_again_and_another_waits() {
        let permits = Permits::new(1);
        let outer = permit(permits.take(7, Asks::First, || ME));
        assert_eq!(permits.take(7, Asks::Chain, || ME), Entry::Inside);
        assert!(permits.could_take(7, Asks::Chain));
        assert_eq!(permits.take(8, Asks::Chain, || ME), Entry::Full);
        permits.end(outer);
        assert!(!permits.is_inside(7));
        permit(permits.take(8, Asks::Chain, || ME));
    }

    /// A place that was kept for a late answer seemed to be kept by a thread that had gone on.
    #[test]
    fn a_thread_has_what_its_handlers_have() {
        let permits = Permits::new(2);
        let first = permit(permits.take(1, Asks::First, || 5));
        let second = permit(permits.take(2, Asks::First, || 6));
        assert!(permits.is_held_by(5) && permits.is_held_by(6) && !permits.is_held_by(7));
        permits.leave(first);
        assert!(!permits.is_held_by(5) && permits.is_inside(1));
        assert_eq!(permits.take(3, Asks::First, || 7), Entry::Full);
        permits.end(second);
        assert!(!permits.is_held_by(6));
    }

    #[test]
    fn who_comes_first_does_not_overtake_who_waits_but_a_chain_does() {
        let permits = Permits::new(1);
        let outer = permit(permits.take(1, Asks::First, || ME));
        permits.queue();
        assert!(permits.end(outer).queue);
        assert_eq!(permits.take(2, Asks::First, || ME), Entry::Full);
        let inner = permit(permits.take(3, Asks::Chain, || ME));
        permits.end(inner);
        let queued = permit(permits.take(1, Asks::Queue, || ME));
        permits.unqueue();
        assert_eq!(permits.end(queued), NOBODY);
        permit(permits.take(2, Asks::First, || ME));
    }

    /// The dispatcher, which looks at once after it gave a permit back, left none to visitors.
    #[test]
    fn queue_and_visitors_go_by_turns() {
        let permits = Permits::new(1);
        permits.queue();
        let attempt = || {
            let first = permit(permits.take(1, Asks::Queue, || ME));
            assert!(permits.end(first).visitors);
            assert_eq!(permits.take(2, Asks::Queue, || ME), Entry::Full);
            assert!(!permits.could_take(2, Asks::Queue));
            let visit = permit(permits.take(3, Asks::Visitor, || ME));
            permits.end(visit);
            Some(permit(permits.take(2, Asks::Queue, || ME)))
        };
        let (second, tell) = permits.wait_for(attempt, |_| false);
        assert!(tell, "the queue may have left one to a visitor");
        // Nobody is left to leave one to.
        permits.end(second.unwrap());
        permit(permits.take(4, Asks::Queue, || ME));
    }
}
