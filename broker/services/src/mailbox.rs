//! The queue for the thread of the services: calls, limited for each plugin and for all; jobs of the host; the numbers of schedules whose
//! ticks have been answered.

use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

use callgate_client::dynamic::Responder;
use parking_lot::{Condvar, Mutex};

use crate::line::{Line, Whose};
use crate::request::Request;
use crate::stores::Stores;

/// A job that the host wants done with the files.
pub(crate) type HostJob = Box<dyn FnOnce(&mut Stores) + Send>;

/// The plugin that calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) name: Box<str>,
    /// Its number on the bus, which changes with each of its lives.
    pub(crate) number: u64,
}

/// A call that waits.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) request: Request,
    pub(crate) responder: Responder,
    /// How many bytes its arguments have.
    pub(crate) bytes: usize,
}

/// What the thread does next.
pub(crate) enum Job {
    Call(Call),
    /// A job of the host.
    Host(HostJob),
}

/// The mailbox: the line of jobs, and the schedules whose ticks have been answered.
pub(crate) struct Mailbox {
    contents: Mutex<Contents>,
    change: Condvar,
}

struct Contents {
    line: Line<Job>,
    /// The numbers of schedules whose ticks have been answered.
    answered: Vec<u64>,
    is_closed: bool,
}

/// What [`Mailbox::take`] takes out at once.
pub(crate) struct Taken {
    /// One job, or several changes of one plugin's keys.
    pub(crate) jobs: Vec<Job>,
    pub(crate) answered: Vec<u64>,
}

impl Job {
    /// Whether `next`, which came after this job, can be done together with it.
    fn is_like(&self, next: &Job) -> bool {
        match (self, next) {
            (Job::Call(call), Job::Call(next)) => call.request.is_like(&next.request),
            _ => false,
        }
    }
}

impl Mailbox {
    pub(crate) fn new() -> Mailbox {
        Mailbox {
            contents: Mutex::new(Contents {
                line: Line::new(),
                answered: Vec::new(),
                is_closed: false,
            }),
            change: Condvar::new(),
        }
    }

    /// Queues a call. If there is no room for it, returns its responder.
    pub(crate) fn call(&self, call: Call) -> Result<(), Responder> {
        let mut contents = self.contents.lock();
        if contents.is_closed {
            return Err(call.responder);
        }
        let (whose, bytes) = (Whose::Plugin(call.caller.number), call.bytes);
        match contents.line.push(whose, Job::Call(call), bytes) {
            Ok(()) => {
                drop(contents);
                self.change.notify_one();
                Ok(())
            }
            Err(Job::Call(call)) => Err(call.responder),
            // Does not happen: what was pushed is a call.
            Err(Job::Host(_)) => Ok(()),
        }
    }

    /// Queues a job of the host, for which there is always room. Returns false if the thread has ended.
    pub(crate) fn host(&self, job: HostJob) -> bool {
        let mut contents = self.contents.lock();
        let is_in = !contents.is_closed && {
            let pushed = contents.line.push(Whose::Host, Job::Host(job), 0);
            pushed.is_ok()
        };
        drop(contents);
        self.change.notify_one();
        is_in
    }

    /// Takes out what there is, and waits for it at most until this time. `None` once the mailbox is closed.
    pub(crate) fn take(&self, until: Option<Instant>) -> Option<Taken> {
        let mut contents = self.contents.lock();
        while !contents.is_closed && contents.line.is_empty() && contents.answered.is_empty() {
            match until {
                None => self.change.wait(&mut contents),
                Some(until) => {
                    if self.change.wait_until(&mut contents, until).timed_out() {
                        break;
                    }
                }
            }
        }
        (!contents.is_closed).then(|| Taken {
            jobs: contents.line.take(Job::is_like),
            answered: std::mem::take(&mut contents.answered),
        })
    }

    /// Closes the mailbox: nothing is queued any more, and the thread ends.
    pub(crate) fn close(&self) {
        self.contents.lock().is_closed = true;
        self.change.notify_one();
    }

    /// What was still waiting when the mailbox was closed.
    pub(crate) fn rest(&self) -> Vec<Job> {
        self.contents.lock().line.rest()
    }
}

/// Tells the thread that a tick of this schedule has been answered.
pub(crate) struct TickWaker {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) number: u64,
}

impl Wake for TickWaker {
    fn wake(self: Arc<Self>) {
        self.mailbox.contents.lock().answered.push(self.number);
        self.mailbox.change.notify_one();
    }
}
