//! The handlers of one subscription, in the order in which they were registered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use callgate_layout::Encoding;
use parking_lot::Mutex;

use super::handlers::{ErasedEvents, EventContext};
use super::notice::{EventNotice, OnNotice};
use crate::base::error::Error;
use crate::base::thread::{contain, discard, panic_text};

/// One handler, with its function for notices.
pub(crate) struct Registered {
    handler: Box<dyn ErasedEvents>,
    on_notice: Option<OnNotice>,
    /// Whether it has been removed, and is not to be run any more.
    is_over: AtomicBool,
    failed: AtomicU64,
    /// How many events the subscription had lost when this was added.
    lost_before: AtomicU64,
}

pub(crate) type List = Arc<[Arc<Registered>]>;

/// The handlers of one subscription.
pub(crate) struct Handlers {
    list: Mutex<List>,
    /// Incremented after each change of the list.
    version: AtomicU64,
    /// How many events were overwritten before they were taken.
    lost: AtomicU64,
}

/// A copy of the list, which a feed keeps to run handlers without the lock.
#[derive(Clone)]
pub(crate) struct Copy {
    version: u64,
    list: List,
}

impl Registered {
    pub(crate) fn new(
        handler: Box<dyn ErasedEvents>,
        on_notice: Option<OnNotice>,
    ) -> Arc<Registered> {
        Arc::new(Registered {
            handler,
            on_notice,
            is_over: AtomicBool::new(false),
            failed: AtomicU64::new(0),
            lost_before: AtomicU64::new(0),
        })
    }

    /// How many events it has failed to handle.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Runs the handler, unless it was removed. Errors and panics are counted and logged, and end here.
    #[inline]
    fn run(&self, context: &EventContext<'_>, encoding: Encoding, event: &[u8]) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let run = || self.handler.run(context, encoding, event);
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.has_failed(context, &error),
            Err(panic) => {
                let text = panic_text(&*panic);
                let (topic, sender) = (context.topic(), context.sender().name());
                tracing::warn!(topic, sender, panic = text, "a handler of events panicked");
                self.failed.fetch_add(1, Ordering::Relaxed);
                discard(panic);
            }
        }
    }

    #[cold]
    fn has_failed(&self, context: &EventContext<'_>, error: &Error) {
        let (topic, sender, number) = (context.topic(), context.sender().name(), context.number());
        tracing::warn!(topic, sender, number, %error, "a handler of events failed");
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Handlers {
    pub(crate) fn new() -> Handlers {
        Handlers {
            list: Mutex::new(Arc::new([])),
            version: AtomicU64::new(1),
            lost: AtomicU64::new(0),
        }
    }

    /// Adds a handler behind the others. It is run from the next event of each feed on.
    pub(crate) fn add(&self, registered: &Arc<Registered>) {
        registered.lost_before.store(self.lost(), Ordering::Relaxed);
        self.change(|list| list.push(registered.clone()));
    }

    /// Counts lost events.
    pub(crate) fn count_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// How many events were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How many events were lost since a handler was added.
    pub(crate) fn lost_of(&self, registered: &Registered) -> u64 {
        let before = registered.lost_before.load(Ordering::Relaxed);
        self.lost().saturating_sub(before)
    }

    /// Removes a handler. Returns whether none is left.
    pub(crate) fn remove(&self, registered: &Arc<Registered>) -> bool {
        registered.is_over.store(true, Ordering::Relaxed);
        self.change(|list| list.retain(|other| !Arc::ptr_eq(other, registered)))
    }

    fn change(&self, how: impl FnOnce(&mut Vec<Arc<Registered>>)) -> bool {
        let mut list = self.list.lock();
        let mut new = list.to_vec();
        how(&mut new);
        let is_empty = new.is_empty();
        let old = std::mem::replace(&mut *list, new.into());
        self.version.fetch_add(1, Ordering::Release);
        drop(list);
        // The old list may hold the last reference to a handler.
        discard(old);
        is_empty
    }

    /// Whether a copy is up to date.
    #[inline]
    pub(crate) fn are(&self, copy: &Copy) -> bool {
        self.version.load(Ordering::Acquire) == copy.version
    }

    /// A copy of the list.
    pub(crate) fn copy(&self) -> Copy {
        let list = self.list.lock();
        let version = self.version.load(Ordering::Relaxed);
        Copy {
            version,
            list: list.clone(),
        }
    }
}

impl Copy {
    /// An empty copy, which counts as out of date.
    pub(crate) fn none() -> Copy {
        Copy {
            version: 0,
            list: Arc::new([]),
        }
    }

    /// Runs all handlers on one event.
    #[inline]
    pub(crate) fn run(&self, context: &EventContext<'_>, encoding: Encoding, event: &[u8]) {
        for registered in self.list.iter() {
            registered.run(context, encoding, event);
        }
    }

    /// Passes a notice to the functions for notices. Returns whether there was any.
    pub(crate) fn tell(&self, notice: &EventNotice) -> bool {
        let mut is_told = false;
        for registered in self.list.iter() {
            if registered.is_over.load(Ordering::Relaxed) {
                continue;
            }
            if let Some(on_notice) = &registered.on_notice {
                is_told = true;
                let text = "a function that is told of a subscription panicked";
                contain(text, || on_notice(notice));
            }
        }
        is_told
    }
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}
