//! Handlers of a pool that other plugins of the same process run, and a pool that closes meanwhile.
//!
//! Private memory of one process. A visitor counts its visit, looks whether the plugin closes, runs the
//! handler if it does not, and counts the visit out. The thread that closes the plugin notes that and then waits
//! until no visit is left.
//!
//! **Sync point** VISIT-OR-CLOSING. Both sides change the same word, and changes of one word have an
//! order. A visit that is counted before the closer's first look is seen by that look. One that is counted
//! after it acquires what the closer said before. The same holds for a visit's end: the closer sees that
//! it has ended, or who ended it sees the plugin closing and wakes the closer. So there is no fence.

use crate::atomic::{AtomicU32, Ordering};

/// How many visits are under way.
#[derive(Debug, Default)]
pub struct Visits {
    count: AtomicU32,
}

impl Visits {
    /// No visit.
    pub fn new() -> Visits {
        Visits {
            count: AtomicU32::new(0),
        }
    }

    /// Counts a visit. Afterwards the visitor looks whether the plugin closes.
    #[inline]
    pub fn begin(&self) {
        // VISIT-OR-CLOSING, who visits. Acquire is enough: what happens inside is released by `end`.
        self.count.fetch_add(1, Ordering::Acquire);
    }

    /// Counts a visit out. `true` if it was the last one and `is_closing` says that the plugin closes: the
    /// visitor then wakes the thread that closes it.
    #[inline]
    #[must_use]
    pub fn end(&self, is_closing: impl FnOnce() -> bool) -> bool {
        // VISIT-OR-CLOSING, who visited. Release besides: the handler's effects are seen by the closer.
        self.count.fetch_sub(1, Ordering::AcqRel) == 1 && is_closing()
    }

    /// How many there are, as far as this thread can see.
    pub fn seen(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until there is no visit, after the plugin's closing was said. `sleep` sleeps while the
    /// [word](Visits::word) is as it is told, and may return for no reason.
    pub fn await_end(&self, sleep: impl Fn(u32)) {
        // VISIT-OR-CLOSING, who closes: a change that changes nothing.
        let mut left = self.count.fetch_or(0, Ordering::AcqRel);
        while left != 0 {
            sleep(left);
            // VISIT-OR-CLOSING, acquire: what the handlers did is seen.
            left = self.count.load(Ordering::Acquire);
        }
    }
}

#[cfg(not(callgate_loom))]
impl Visits {
    /// The word to sleep on while visits are left.
    pub fn word(&self) -> &AtomicU32 {
        &self.count
    }
}
