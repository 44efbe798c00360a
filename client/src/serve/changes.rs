//! What a dispatcher has to take note of: that anything changed, and its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The changes of all plugins that one dispatcher serves: links, grants, gates, and those plugins
/// themselves.
#[derive(Debug)]
pub(crate) struct Changes {
    version: AtomicU64,
    closing: AtomicBool,
}

impl Changes {
    pub(crate) fn new() -> Changes {
        Changes {
            version: AtomicU64::new(1),
            closing: AtomicBool::new(false),
        }
    }

    /// Makes the dispatcher take new copies at its next look; who changes something wakes it besides.
    pub(crate) fn changed(&self) {
        // GATES-CHANGED: release here, acquire in `version`, so that who sees the new number
        // finds the change under its lock.
        self.version.fetch_add(1, Ordering::Release);
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        // GATES-CHANGED, acquire.
        self.version.load(Ordering::Acquire)
    }

    /// The dispatcher is to end; whether nobody said so before.
    pub(crate) fn close(&self) -> bool {
        let is_first = !self.closing.swap(true, Ordering::AcqRel);
        self.changed();
        is_first
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}
