//! What other threads leave for the loop: numbers of service calls whose futures were woken, and results of the worker.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use callgate_client::Result;
use callgate_client::dynamic::{Gate, Topic};
use parking_lot::Mutex;

use super::bus::Tell;

/// What other threads leave for the loop.
pub(super) struct Inbox {
    came: Mutex<Came>,
    /// Whether the loop was woken since it last took everything.
    has_woken: AtomicBool,
    /// Whether the queues of subscriptions may hold events.
    has_events: AtomicBool,
    tell: Arc<dyn Tell>,
}

#[derive(Default)]
pub(super) struct Came {
    /// The numbers of service calls whose futures are to be polled.
    pub(super) woken: Vec<u64>,
    pub(super) done: Vec<Done>,
}

/// A result of the worker.
pub(super) enum Done {
    Gate {
        name: Box<str>,
        outcome: Result<Gate>,
    },
    Topic {
        name: Box<str>,
        outcome: Result<Topic>,
    },
    Subscribed {
        topic: Box<str>,
        /// The number of the subscription that it is for.
        number: u64,
        /// The id of the frame that asked to subscribe.
        id: Option<Box<str>>,
        outcome: Result<()>,
    },
}

impl Inbox {
    pub(super) fn new(tell: &Arc<dyn Tell>) -> Arc<Inbox> {
        Arc::new(Inbox {
            came: Mutex::default(),
            has_woken: AtomicBool::new(false),
            has_events: AtomicBool::new(false),
            tell: tell.clone(),
        })
    }

    pub(super) fn done(&self, done: Done) {
        self.came.lock().done.push(done);
        self.ring();
    }

    /// Reports that an event was put into a queue.
    pub(super) fn has_event(&self) {
        self.has_events.store(true, Ordering::Release);
        self.ring();
    }

    /// Whether the loop must look at the queues. Resets the flag: events that are queued later set it again.
    pub(super) fn takes_events(&self) -> bool {
        self.has_events.swap(false, Ordering::AcqRel)
    }

    /// Reports that events stay in the queues, so that the next sweep looks at them again.
    pub(super) fn leaves_events(&self) {
        self.has_events.store(true, Ordering::Release);
    }

    /// Wakes the loop, unless it was woken already.
    pub(super) fn ring(&self) {
        if !self.has_woken.swap(true, Ordering::AcqRel) {
            self.tell.wake();
        }
    }

    /// Takes everything that has arrived. What arrives later wakes the loop again.
    pub(super) fn take(&self) -> Came {
        self.has_woken.store(false, Ordering::Release);
        mem::take(&mut *self.came.lock())
    }

    /// A waker that makes the loop poll this service call.
    pub(super) fn waker(self: &Arc<Inbox>, number: u64) -> Waker {
        let inbox = self.clone();
        Waker::from(Arc::new(OfCall { inbox, number }))
    }
}

struct OfCall {
    inbox: Arc<Inbox>,
    number: u64,
}

impl Wake for OfCall {
    fn wake(self: Arc<OfCall>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<OfCall>) {
        self.inbox.came.lock().woken.push(self.number);
        self.inbox.ring();
    }
}
