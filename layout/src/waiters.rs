//! Waiting until a link has a free slot for a pending call, or free payload blocks.
//!
//! Private memory of one process. Freeing is on every call's path, so it costs one load while nobody
//! waits.
//!
//! **Sync point** FREED-OR-WAITER. Who frees changes a word that says what is taken ([`Pending`],
//! [`Blocks`]) and then looks whether anybody waits. Who waits counts itself, and then changes the same
//! words, to what they are (release). Changes of one word have an order: who waits changes it after what
//! was freed, and sees that; or who frees changes it later (acquire), and sees that somebody waits. There is
//! no fence, because on the path of every call it would cost more than the change itself.
//!
//! Who frees while somebody waits changes `changes` (release) and wakes; who waits reads it (acquire)
//! before it looks, and sleeps while it is as it was read.

use crate::atomic::{AtomicU32, Ordering};
use crate::blocks::Blocks;
use crate::pending::Pending;
#[cfg(not(callgate_loom))]
use crate::sys::futex;

/// The threads that wait for slots or payload blocks of one link.
#[derive(Debug)]
pub struct Waiters {
    count: AtomicU32,
    /// Changes whenever something became free while somebody waited.
    changes: AtomicU32,
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters::new()
    }
}

impl Waiters {
    /// Nobody waits.
    pub fn new() -> Waiters {
        Waiters {
            count: AtomicU32::new(0),
            changes: AtomicU32::new(0),
        }
    }

    /// Counts one more thread that waits. If there are blocks elsewhere than in the outbox, the thread
    /// [orders](Blocks::order_with_frees) itself with their frees, too; then it looks once more.
    pub fn begin(&self, pending: &Pending, blocks: &Blocks) {
        self.count.fetch_add(1, Ordering::Relaxed);
        // FREED-OR-WAITER, who waits.
        pending.order_with_frees();
        blocks.order_with_frees();
    }

    /// Counts one waiting thread less.
    pub fn end(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether any thread waits; asked after something was freed.
    #[inline]
    pub fn are_any(&self) -> bool {
        // FREED-OR-WAITER, the thread that frees: the change before this acquires, so that this is not read earlier.
        self.count.load(Ordering::Relaxed) != 0
    }

    /// Counts a change; the caller then wakes all threads that wait.
    pub fn change(&self) {
        // FREED-OR-WAITER, release.
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// The number of changes now; to be read before the look.
    pub fn seen(&self) -> u32 {
        // FREED-OR-WAITER, acquire: what was freed before the change is seen after this.
        self.changes.load(Ordering::Acquire)
    }

    /// Tries `attempt` until it returns `Some`, or `sleep` reports that the time is up. In between it calls
    /// `sleep`, which sleeps while the number of changes and the words that `others` names have the values
    /// passed to it. The caller has [begun](Waiters::begin) to wait.
    pub fn wait_for<T, W>(
        &self,
        others: impl Fn() -> W,
        mut attempt: impl FnMut() -> Option<T>,
        mut sleep: impl FnMut(u32, W) -> bool,
    ) -> Option<T> {
        loop {
            let seen = self.seen();
            // Read before the attempt: a change after it ends the sleep.
            let words = others();
            if let Some(found) = attempt() {
                return Some(found);
            }
            if !sleep(seen, words) {
                return None;
            }
        }
    }
}

#[cfg(not(callgate_loom))]
impl Waiters {
    /// The number of changes as a futex word: a wait for it ends as soon as it is not `seen` any more.
    pub fn word(&self, seen: u32) -> futex::Awaited<'_> {
        futex::Awaited::private(&self.changes, seen)
    }

    /// Wakes everybody, for something that became free or for bad news.
    pub fn wake_all(&self) {
        self.change();
        futex::wake_private(&self.changes);
    }
}
