//! The part of a bridge that only worker threads use: its session on the bus, and whatever is created or dropped there by waiting for the
//! broker.
//!
//! The worker has at most one job of a bridge in its queue, and adds the next one behind the jobs of all others. A job waits for the
//! broker, and through it for peers that take part in setting something up: some seconds for a peer that does not answer. So a child that
//! uses many names delays other plugins by one such job at most.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use callgate_client::{Plugin, Provider, Subscription};
use parking_lot::Mutex;

use super::bus::Tell;

/// The session of a bridge.
pub(super) struct Session {
    /// Locked by worker threads only, also while one waits for the broker or a peer. `None` once the session was closed.
    open: Mutex<Option<Opened>>,
    tasks: Mutex<Tasks>,
    tell: Arc<dyn Tell>,
}

pub(super) struct Opened {
    pub(super) plugin: Plugin,
    /// The gates under the plugin's prefix.
    pub(super) provided: Vec<Provider>,
    /// The subscriptions by topic or pattern.
    pub(super) subscriptions: HashMap<Box<str>, Subscription>,
}

/// The session is locked: a task is under way, and may be waiting for the broker.
#[derive(Debug)]
pub(crate) struct Busy;

/// A task for the worker that needs the session.
type Task = Box<dyn FnOnce(&mut Opened) + Send>;

#[derive(Default)]
struct Tasks {
    waiting: VecDeque<Task>,
    /// Whether a job for these tasks is in the worker's queue.
    has_job: bool,
}

impl Session {
    pub(super) fn new(plugin: Plugin, tell: &Arc<dyn Tell>) -> Arc<Session> {
        let opened = Opened {
            plugin,
            provided: Vec::new(),
            subscriptions: HashMap::new(),
        };
        Arc::new(Session {
            open: Mutex::new(Some(opened)),
            tasks: Mutex::default(),
            tell: tell.clone(),
        })
    }

    /// Runs `job` with the session; `None` if it was closed. Waits for a task that is under way.
    pub(super) fn with<T>(&self, job: impl FnOnce(&mut Opened) -> T) -> Option<T> {
        self.open.lock().as_mut().map(job)
    }

    /// The same, but returns [`Busy`] if a task is under way.
    pub(super) fn with_now<T>(
        &self,
        job: impl FnOnce(&mut Opened) -> T,
    ) -> Result<Option<T>, Busy> {
        let mut open = self.open.try_lock().ok_or(Busy)?;
        Ok(open.as_mut().map(job))
    }

    /// Has the worker run a task with the session, after all tasks given before. If the session is closed by then the task is dropped.
    pub(super) fn later(self: &Arc<Session>, task: impl FnOnce(&mut Opened) + Send + 'static) {
        let has_job = {
            let mut tasks = self.tasks.lock();
            tasks.waiting.push_back(Box::new(task));
            std::mem::replace(&mut tasks.has_job, true)
        };
        if !has_job {
            self.queue_job();
        }
    }

    /// Has the worker drop a value whose drop tells the broker, which may block.
    pub(super) fn drop_later(self: &Arc<Session>, dropped: impl Send + 'static) {
        self.later(move |_| drop(dropped));
    }

    fn queue_job(self: &Arc<Session>) {
        let session = self.clone();
        self.tell.work(Box::new(move || session.work()));
    }

    /// Runs one task, and queues another job if there are more.
    fn work(self: &Arc<Session>) {
        let task = self.tasks.lock().waiting.pop_front();
        if let Some(task) = task {
            // If the session is closed, the task is dropped without running.
            self.with(task);
        }
        let has_more = {
            let mut tasks = self.tasks.lock();
            tasks.has_job = !tasks.waiting.is_empty();
            tasks.has_job
        };
        if has_more {
            self.queue_job();
        }
    }

    /// The number of tasks that wait for the worker.
    pub(super) fn waiting(&self) -> usize {
        self.tasks.lock().waiting.len()
    }

    /// Takes the session out in order to close it. Waits for a task that is under way.
    pub(super) fn take(&self) -> Option<Opened> {
        self.open.lock().take()
    }

    /// The same, but returns [`Busy`] if a task is under way.
    pub(super) fn take_now(&self) -> Result<Option<Opened>, Busy> {
        Ok(self.open.try_lock().ok_or(Busy)?.take())
    }
}
