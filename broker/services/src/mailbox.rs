//! The queue for the thread of the services: calls, limited for each plugin and for all; jobs of the host; the numbers of schedules whose
//! ticks have been answered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

use callgate_client::dynamic::Responder;
use parking_lot::{Condvar, Mutex};

use crate::request::Request;
use crate::stores::Stores;

/// How many calls of one plugin, and of all, may wait, and how many bytes their arguments may have.
const PLUGIN: Held = Held {
    calls: 64,
    bytes: 4 << 20,
};
const ALL: Held = Held {
    calls: 1_024,
    bytes: 32 << 20,
};

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

/// The queue.
pub(crate) struct Mailbox {
    contents: Mutex<Contents>,
    change: Condvar,
}

struct Contents {
    jobs: VecDeque<Job>,
    all: Held,
    /// For each plugin that has calls waiting, by its number: how much waits.
    plugins: HashMap<u64, Held>,
    /// The numbers of schedules whose ticks have been answered.
    answered: Vec<u64>,
    is_closed: bool,
}

/// How many calls wait, with how many bytes of arguments.
#[derive(Clone, Copy, Default)]
struct Held {
    calls: usize,
    bytes: usize,
}

impl Held {
    fn has_room(&self, bytes: usize, most: &Held) -> bool {
        self.calls < most.calls && self.bytes + bytes <= most.bytes
    }

    fn add(&mut self, bytes: usize) {
        self.calls += 1;
        self.bytes += bytes;
    }

    fn subtract(&mut self, bytes: usize) {
        self.calls -= 1;
        self.bytes -= bytes;
    }
}

/// What [`Mailbox::take`] takes out at once.
pub(crate) struct Taken {
    pub(crate) job: Option<Job>,
    pub(crate) answered: Vec<u64>,
}

impl Mailbox {
    pub(crate) fn new() -> Mailbox {
        Mailbox {
            contents: Mutex::new(Contents {
                jobs: VecDeque::new(),
                all: Held::default(),
                plugins: HashMap::new(),
                answered: Vec::new(),
                is_closed: false,
            }),
            change: Condvar::new(),
        }
    }

    /// Queues a call. If there is no room for it, returns its responder.
    pub(crate) fn call(&self, call: Call) -> Result<(), Responder> {
        let mut contents = self.contents.lock();
        let held = contents.plugins.get(&call.caller.number).copied();
        let has_room = held.unwrap_or_default().has_room(call.bytes, &PLUGIN)
            && contents.all.has_room(call.bytes, &ALL);
        if contents.is_closed || !has_room {
            return Err(call.responder);
        }
        contents.all.add(call.bytes);
        let held = contents.plugins.entry(call.caller.number).or_default();
        held.add(call.bytes);
        contents.jobs.push_back(Job::Call(call));
        drop(contents);
        self.change.notify_one();
        Ok(())
    }

    /// Queues a job of the host, for which there is always room. Returns false if the thread has ended.
    pub(crate) fn host(&self, job: HostJob) -> bool {
        let mut contents = self.contents.lock();
        if contents.is_closed {
            return false;
        }
        contents.jobs.push_back(Job::Host(job));
        drop(contents);
        self.change.notify_one();
        true
    }

    /// Takes out what there is, and waits for it at most until this time. `None` once the mailbox is closed.
    pub(crate) fn take(&self, until: Option<Instant>) -> Option<Taken> {
        let mut contents = self.contents.lock();
        while !contents.is_closed && contents.jobs.is_empty() && contents.answered.is_empty() {
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
            job: contents.take_job(),
            answered: std::mem::take(&mut contents.answered),
        })
    }

    /// Closes the mailbox: nothing is queued any more, and the thread ends.
    pub(crate) fn close(&self) {
        self.contents.lock().is_closed = true;
        self.change.notify_one();
    }

    /// Takes out what was still waiting when the mailbox was closed.
    pub(crate) fn rest(&self) -> VecDeque<Job> {
        std::mem::take(&mut self.contents.lock().jobs)
    }
}

impl Contents {
    fn take_job(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front()?;
        if let Job::Call(Call { caller, bytes, .. }) = &job {
            self.all.subtract(*bytes);
            if let Some(held) = self.plugins.get_mut(&caller.number) {
                held.subtract(*bytes);
                if held.calls == 0 {
                    self.plugins.remove(&caller.number);
                }
            }
        }
        Some(job)
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
