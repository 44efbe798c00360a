//! What waits for the thread of the services: calls, up to a bound for each plugin and for all; what the host wants; ticks that have been answered.

use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

use callgate_client::dynamic::Responder;
use parking_lot::{Condvar, Mutex};

use crate::line::{Line, Whose};
use crate::request::Request;
use crate::stores::Stores;

/// What the host wants to be done with the files.
pub(crate) type HostJob = Box<dyn FnOnce(&mut Stores) + Send>;

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) name: Box<str>,
    /// Its number on the bus, which is another one in its next life.
    pub(crate) number: u64,
}

/// A call that waits.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) request: Request,
    pub(crate) responder: Responder,
    /// Of its arguments.
    pub(crate) bytes: usize,
}

/// What the thread has to do.
pub(crate) enum Job {
    Call(Call),
    /// What the host wants.
    Host(HostJob),
}

/// What waits for the thread.
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

/// What is taken out at once.
pub(crate) struct Taken {
    /// One thing, or several changes of one plugin's keys.
    pub(crate) jobs: Vec<Job>,
    pub(crate) answered: Vec<u64>,
}

impl Job {
    /// Whether another one can be done together with this one, which came before it.
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

    /// Puts a call in; where there is no room for it, its responder is given back.
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
            // It was a call.
            Err(Job::Host(_)) => Ok(()),
        }
    }

    /// Puts in what the host wants, which always has room; false where the thread has ended.
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

    /// Takes out what there is, waiting for it until then at most; `None` once the mailbox is closed.
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

    /// Lets nothing in any more, and has the thread end.
    pub(crate) fn close(&self) {
        self.contents.lock().is_closed = true;
        self.change.notify_one();
    }

    /// What was still waiting when the mailbox was closed.
    pub(crate) fn rest(&self) -> Vec<Job> {
        self.contents.lock().line.rest()
    }
}

/// Wakes the thread when a tick has been answered.
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
