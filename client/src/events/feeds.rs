//! The feeds of a plugin whose handlers are run by its dispatcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::feed::{Feed, Wakes};

/// Has the plugin's dispatcher look at its feeds.
pub(crate) type Tell = Box<dyn Fn() + Send + Sync>;

/// The feeds of a plugin whose handlers are run by its dispatcher. They outlive brokers.
#[derive(Default)]
pub(crate) struct Feeds {
    all: Mutex<Vec<Arc<Feed>>>,
    version: AtomicU64,
    /// Wakes the dispatcher, through the current membership.
    tell: ArcSwapOption<Tell>,
    is_closed: AtomicBool,
}

impl Feeds {
    /// Sets what wakes the dispatcher.
    pub(crate) fn set_tell(&self, tell: Tell) {
        self.tell.store(Some(Arc::new(tell)));
    }

    /// Adds a feed, unless the plugin closes.
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

    /// Removes the feeds that are over.
    pub(crate) fn forget_over(&self) {
        let over: Vec<_> = {
            let mut all = self.all.lock();
            all.extract_if(.., |feed| feed.is_over()).collect()
        };
        if !over.is_empty() {
            self.changed();
        }
    }

    /// Ends and removes all feeds, because the plugin closes.
    pub(crate) fn close(&self) {
        let all = {
            let mut all = self.all.lock();
            // Set while the lock is held: a thread that adds a feed checks it under the lock.
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

    /// The feeds, and a version number that changes with the list.
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
