//! Lending a turn to the rest of its chain.

use super::{After, Turn, Turns};
use crate::atomic::Ordering;

/// A turn that is lent: the chain's name without its highest bits, and in the low 8 bits how many
/// turns the chain has, the lender's the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent(pub(super) u64);

impl Lent {
    const MOST: u64 = 0xff;

    fn new(chain: u64, turns: u32) -> Lent {
        Lent(chain << 8 | u64::from(turns))
    }

    fn turns(self) -> u32 {
        (self.0 & Lent::MOST) as u32
    }

    fn is_for(self, chain: u64) -> bool {
        self.0 >> 8 == chain << 8 >> 8
    }
}

impl Turns {
    /// Another turn of a chain that has one: on the same thread, or while that thread waits.
    #[inline]
    pub(super) fn come_back(&self, chain: u64, me: u64) -> Option<Turn> {
        if self.runner.load(Ordering::Relaxed) == me {
            return Some(Turn { after: After::Kept });
        }
        let lent = Lent(self.lent.load(Ordering::Relaxed));
        if !self.may_borrow(lent, chain) || !self.regain(lent) {
            return None;
        }
        self.levels.store(lent.turns(), Ordering::Relaxed);
        self.runner.store(me, Ordering::Relaxed);
        Some(Turn {
            after: After::Lent(lent),
        })
    }

    /// Begins a turn of *another* chain on top of one that is lent: who waits goes on when it has ended, as
    /// after one of its own chain. `None` where nobody lends his turn. For gates that their providers
    /// call re-entrant.
    pub fn visit_on_top(&self, me: u64) -> Option<Turn> {
        let lent = Lent(self.lent.load(Ordering::Relaxed));
        if lent.0 == 0 {
            return None;
        }
        let owner = self.owner.load(Ordering::Relaxed);
        if !self.may_borrow(lent, owner) || !self.regain(lent) {
            return None;
        }
        self.count_guest();
        self.levels.store(lent.turns(), Ordering::Relaxed);
        self.runner.store(me, Ordering::Relaxed);
        Some(Turn {
            after: After::Guest(lent),
        })
    }

    pub(super) fn end_guest(&self, lent: Lent) -> bool {
        self.count_guest();
        self.lend(lent)
    }

    fn count_guest(&self) {
        // Changed by who has the turn alone. TURN-LENT orders it before what the next one does.
        let before = self.guests.load(Ordering::Relaxed);
        self.guests.store(before.wrapping_add(1), Ordering::Relaxed);
    }

    /// How often another chain has begun or ended a turn on top of one that was lent; odd while it runs
    /// there. For who has lent it: a turn that ended is counted, where this thread sees what it did.
    pub fn guests(&self) -> u32 {
        self.guests.load(Ordering::Relaxed)
    }

    pub(super) fn may_borrow(&self, lent: Lent, chain: u64) -> bool {
        lent.is_for(chain)
            && u64::from(lent.turns()) < Lent::MOST
            && self.back.load(Ordering::Relaxed) != lent.0
    }

    /// The thread that runs a chain's innermost handler is about to wait for an answer: what it
    /// lends meanwhile, and whether somebody is to be told. `None` where this is not that thread.
    pub fn begin_lending(&self, chain: u64, me: u64) -> Option<(Lent, bool)> {
        let is_it = self.runner.load(Ordering::Relaxed) == me
            && self.owner.load(Ordering::Relaxed) == chain;
        let lent = is_it.then(|| Lent::new(chain, self.levels.load(Ordering::Relaxed) + 1))?;
        Some((lent, self.lend(lent)))
    }

    /// Lends a turn, again; `true` when somebody is to be told.
    #[must_use]
    pub fn lend(&self, lent: Lent) -> bool {
        self.levels.store(lent.turns() - 1, Ordering::Relaxed);
        self.runner.store(0, Ordering::Relaxed);
        // TURN-LENT, release.
        self.lent.store(lent.0, Ordering::Release);
        self.has_waiters()
    }

    /// Takes back what was lent; false while somebody else has it, who is not followed by another.
    #[must_use]
    pub fn end_lending(&self, lent: Lent, me: u64) -> bool {
        if !self.regain(lent) {
            self.back.store(lent.0, Ordering::Relaxed);
            return false;
        }
        if self.back.load(Ordering::Relaxed) == lent.0 {
            self.back.store(0, Ordering::Relaxed);
        }
        self.runner.store(me, Ordering::Relaxed);
        true
    }

    /// Whether nobody else has what was lent.
    pub fn is_back(&self, lent: Lent) -> bool {
        self.lent.load(Ordering::Relaxed) == lent.0
    }

    fn regain(&self, lent: Lent) -> bool {
        // TURN-LENT, acquire.
        self.lent
            .compare_exchange(lent.0, 0, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }
}
