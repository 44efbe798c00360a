//! A plugin, as its dispatcher serves it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use callgate_layout::sys::futex::{self, Awaited};

use super::linked::LinkedGates;
use super::owners::Identity;
use crate::base::error::Error;
use crate::events::feeds::Feeds;
use crate::link::Link;
use crate::link::own_memory::OwnMemory;

/// Reports to the membership that a peer broke the protocol.
pub(crate) type Report = Box<dyn Fn(&Link, &Error) + Send + Sync>;

/// Called when the dispatcher has let a plugin go.
pub(crate) type OnLetGo = Box<dyn Fn() + Send + Sync>;

/// One of the plugins that a dispatcher serves: its only one, or one of a group.
pub(crate) struct Member {
    pub(crate) provided: Arc<LinkedGates>,
    pub(crate) memory: Arc<OwnMemory>,
    /// The plugin's feeds, which are the same at its other brokers.
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) identity: Identity,
    report: Report,
    /// The plugin's version that the scheduler has noticed. Only written under the scheduler's lock.
    noted: AtomicU64,
    /// Whether the scheduler has dropped its links and will not look at them again.
    has_ended: AtomicBool,
    /// 1 once the dispatcher has let the plugin go, 0 before. A thread that drops the plugin sleeps on it.
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

    /// Sets a function that is called when the dispatcher has let the plugin go, on whichever thread notices. It
    /// must not wait. To be called once, before the plugin may be let go.
    pub(crate) fn on_let_go(&self, what: OnLetGo) {
        let _ = self.on_let_go.set(what);
    }

    /// Whether its links, grants or gates have changed since the last call.
    pub(super) fn has_changed(&self) -> bool {
        let version = self.provided.version();
        self.noted.swap(version, Ordering::Relaxed) != version
    }

    /// Reports a violation by the peer of one of its links.
    pub(super) fn report(&self, link: &Link, error: &Error) {
        (self.report)(link, error);
    }

    /// Notes that the scheduler has dropped its links.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Whether the scheduler has dropped its links. To be called under the scheduler's lock.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Notes that the dispatcher runs none of its handlers, and will not any more.
    pub(super) fn let_go(&self) {
        let was_let_go = self.is_let_go.swap(1, Ordering::Release) == 1;
        futex::wake_private(&self.is_let_go);
        if let Some(what) = self.on_let_go.get().filter(|_| !was_let_go) {
            what();
        }
    }

    /// Whether the dispatcher has let it go.
    pub(crate) fn is_let_go(&self) -> bool {
        self.is_let_go.load(Ordering::Acquire) != 0
    }

    /// Waits until the dispatcher has let it go.
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
