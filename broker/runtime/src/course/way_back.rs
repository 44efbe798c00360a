//! How a life's bridge, its pipes and its process reach the loop, and the worker.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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
    /// What the child's author has to know: a line for the log.
    Complaint(String),
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
    complaints: Mutex<Complaints>,
}

/// How many complaints there were lately.
struct Complaints {
    since: Instant,
    count: u32,
}

/// The most complaints of one life within [`WINDOW`]: a child that errs again and again fills neither the loop's mailbox nor its log.
const MOST_COMPLAINTS: u32 = 8;
const WINDOW: Duration = Duration::from_secs(1);

impl Complaints {
    fn has_room(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= WINDOW {
            *self = Complaints {
                since: now,
                count: 0,
            };
        }
        self.count += 1;
        self.count <= MOST_COMPLAINTS
    }
}

impl WayBack {
    /// `tell` must not wait.
    pub(super) fn new(tell: impl Fn(Notice) + Send + Sync + 'static, jobs: Jobs) -> WayBack {
        WayBack {
            tell: Box::new(tell),
            jobs,
            is_woken: AtomicBool::new(false),
            is_unhealthy: AtomicBool::new(false),
            complaints: Mutex::new(Complaints {
                since: Instant::now(),
                count: 0,
            }),
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

    fn complain(&self, text: &dyn Fn() -> String) {
        if self.complaints.lock().has_room(Instant::now()) {
            (self.tell)(Notice::Complaint(text()));
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
