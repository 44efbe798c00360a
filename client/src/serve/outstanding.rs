//! Calls that were taken and that no handler on a stack will answer: their answers were left for later, or wait for
//! space, or they are calls of re-entrant gates that wait to be run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Such calls of all plugins of a dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    /// Whether a link may have answers that wait for space, or errors to be logged about them.
    pub(crate) may_be_late: AtomicBool,
    count: AtomicUsize,
    /// How many there were so far, and how many when a thread last waited longer than for a moment.
    all: AtomicUsize,
    seen: AtomicUsize,
    /// Whether calls of re-entrant gates were taken that could not run yet.
    has_reentrant: AtomicBool,
}

/// So many answers that are left for later are many.
const MANY: usize = 8;

impl Outstanding {
    /// Updates the count for a link.
    pub(super) fn recount(&self, before: usize, now: usize) {
        if now > before {
            self.count.fetch_add(now - before, Ordering::Relaxed);
            self.all.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.count.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Whether many calls have come in a row whose answers were left for later, and many are not answered: asked by a
    /// thread that finds no more calls for the moment.
    pub(super) fn are_many(&self) -> bool {
        let all = self.all.load(Ordering::Relaxed);
        let new = all.wrapping_sub(self.seen.swap(all, Ordering::Relaxed));
        new >= MANY && self.count.load(Ordering::Relaxed) >= MANY
    }

    pub(super) fn set_reentrant(&self, has_reentrant: bool) {
        self.has_reentrant.store(has_reentrant, Ordering::Relaxed);
    }

    /// Whether calls of re-entrant gates wait for permits while another chain waits with the turn.
    pub(super) fn has_reentrant(&self) -> bool {
        self.has_reentrant.load(Ordering::Relaxed)
    }

    /// Whether there are any answers left for later or late.
    pub(super) fn are_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }
}
