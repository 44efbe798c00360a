//! How a life's bridge, its pipes and its process reach the loop, and the worker.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use callgate_client::Error;

use super::worker::Jobs;
use crate::bridge::{Job, Tell};

/// What the loop is to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The queue to the child is full, or the child reads no more.
    Stdin,
    /// The process, which the broker started, has connected, or will not, or has ended.
    Process,
    /// It is the bridge's turn, and its child can perhaps be heard again.
    Wake,
    /// The child is too slow for this subscription.
    Unhealthy(String),
    /// The bridge's session has ended, for this reason.
    Left(String),
}

/// How what belongs to a life reaches the loop, and the worker.
pub(super) struct WayBack {
    /// Tells the loop.
    tell: Box<dyn Fn(Notice) + Send + Sync>,
    jobs: Jobs,
    /// Whether the loop was woken for the bridge and has not given it its turn since.
    is_woken: AtomicBool,
    /// Whether the loop was told that the child is too slow.
    is_unhealthy: AtomicBool,
}

impl WayBack {
    /// `tell` must not wait.
    pub(super) fn new(tell: impl Fn(Notice) + Send + Sync + 'static, jobs: Jobs) -> WayBack {
        WayBack {
            tell: Box::new(tell),
            jobs,
            is_woken: AtomicBool::new(false),
            is_unhealthy: AtomicBool::new(false),
        }
    }

    /// The bridge's turn begins: what the loop is woken for from here on makes another one.
    pub(super) fn begins_turn(&self) {
        self.is_woken.store(false, Ordering::Release);
    }

    /// Has the loop look at the queue to the child.
    pub(super) fn stdin_changed(&self) {
        (self.tell)(Notice::Stdin);
    }

    /// Has the loop look what has become of a process that the broker started.
    pub(super) fn process_changed(&self) {
        (self.tell)(Notice::Process);
    }
}

impl Tell for WayBack {
    fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            (self.tell)(Notice::Wake);
        }
    }

    fn work(&self, job: Job) {
        self.jobs.run(job);
    }

    fn unhealthy(&self, subscription: &str) {
        if !self.is_unhealthy.swap(true, Ordering::AcqRel) {
            (self.tell)(Notice::Unhealthy(subscription.to_owned()));
        }
    }

    fn left(&self, why: &Error) {
        (self.tell)(Notice::Left(why.to_string()));
    }
}

impl fmt::Debug for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WayBack").finish_non_exhaustive()
    }
}
