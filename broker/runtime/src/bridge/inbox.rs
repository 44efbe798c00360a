//! What other threads have for the loop: calls whose futures were woken, and what the worker has done.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use callgate_client::Result;
use callgate_client::dynamic::{Gate, Topic};
use parking_lot::Mutex;

use super::bus::Tell;

/// What other threads have for the loop.
pub(super) struct Inbox {
    came: Mutex<Came>,
    /// Whether the loop was woken for it.
    has_woken: AtomicBool,
    /// Whether events may be in the queues of subscriptions.
    has_events: AtomicBool,
    tell: Arc<dyn Tell>,
}

#[derive(Default)]
pub(super) struct Came {
    /// The numbers of service calls whose futures are to be polled.
    pub(super) woken: Vec<u64>,
    pub(super) done: Vec<Done>,
}

/// What the worker has done.
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
        /// Which subscription of the loop's it was for.
        number: u64,
        /// Of the frame that asked.
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

    /// An event was put into a queue.
    pub(super) fn has_event(&self) {
        self.has_events.store(true, Ordering::Release);
        self.ring();
    }

    /// Whether the queues are to be looked at. What comes after this says so again.
    pub(super) fn takes_events(&self) -> bool {
        self.has_events.swap(false, Ordering::AcqRel)
    }

    /// Events are left in the queues: they are looked at again by the next sweep.
    pub(super) fn leaves_events(&self) {
        self.has_events.store(true, Ordering::Release);
    }

    /// Has the loop look.
    pub(super) fn ring(&self) {
        if !self.has_woken.swap(true, Ordering::AcqRel) {
            self.tell.wake();
        }
    }

    /// All that has come. What comes after this wakes the loop again.
    pub(super) fn take(&self) -> Came {
        self.has_woken.store(false, Ordering::Release);
        mem::take(&mut *self.came.lock())
    }

    /// What wakes the loop for a service call.
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
