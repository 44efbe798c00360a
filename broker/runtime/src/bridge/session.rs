//! What the workers alone have of a bridge: its session, and what is made and dropped there because the broker is waited for.
//!
//! The worker has one job of a bridge at a time, and the next one behind all that others have for it. A job waits for the broker, and with
//! it for peers that set something up, up to some seconds for one that does not answer: so no child that uses many names can keep the
//! worker from others for longer than that.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use callgate_client::{Plugin, Provider, Subscription};
use parking_lot::Mutex;

use super::bus::Tell;

/// The session of a bridge.
pub(super) struct Session {
    /// Locked by the workers alone, also for as long as one waits for the broker or for a peer. `None` once it was closed.
    open: Mutex<Option<Opened>>,
    tasks: Mutex<Tasks>,
    tell: Arc<dyn Tell>,
}

pub(super) struct Opened {
    pub(super) plugin: Plugin,
    /// The gates under the plugin's prefix.
    pub(super) provided: Vec<Provider>,
    /// By their topics or patterns.
    pub(super) subscriptions: HashMap<Box<str>, Subscription>,
}

/// A task is under way, which may wait for others.
#[derive(Debug)]
pub(crate) struct Busy;

/// What the worker is to do with the session.
type Task = Box<dyn FnOnce(&mut Opened) + Send>;

#[derive(Default)]
struct Tasks {
    waiting: VecDeque<Task>,
    /// Whether the worker has a job for them.
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

    /// Does something with the session; `None` where it was closed. Waits for a task that is under way.
    pub(super) fn with<T>(&self, job: impl FnOnce(&mut Opened) -> T) -> Option<T> {
        self.open.lock().as_mut().map(job)
    }

    /// The same unless a task is under way.
    pub(super) fn with_now<T>(
        &self,
        job: impl FnOnce(&mut Opened) -> T,
    ) -> Result<Option<T>, Busy> {
        let mut open = self.open.try_lock().ok_or(Busy)?;
        Ok(open.as_mut().map(job))
    }

    /// Has the worker do something with the session, after everything that was given to it by this before, unless it is closed by then.
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

    /// Has the worker drop something that tells the broker of its end.
    pub(super) fn drop_later(self: &Arc<Session>, dropped: impl Send + 'static) {
        self.later(move |_| drop(dropped));
    }

    fn queue_job(self: &Arc<Session>) {
        let session = self.clone();
        self.tell.work(Box::new(move || session.work()));
    }

    /// Does one task, and has the worker come again where there are more.
    fn work(self: &Arc<Session>) {
        let task = self.tasks.lock().waiting.pop_front();
        if let Some(task) = task {
            // Where the session is closed, what the task has is dropped.
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

    /// How much the worker is still to do.
    pub(super) fn waiting(&self) -> usize {
        self.tasks.lock().waiting.len()
    }

    /// Takes the session out, to be closed. Waits for a task that is under way.
    pub(super) fn take(&self) -> Option<Opened> {
        self.open.lock().take()
    }

    /// The same unless a task is under way.
    pub(super) fn take_now(&self) -> Result<Option<Opened>, Busy> {
        Ok(self.open.try_lock().ok_or(Busy)?.take())
    }
}
