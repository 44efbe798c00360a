//! The state of a link: live, closed or ended. Callers wait on this word beside their reply slots.
//!
//! Private memory of one process.
//!
//! | state | what it means | left for |
//! |---|---|---|
//! | live | calls are published | closed, ended |
//! | closed | the peer takes no more calls ([`closing`](crate::closing)); those that it has taken are waited for | ended |
//! | ended | nothing more is answered | |
//!
//! **Sync point** LINK-ENDED. Who ends the link stores that with release, after it has seen what the peer
//! had published; a caller loads it with acquire, *before* it looks at its reply slot. So an answer from
//! before the end is found, and wins over the end.
//!
//! A thread that sees in the peer's status page that the peer takes no more calls changes the state to closed, and
//! wakes all callers that wait. From then on they look whether their calls were taken, and are woken when that is known.

use crate::atomic::{AtomicU32, Ordering};
use crate::closing::Fate;
#[cfg(not(callgate_loom))]
use crate::sys::futex;

const LIVE: u32 = 0;
const ENDED: u32 = 1;
const CLOSED: u32 = 2;

/// Whether a link can be called, or has ended.
#[derive(Debug)]
pub struct Life {
    state: AtomicU32,
}

/// How the wait for an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The answer is there.
    Answered,
    /// The peer takes no more calls, and has not taken this one.
    Untaken,
    /// The link has ended, and the answer did not come before.
    Gone,
}

/// A link's state, as it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u32);

impl Seen {
    /// True if the peer takes no more calls: a caller that sleeps must then also be woken when it is known which calls
    /// were taken.
    pub fn is_closed(self) -> bool {
        self.0 == CLOSED
    }
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

    /// Notes that the peer takes no more calls, for good. True if this changed the state. Afterwards the caller of this
    /// wakes all that wait.
    pub fn close(&self) -> bool {
        // Relaxed: this state only makes callers look at what the peer says.
        let relaxed = Ordering::Relaxed;
        self.state
            .compare_exchange(LIVE, CLOSED, relaxed, relaxed)
            .is_ok()
    }

    /// Notes that the link has ended, for good. Afterwards the caller of this wakes all that wait.
    pub fn end(&self) {
        // LINK-ENDED, release.
        self.state.store(ENDED, Ordering::Release);
    }

    /// The state now. A thread that sleeps until it changes reads it before its last look.
    pub fn seen(&self) -> Seen {
        // LINK-ENDED, acquire.
        Seen(self.state.load(Ordering::Acquire))
    }

    /// Whether calls can be published.
    #[inline]
    pub fn is_open(&self) -> bool {
        // Relaxed is enough, as below: a caller that finds another state publishes nothing, or looks again by `ended`.
        self.state.load(Ordering::Relaxed) == LIVE
    }

    /// Whether the link has ended.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ENDED
    }

    /// How the wait for an answer has ended, if it has: by the answer, even where the link has ended
    /// after it came. A call that the peer has not taken is known as such after the link's end, too.
    pub fn ended(
        &self,
        is_answered: impl FnOnce() -> bool,
        fate: impl FnOnce() -> Fate,
    ) -> Option<Ended> {
        // Loaded first: an answer that was published before the end is found by the look after that.
        let Seen(state) = self.seen();
        if is_answered() {
            return Some(Ended::Answered);
        }
        match state {
            LIVE => None,
            _ if fate() == Fate::Untaken => Some(Ended::Untaken),
            ENDED => Some(Ended::Gone),
            _ => None,
        }
    }
}

#[cfg(not(callgate_loom))]
impl Life {
    /// The state as a futex word: a wait for it ends as soon as it is not `seen` any more.
    pub fn word_seen(&self, seen: Seen) -> futex::Awaited<'_> {
        futex::Awaited::private(&self.state, seen.0)
    }

    /// Wakes all threads that wait for this word.
    pub fn wake(&self) {
        futex::wake_private(&self.state);
    }
}
