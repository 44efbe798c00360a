//! Noticing that this process is a forked child of the one that made a handle.
//!
//! Maps are not inherited by forked children, so a handle used in one would fault. A counter that
//! the C library bumps in each child makes that a clear error for the price of one load.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Once;

static FORKS: AtomicU32 = AtomicU32::new(0);
static INSTALL: Once = Once::new();

/// Which side of how many forks a handle was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkMark(u32);

impl ForkMark {
    /// The mark of this process.
    pub fn here() -> ForkMark {
        INSTALL.call_once(|| {
            // SAFETY: `count` is an `extern "C"` function that lives as long as the program and
            // does nothing but add to an atomic, which is allowed in a forked child.
            unsafe { libc::pthread_atfork(None, None, Some(count)) };
        });
        ForkMark(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this is still the process in which the mark was made.
    #[inline]
    pub fn is_here(self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.0
    }
}

extern "C" fn count() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
