//! Waiting for a turn: being counted, being told, and going next.

use super::Turns;
use crate::atomic::{Ordering, fence};

impl Turns {
    /// A thread that waits has waited longer than a turn: the next one is its own, unless another
    /// said so first. To be cancelled unless it is used.
    pub fn reserve(&self, me: u64) {
        let _ = self
            .due
            .compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Cancels the reservation of the next turn, if it is this thread's; `true` when somebody is to be told.
    #[must_use]
    pub fn cancel_reservation(&self, me: u64) -> bool {
        if self.due.load(Ordering::Relaxed) != me {
            return false;
        }
        self.due.store(0, Ordering::Relaxed);
        self.has_waiters()
    }

    /// Counts a thread that is about to wait. Afterwards it reads [`Turns::seen`], and looks once
    /// more before it sleeps.
    pub fn begin_waiting(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        // TURN-OR-WAITER, who waits.
        fence(Ordering::SeqCst);
    }

    /// Counts one less.
    pub fn end_waiting(&self) {
        self.waiters.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a caller of this process that wants a turn, and waits for it.
    pub fn begin_wanting(&self) {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        self.begin_waiting();
    }

    /// Counts one less. Who goes without a turn tells the others.
    pub fn end_wanting(&self) {
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        self.end_waiting();
    }

    /// How often there was a change that somebody waited for.
    pub fn seen(&self) -> u32 {
        // TURN-OR-WAITER, acquire: what was changed before is seen after this.
        self.changes.load(Ordering::Acquire)
    }

    /// Notes that something changed, before everybody who waits is woken.
    pub fn change(&self) {
        // TURN-OR-WAITER, release.
        self.changes.fetch_add(1, Ordering::Release);
    }
}
