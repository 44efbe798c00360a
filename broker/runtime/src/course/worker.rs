//! Threads for work that may block.
//!
//! | thread | does | waits for |
//! |---|---|---|
//! | `callgate-work` | starts programs, makes and closes their sessions, lets others call them | the kernel, the broker |
//! | `callgate-asks` | what children ask of others: opens gates, offers topics, subscribes | the broker, and peers that set something up; see `asks.rs` |
//!
//! So a peer that does not answer delays no start of a program. The kernel kills the programs that a thread has started when that thread
//! ends, so `callgate-work` lives as long as the runtime.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How long a runtime that ends waits for the job that is under way.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Worker {
    name: &'static str,
    jobs: Jobs,
    /// Disconnected when the thread ends.
    ended: Receiver<()>,
}

/// Queues jobs for a worker, from any thread. The worker does them in order.
#[derive(Clone)]
pub(super) struct Jobs {
    queue: Sender<Option<Job>>,
    /// Called when a job was queued.
    queued: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Jobs {
    pub(super) fn new(queue: Sender<Option<Job>>) -> Jobs {
        let queued = None;
        Jobs { queue, queued }
    }

    /// The same, calling a function whenever a job was queued.
    pub(super) fn telling(
        queue: Sender<Option<Job>>,
        queued: impl Fn() + Send + Sync + 'static,
    ) -> Jobs {
        let queued: Arc<dyn Fn() + Send + Sync> = Arc::new(queued);
        let queued = Some(queued);
        Jobs { queue, queued }
    }

    /// Ends the queue: the worker ends after the jobs that are queued.
    pub(super) fn end(&self) {
        let _ = self.queue.send(None);
    }

    /// Queues a job; if the worker has ended, the job is dropped.
    pub(super) fn run(&self, job: Job) {
        let _ = self.queue.send(Some(job));
        if let Some(queued) = &self.queued {
            queued();
        }
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts a thread with this name.
    pub(super) fn start(name: &'static str) -> io::Result<Worker> {
        let (jobs, queue) = unbounded::<Option<Job>>();
        let (end, ended) = bounded(0);
        thread::Builder::new().name(name.into()).spawn(move || {
            let _end: Sender<()> = end;
            while let Ok(Some(job)) = queue.recv() {
                job();
            }
        })?;
        let jobs = Jobs::new(jobs);
        Ok(Worker { name, jobs, ended })
    }

    pub(super) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.run(Box::new(job));
    }
}

impl Drop for Worker {
    /// Ends the thread after the jobs that are queued.
    fn drop(&mut self) {
        self.jobs.end();
        // A thread that hangs in the kernel cannot be waited for.
        if self.ended.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the thread `{}` hangs and is left behind", self.name);
        }
    }
}
