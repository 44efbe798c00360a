//! Whether a link has ended: the word that callers wait on beside their reply slots.
//!
//! Private memory of one process.
//!
//! **Sync point** LINK-ENDED. Who ends the link stores that with release, after it has seen what the peer
//! had published; a caller loads it with acquire, *before* it looks at its reply slot. So an answer from
//! before the end is found, and wins over the end.

use crate::atomic::{AtomicU32, Ordering};
#[cfg(not(callgate_loom))]
use crate::sys::futex;

const LIVE: u32 = 0;
const ENDED: u32 = 1;

/// Whether a link has ended.
#[derive(Debug)]
pub struct Life {
    state: AtomicU32,
}

/// How the wait for an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The answer is there.
    Answered,
    /// The link has ended, and the answer did not come before.
    Gone,
}

impl Default for Life {
    fn default() -> Life {
        Life::new()
    }
}

impl Life {
    /// A link that lives.
    pub fn new() -> Life {
        Life {
            state: AtomicU32::new(LIVE),
        }
    }

    /// Says that the link has ended, for good. Afterwards everybody who waits is woken.
    pub fn end(&self) {
        // LINK-ENDED, release.
        self.state.store(ENDED, Ordering::Release);
    }

    /// Whether the link has ended.
    #[inline]
    pub fn is_over(&self) -> bool {
        // LINK-ENDED, acquire.
        self.state.load(Ordering::Acquire) == ENDED
    }

    /// How the wait for an answer has ended, if it has: by the answer, even where the link has ended
    /// after it came.
    pub fn ended(&self, is_answered: impl FnOnce() -> bool) -> Option<Ended> {
        // Loaded first: an answer that was published before the end is found by the look after that.
        let is_over = self.is_over();
        if is_answered() {
            return Some(Ended::Answered);
        }
        is_over.then_some(Ended::Gone)
    }
}

#[cfg(not(callgate_loom))]
impl Life {
    /// The state as a word to wait for: while the link lives.
    pub fn word(&self) -> futex::Awaited<'_> {
        futex::Awaited::private(&self.state, LIVE)
    }

    /// Wakes everybody who waits for this word.
    pub fn wake(&self) {
        futex::wake_private(&self.state);
    }
}
