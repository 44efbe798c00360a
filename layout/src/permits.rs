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

/// The kind of call that asks for a permit.
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
    /// A call made inside a chain, by a visitor that has waited.
    ChainVisitor,
}

impl Asks {
    #[inline]
    fn is_in_chain(self) -> bool {
        matches!(self, Asks::Chain | Asks::ChainVisitor)
    }
}

/// Result of asking for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The call has this permit, and must give it back.
    Permit(u8),
    /// The call's chain has a permit already, so the call needs none.
    Inside,
    /// No permit is free for the call: it must wait.
    Full,
}

/// The threads that must be told that a permit was given back.
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
    /// `limit` permits, at least one and at most [`MOST`], all free.
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

    /// Changes the number of permits. Afterwards the caller of this tells all that wait.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit.clamp(1, MOST), Ordering::Relaxed);
    }

    /// Takes a permit for a call of a chain, if the call needs one and may have it. Its handler will run on this
    /// thread, whose number `me` returns.
    #[inline]
    pub fn take(&self, chain: u64, asks: Asks, me: impl FnOnce() -> u64) -> Entry {
        if asks.is_in_chain() && self.is_inside(chain) {
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
            Asks::Visitor | Asks::ChainVisitor => {
                self.waiting.fetch_and(!VISITORS_NEXT, Ordering::Relaxed);
            }
        }
    }

    /// Whether a call would get a permit now, or needs none; the caller then tries [`Permits::take`].
    pub fn could_take(&self, chain: u64, asks: Asks) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        let is_free = taken.count_ones() < self.limit() && self.may(asks);
        is_free || asks.is_in_chain() && self.is_inside(chain)
    }

    #[inline]
    fn may(&self, asks: Asks) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        match asks {
            Asks::First => waiting & (QUEUED | VISITORS) == 0,
            Asks::Queue => waiting & VISITORS == 0 || waiting & VISITORS_NEXT == 0,
            Asks::Visitor | Asks::Chain | Asks::ChainVisitor => true,
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

    /// Notes that the handler of a call has ended. The call keeps its permit until it is answered.
    pub fn leave(&self, permit: u8) {
        self.threads[usize::from(permit)].store(0, Ordering::Relaxed);
    }

    /// Gives a permit back, and returns who must be told.
    #[inline]
    pub fn end(&self, permit: u8) -> Waiting {
        self.leave(permit);
        self.chains[usize::from(permit)].store(0, Ordering::Relaxed);
        // PERMIT-ENDED, release. PERMIT-OR-WAITER, who gives back: acquire, so that "does anybody wait?" is
        // read after this.
        self.taken.fetch_and(!(1 << permit), Ordering::AcqRel);
        Waiting::of(self.waiting.load(Ordering::Relaxed))
    }

    /// Notes that calls wait in the dispatcher's queue; the dispatcher then looks once more.
    pub fn queue(&self) {
        self.waiting.fetch_or(QUEUED, Ordering::Relaxed);
        self.order_with_ends();
    }

    /// Notes that no call waits in the dispatcher's queue any more. Visitors that wait, if any, may already take all
    /// permits.
    pub fn unqueue(&self) {
        self.waiting.fetch_and(!QUEUED, Ordering::Relaxed);
    }

    /// Tries `attempt` until it returns `Some`, or `sleep` reports that the time is up. In between it calls `sleep`,
    /// which sleeps while the number of changes is the one passed to it. Also returns whether the queue must be told,
    /// because it may have left a permit to this visitor.
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
        // PERMIT-OR-WAITER, the thread that waits: a read-modify-write that leaves the value as it is.
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
mod tests;
