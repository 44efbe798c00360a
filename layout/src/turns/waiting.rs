//! Waiting for a turn: being counted, being told, and going next.
//!
//! The loops stand here with their order of announcement, reservation, look and sleep; the caller adds
//! how it sleeps while [`Turns::seen`] is as the step says, and what else ends its wait.

use super::{Lent, Turn, Turns};
use crate::atomic::{Ordering, fence};
#[cfg(not(callgate_loom))]
use crate::sys::futex::Awaited;

/// A thread that is about to sleep until there is a change. While this lives it is counted, so that it
/// is woken.
#[derive(Debug)]
#[must_use = "who is not counted is not woken"]
pub struct Watch<'a> {
    turns: &'a Turns,
    seen: u32,
}

impl Watch<'_> {
    /// Whether there was no change since this began.
    pub fn is_unchanged(&self) -> bool {
        self.turns.seen() == self.seen
    }
}

#[cfg(not(callgate_loom))]
impl<'a> Watch<'a> {
    /// The changes as a word to wait for: while there is none since this began.
    pub fn word(&self) -> Awaited<'a> {
        self.turns.word(self.seen)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.turns.end_waiting();
    }
}

impl Turns {
    /// Counts a thread that is about to sleep. Afterwards it looks once more.
    pub fn watch(&self) -> Watch<'_> {
        self.begin_waiting();
        Watch {
            turns: self,
            seen: self.seen(),
        }
    }

    /// As [`Turns::visit`], until `is_over` says so. In between it sleeps by `sleep`, while the number of
    /// changes is as that is told; it may return for no reason. Says besides whether somebody is to be told.
    #[must_use = "a turn ends when it is given back, and others wait to be told"]
    pub fn visit_until(
        &self,
        (chain, me): (u64, u64),
        is_over: impl FnMut() -> bool,
        sleep: impl FnMut(u32),
    ) -> (Option<Turn>, bool) {
        let attempt = || self.visit(chain, me);
        self.wait_until((me, attempt), is_over, sleep)
    }

    /// The same for a call of a re-entrant gate, whose turn may be [on top](Turns::visit_on_top) of another
    /// chain's.
    #[must_use = "a turn ends when it is given back, and others wait to be told"]
    pub fn visit_on_top_until(
        &self,
        (chain, me): (u64, u64),
        is_over: impl FnMut() -> bool,
        sleep: impl FnMut(u32),
    ) -> (Option<Turn>, bool) {
        let attempt = || self.visit(chain, me).or_else(|| self.visit_on_top(me));
        self.wait_until((me, attempt), is_over, sleep)
    }

    fn wait_until(
        &self,
        (me, mut attempt): (u64, impl FnMut() -> Option<Turn>),
        mut is_over: impl FnMut() -> bool,
        mut sleep: impl FnMut(u32),
    ) -> (Option<Turn>, bool) {
        self.begin_wanting();
        let first = self.seen();
        let turn = loop {
            let seen = self.seen();
            // It has waited for a turn of somebody else's; the next is not to be that one's again.
            if seen != first {
                self.reserve(me);
            }
            let turn = attempt();
            if turn.is_some() || is_over() {
                break turn;
            }
            sleep(seen);
        };
        self.end_wanting();
        // Unused where a chain has lent it a turn. Nobody is to be told of that: the chain has the turn
        // lock until that turn has ended.
        self.cancel_reservation(me);
        // Without a turn: the dispatcher may wait for this one to be done.
        let is_awaited = turn.is_none();
        (turn, is_awaited)
    }

    /// Sleeps, once, until what a thread has lent may be back; after it has tried [to take it
    /// back](Turns::end_lending), so that nobody else borrows it any more. `sleep` as in
    /// [`Turns::visit_until`].
    pub fn await_return(&self, lent: Lent, sleep: impl FnOnce(u32)) {
        let watch = self.watch();
        if !self.is_back(lent) {
            sleep(watch.seen);
        }
    }

    /// A thread that waits has waited longer than a turn: the next one is its own, unless another
    /// said so first. To be cancelled unless it is used.
    pub(super) fn reserve(&self, me: u64) {
        let _ = self
            .due
            .compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Cancels the reservation of the next turn, if it is this thread's, and says whether it was.
    pub(super) fn cancel_reservation(&self, me: u64) -> bool {
        let is_due = self.due.load(Ordering::Relaxed) == me;
        if is_due {
            self.due.store(0, Ordering::Relaxed);
        }
        is_due
    }

    pub(super) fn begin_waiting(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        // TURN-OR-WAITER, who waits.
        fence(Ordering::SeqCst);
    }

    pub(super) fn end_waiting(&self) {
        self.waiters.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a caller of this process that wants a turn, and waits for it.
    pub(super) fn begin_wanting(&self) {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        self.begin_waiting();
    }

    /// Counts one such caller less. A caller that leaves without a turn tells the others.
    pub(super) fn end_wanting(&self) {
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        self.end_waiting();
    }

    /// The number of changes that waiting threads were told of.
    pub fn seen(&self) -> u32 {
        // TURN-OR-WAITER, acquire: what was changed before is seen after this.
        self.changes.load(Ordering::Acquire)
    }

    /// Counts a change, and then calls `wake` to wake all threads that sleep.
    pub fn tell(&self, wake: impl FnOnce()) {
        // TURN-OR-WAITER, release.
        self.changes.fetch_add(1, Ordering::Release);
        wake();
    }
}

#[cfg(not(callgate_loom))]
impl Turns {
    /// The number of changes as a futex word: a wait for it ends as soon as it is not `seen` any more.
    pub fn word(&self, seen: u32) -> Awaited<'_> {
        Awaited::private(&self.changes, seen)
    }

    /// Counts a change, and wakes all threads that sleep.
    pub fn wake_all(&self) {
        self.tell(|| crate::sys::futex::wake_private(&self.changes));
    }
}
