//! A plugin as its dispatcher serves it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use callgate_layout::sys::futex::{self, Awaited};

use super::linked::LinkedGates;
use super::owners::Identity;
use crate::base::error::Error;
use crate::events::feeds::Feeds;
use crate::link::Link;
use crate::link::own_memory::OwnMemory;

/// Tells the control side that a peer broke the protocol.
pub(crate) type Report = Box<dyn Fn(&Link, &Error) + Send + Sync>;

/// Is told that the dispatcher has let a plugin go.
pub(crate) type OnLetGo = Box<dyn Fn() + Send + Sync>;

/// One of the plugins that a dispatcher serves: mostly its only one, or one of a group.
pub(crate) struct Member {
    pub(crate) provided: Arc<LinkedGates>,
    pub(crate) memory: Arc<OwnMemory>,
    /// Those of the plugin, also at its other brokers.
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) identity: Identity,
    report: Report,
    /// Its version of which the scheduler has taken note. Written behind the scheduler's lock.
    noted: AtomicU64,
    /// Whether the scheduler has forgotten its links, which it then never looks at again.
    has_ended: AtomicBool,
    /// 0 until the dispatcher has let it go, then 1; who drops the plugin waits for that.
    is_let_go: AtomicU32,
    on_let_go: OnceLock<OnLetGo>,
}

impl Member {
    pub(crate) fn new(
        provided: Arc<LinkedGates>,
        (memory, feeds): (Arc<OwnMemory>, Arc<Feeds>),
        (identity, report): (Identity, Report),
    ) -> Member {
        Member {
            identity,
            provided,
            memory,
            feeds,
            report,
            noted: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            is_let_go: AtomicU32::new(0),
            on_let_go: OnceLock::new(),
        }
    }

    /// Has something done when the dispatcher has let it go, by whichever thread finds that out. It must not
    /// wait. Said before it may be let go, and once.
    pub(crate) fn on_let_go(&self, what: OnLetGo) {
        let _ = self.on_let_go.set(what);
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

    /// The scheduler has forgotten its links.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Whether it has. Asked behind the scheduler's lock.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// The dispatcher runs none of its handlers, and will not any more.
    pub(super) fn let_go(&self) {
        let was_let_go = self.is_let_go.swap(1, Ordering::Release) == 1;
        futex::wake_private(&self.is_let_go);
        if let Some(what) = self.on_let_go.get().filter(|_| !was_let_go) {
            what();
        }
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
