//! Whose turn it is to run a plugin's handlers: the state behind the client's turn lock.
//!
//! Private memory of one process. The words belong to a *chain* (its name has the highest bit set,
//! so that it can stand beside the other states) and within it to the thread that runs its
//! innermost handler. That thread *lends* its turn while it waits for an answer: only then may
//! what comes back in the chain run on another thread, and the lender goes on when it has its turn
//! back. A holder that does not wait, because it gave a call up, lends nothing.
//!
//! **Sync points.** TURN-OR-WAITER: who ends or lends a turn, or cancels a reservation, stores that, fences, and
//! looks whether anybody waits; who waits counts itself, fences, and looks at the state. At least
//! one sees the other. What a turn's holder did is seen by the next one: TURN-ENDED from the owner,
//! TURN-LENT from the lender and back.
//!
//! A method that returns `true` asks its caller to [tell](Turns::tell) all threads that sleep.

mod dispatching;
mod lending;
mod waiting;

use crate::atomic::{AtomicU32, AtomicU64, Ordering, fence};

pub use dispatching::{Dispatching, Then};
pub use lending::Lent;
pub use waiting::Watch;

/// Nobody has it.
const FREE: u64 = 0;
/// The dispatcher has it, and runs nothing.
const IDLE: u64 = 1;
/// The dispatcher lets callers in this process go first.
const OFFERED: u64 = 2;

/// Whose turn it is. Chains and threads have numbers; a thread's is not 0.
#[derive(Debug)]
pub struct Turns {
    owner: AtomicU64,
    /// The thread that has the innermost turn, or keeps the turn lock between two turns; 0 while
    /// no thread does. Each thread removes its own number again, so a thread that reads its own number has it.
    runner: AtomicU64,
    /// 0 while the innermost turn's thread runs; otherwise what it lends, see [`Lent`].
    lent: AtomicU64,
    /// How often a turn on top of another chain's has begun or ended: odd while there is one.
    guests: AtomicU32,
    /// What a lender wants back, so that nobody else borrows it again.
    back: AtomicU64,
    /// The thread that has waited longer than a turn and goes next; 0 for none.
    due: AtomicU64,
    /// How many turns stand on the outermost one. Changed only by whose thread runs.
    levels: AtomicU32,
    /// Callers of this process that want a turn.
    wanted: AtomicU32,
    /// How many threads are to be told of changes: those, and others.
    waiters: AtomicU32,
    changes: AtomicU32,
}

/// A turn at running handlers.
#[derive(Debug)]
#[must_use = "a turn ends when it is given back"]
pub struct Turn {
    after: After,
}

#[derive(Debug)]
enum After {
    /// This thread had it already.
    Kept,
    Free,
    Idle,
    Lent(Lent),
    /// The chain's that has lent it, after a turn of another one.
    Guest(Lent),
}

impl Default for Turns {
    fn default() -> Turns {
        Turns {
            owner: AtomicU64::new(FREE),
            runner: AtomicU64::new(0),
            lent: AtomicU64::new(0),
            guests: AtomicU32::new(0),
            back: AtomicU64::new(0),
            due: AtomicU64::new(0),
            levels: AtomicU32::new(0),
            wanted: AtomicU32::new(0),
            waiters: AtomicU32::new(0),
            changes: AtomicU32::new(0),
        }
    }
}

impl Turns {
    /// Begins a chain's turn on the dispatcher's thread, whose number `me` tells; `None` while it
    /// is not its turn.
    #[inline]
    pub fn begin(&self, chain: u64, me: impl FnOnce() -> u64) -> Option<Turn> {
        let owner = self.owner.load(Ordering::Relaxed);
        if owner == IDLE {
            // Only this thread puts the turn lock into this state and takes it out; it is the runner already.
            self.owner.store(chain, Ordering::Relaxed);
            return Some(Turn { after: After::Idle });
        }
        self.begin_anew(chain, owner, me())
    }

    #[cold]
    fn begin_anew(&self, chain: u64, owner: u64, me: u64) -> Option<Turn> {
        if owner == chain {
            return self.come_back(chain, me);
        }
        let is_open = self.is_open(owner, me) && self.take(owner, chain, me);
        is_open.then_some(Turn { after: After::Idle })
    }

    /// Begins a chain's turn on a thread that is no dispatcher's; `None` while it is not its turn.
    #[inline]
    pub fn visit(&self, chain: u64, me: u64) -> Option<Turn> {
        if self.is_due_or_none(me) && self.take(FREE, chain, me) {
            return Some(Turn { after: After::Free });
        }
        let owner = self.owner.load(Ordering::Relaxed);
        if owner == chain {
            return self.come_back(chain, me);
        }
        let is_taken = owner == OFFERED && self.is_due_or_none(me) && self.take(OFFERED, chain, me);
        is_taken.then_some(Turn { after: After::Free })
    }

    #[inline]
    fn take(&self, from: u64, chain: u64, me: u64) -> bool {
        // TURN-ENDED, acquire.
        let taken = self
            .owner
            .compare_exchange(from, chain, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            return false;
        }
        self.runner.store(me, Ordering::Relaxed);
        if self.due.load(Ordering::Relaxed) == me {
            self.due.store(0, Ordering::Relaxed);
        }
        true
    }

    /// Ends a turn; `true` if the caller must tell the threads that sleep.
    #[inline]
    #[must_use]
    pub fn end(&self, turn: Turn) -> bool {
        match turn.after {
            After::Kept => false,
            After::Idle => {
                // Relaxed: the next turn is this thread's, or `leave` releases. Who waits has said that it
                // wants a turn, and is offered it.
                self.owner.store(IDLE, Ordering::Relaxed);
                false
            }
            After::Free => self.free(),
            After::Lent(lent) => self.lend(lent),
            After::Guest(lent) => self.end_guest(lent),
        }
    }

    /// Whether a chain's turn could begin on the dispatcher's thread, which then tries.
    pub fn could_begin(&self, chain: u64, me: u64) -> bool {
        let owner = self.owner.load(Ordering::Relaxed);
        if owner != chain {
            return self.is_open(owner, me);
        }
        let lent = Lent(self.lent.load(Ordering::Relaxed));
        self.runner.load(Ordering::Relaxed) == me || self.may_borrow(lent, chain)
    }

    /// Whether a caller in this process wants a turn.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    /// Whether a chain, which is this thread's own, has the turn lock.
    pub fn belongs_to(&self, chain: u64) -> bool {
        self.owner.load(Ordering::Relaxed) == chain
    }

    /// The dispatcher lets callers in this process go first, if there are any; `true` when they
    /// are to be told.
    #[inline]
    #[must_use]
    pub fn offer(&self) -> bool {
        self.is_wanted() && self.leave(OFFERED)
    }

    /// The dispatcher lets go, because it has nothing to do; `true` when somebody is to be told.
    #[must_use]
    pub fn release(&self) -> bool {
        self.leave(FREE)
    }

    /// Changes the state from idle to another; only the dispatcher's thread does that.
    fn leave(&self, to: u64) -> bool {
        if self.owner.load(Ordering::Relaxed) != IDLE {
            return false;
        }
        self.runner.store(0, Ordering::Relaxed);
        // TURN-ENDED, release.
        self.owner.store(to, Ordering::Release);
        self.has_waiters()
    }

    /// The chain that has the turn lock; `None` if the dispatcher, on the thread `me`, could take it, and then tries.
    #[inline]
    pub fn holder(&self, me: impl FnOnce() -> u64) -> Option<u64> {
        let owner = self.owner.load(Ordering::Relaxed);
        (owner != IDLE && !self.is_open(owner, me())).then_some(owner)
    }

    /// Whether the dispatcher's thread may take it out of this state.
    fn is_open(&self, owner: u64, me: u64) -> bool {
        match owner {
            IDLE => true,
            FREE => self.is_due_or_none(me),
            OFFERED => !self.is_wanted() || self.due.load(Ordering::Relaxed) == me,
            _ => false,
        }
    }

    #[inline]
    fn is_due_or_none(&self, me: u64) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        due == 0 || due == me
    }

    #[inline]
    fn free(&self) -> bool {
        self.runner.store(0, Ordering::Relaxed);
        // TURN-ENDED, release.
        self.owner.store(FREE, Ordering::Release);
        self.has_waiters()
    }

    #[inline]
    fn has_waiters(&self) -> bool {
        // TURN-OR-WAITER, who changes something.
        fence(Ordering::SeqCst);
        self.waiters.load(Ordering::Relaxed) != 0
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests;
