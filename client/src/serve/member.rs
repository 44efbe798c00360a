//! A plugin as its dispatcher serves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use callgate_layout::sys::futex::{self, Awaited};

use super::linked::LinkedGates;
use super::owners::Identity;
use crate::base::error::Error;
use crate::link::Link;
use crate::link::own_memory::OwnMemory;

/// Tells the control side that a peer broke the protocol.
pub(crate) type Report = Box<dyn Fn(&Link, &Error) + Send + Sync>;

/// One of the plugins that a dispatcher serves: mostly its only one, or one of a group.
pub(crate) struct Member {
    pub(crate) provided: Arc<LinkedGates>,
    pub(crate) memory: Arc<OwnMemory>,
    pub(crate) identity: Identity,
    report: Report,
    /// Its version of which the scheduler has taken note. Written behind the scheduler's lock.
    noted: AtomicU64,
    /// Told when the dispatcher has let it go.
    on_let_go: Box<dyn Fn() + Send + Sync>,
    /// 0 until the dispatcher has let it go, then 1; who drops the plugin waits for that.
    is_let_go: AtomicU32,
}

impl Member {
    pub(crate) fn new(
        provided: Arc<LinkedGates>,
        memory: Arc<OwnMemory>,
        (identity, report): (Identity, Report),
        on_let_go: Box<dyn Fn() + Send + Sync>,
    ) -> Member {
        Member {
            identity,
            provided,
            memory,
            report,
            noted: AtomicU64::new(0),
            on_let_go,
            is_let_go: AtomicU32::new(0),
        }
    }

    /// Whether its links, grants or gates have changed since the scheduler asked last.
    pub(super) fn has_changed(&self) -> bool {
        let version = self.provided.version();
        self.noted.swap(version, Ordering::Relaxed) != version
    }

    /// Says what the peer of one of its links did.
    pub(super) fn report(&self, link: &Link, error: &Error) {
        (self.report)(link, error);
    }

    /// The dispatcher runs none of its handlers, and will not any more.
    pub(super) fn let_go(&self) {
        self.is_let_go.store(1, Ordering::Release);
        futex::wake_private(&self.is_let_go);
        (self.on_let_go)();
    }

    /// Whether it has.
    pub(crate) fn is_let_go(&self) -> bool {
        self.is_let_go.load(Ordering::Acquire) != 0
    }

    /// Waits for that.
    pub(super) fn await_let_go(&self) {
        while self.is_let_go.load(Ordering::Acquire) == 0 {
            futex::wait_any(&[Awaited::private(&self.is_let_go, 0)], u64::MAX);
        }
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}
