//! How the bridge, pipes and process of a life reach the loop and the worker.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use callgate_client::Error;

use super::worker::Jobs;
use crate::bridge::{Job, Tell};

/// A change of a life that the loop must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The queue to the child is full, or the child has closed its stdin.
    Stdin,
    /// A process that the broker started has connected, has failed to connect, or has ended.
    Process,
    /// The bridge needs a turn, after which the child's stdout may be readable again.
    Wake,
    /// The child reads too slowly for this subscription.
    Unhealthy(String),
    /// A line for the log about a problem that the child's author must know.
    Complaint(String),
    /// The bridge's session has ended, for this reason.
    Left(String),
}

/// Lets the parts of one life reach the loop and the worker.
pub(super) struct WayBack {
    /// Sends a notice to the loop.
    tell: Box<dyn Fn(Notice) + Send + Sync>,
    jobs: Jobs,
    /// Whether the loop was woken for the bridge, and has not given it a turn since.
    is_woken: AtomicBool,
    /// Whether the loop was told that the child reads too slowly.
    is_unhealthy: AtomicBool,
    complaints: Mutex<Complaints>,
}

/// The number of complaints in the present window.
struct Complaints {
    since: Instant,
    count: u32,
}

/// The most complaints of one life within [`WINDOW`], so that a child that errs again and again does not fill the loop's mailbox or its
/// log.
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
    /// `tell` must not block.
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

    /// Marks the beginning of the bridge's turn: a later wake asks for another turn.
    pub(super) fn begins_turn(&self) {
        self.is_woken.store(false, Ordering::Release);
    }

    /// Has the loop look at the queue to the child.
    pub(super) fn stdin_changed(&self) {
        (self.tell)(Notice::Stdin);
    }

    /// Has the loop check the state of a process that the broker started.
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
