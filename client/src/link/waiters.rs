//! Waiting until a link has a pending call or payload blocks to spare.
//!
//! Freeing is on every call's path, so it costs one load while nobody waits. Sync point
//! FREED-OR-WAITER: the one that frees changes a map of what is taken and then looks for waiters,
//! the one that waits counts itself, fences, and then looks at the map; all of it sequentially
//! consistent, so that at least one of them sees the other.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use callgate_layout::sys::futex::{self, Awaited};

/// The waiters for room on one link.
#[derive(Debug)]
pub(crate) struct Waiters {
    waiters: AtomicU32,
    /// Changes whenever something became free while somebody waited.
    changes: AtomicU32,
}

impl Waiters {
    pub(crate) fn new() -> Waiters {
        Waiters {
            waiters: AtomicU32::new(0),
            changes: AtomicU32::new(0),
        }
    }

    /// Counts one more who waits.
    pub(crate) fn enter(&self) {
        self.waiters.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Counts one less.
    pub(crate) fn leave(&self) {
        self.waiters.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether somebody waits; to be asked after something was freed.
    #[inline]
    pub(crate) fn is_waited_for(&self) -> bool {
        // FREED-OR-WAITER: `Pending::free` and `Blocks::free` are SeqCst too, and cannot move below.
        self.waiters.load(Ordering::SeqCst) != 0
    }

    /// Wakes everybody, for room or for bad news.
    pub(crate) fn wake_all(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        futex::wake_private(&self.changes);
    }

    /// Tries `attempt` until it gives something or the deadline (nanoseconds of the monotonic
    /// clock) passes, sleeping in between until something changes here or in one of the words
    /// that `others` names. The caller has [entered](Waiters::enter).
    pub(crate) fn wait_for<'a, T>(
        &self,
        deadline: u64,
        mut attempt: impl FnMut() -> Option<T>,
        others: impl Fn() -> Vec<Awaited<'a>>,
    ) -> Option<T> {
        loop {
            let seen = self.changes.load(Ordering::SeqCst);
            // Named before the attempt, so that no change after it is slept through.
            let mut words = others();
            if let Some(found) = attempt() {
                return Some(found);
            }
            if callgate_layout::clock::now() >= deadline {
                return None;
            }
            words.insert(0, Awaited::private(&self.changes, seen));
            futex::wait_any_of(&words, deadline);
        }
    }
}
