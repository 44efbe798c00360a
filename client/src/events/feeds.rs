//! The feeds of a plugin whose events its dispatcher runs handlers for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::feed::{Feed, Wakes};

/// Has the dispatcher of a plugin look at what has changed.
pub(crate) type Tell = Box<dyn Fn() + Send + Sync>;

/// The feeds of a plugin. They outlive brokers.
#[derive(Default)]
pub(crate) struct Feeds {
    all: Mutex<Vec<Arc<Feed>>>,
    version: AtomicU64,
    /// By way of the current membership.
    tell: ArcSwapOption<Tell>,
    is_closed: AtomicBool,
}

impl Feeds {
    /// From now on the dispatcher is told so.
    pub(crate) fn set_tell(&self, tell: Tell) {
        self.tell.store(Some(Arc::new(tell)));
    }

    /// One more.
    pub(crate) fn add(&self, feed: &Arc<Feed>) {
        {
            let mut all = self.all.lock();
            if self.is_closed.load(Ordering::Relaxed) {
                return;
            }
            all.push(feed.clone());
        }
        self.changed();
    }

    /// Forgets those that are over.
    pub(crate) fn forget_over(&self) {
        let over: Vec<_> = {
            let mut all = self.all.lock();
            all.extract_if(.., |feed| feed.is_over()).collect()
        };
        if !over.is_empty() {
            self.changed();
        }
    }

    /// Forgets all, because the plugin closes.
    pub(crate) fn close(&self) {
        let all = {
            let mut all = self.all.lock();
            // Whoever adds one looks at it behind the lock.
            self.is_closed.store(true, Ordering::Relaxed);
            std::mem::take(&mut *all)
        };
        all.iter().for_each(|feed| feed.end());
        self.changed();
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.wake();
    }

    /// The feeds, and a number that changes with them.
    pub(crate) fn all(&self) -> (u64, Vec<Arc<Feed>>) {
        let version = self.version();
        (version, self.all.lock().clone())
    }

    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

impl Wakes for Feeds {
    fn wake(&self) {
        if let Some(tell) = &*self.tell.load() {
            tell();
        }
    }
}

impl std::fmt::Debug for Feeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeds").finish_non_exhaustive()
    }
}
