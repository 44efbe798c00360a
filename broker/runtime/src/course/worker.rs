//! The thread for what may block: starting programs, talking with the broker.
//!
//! The kernel kills what a thread has started when that thread ends, so this one lives as long as the runtime. Its jobs are done in
//! their order: the session of a life that is over is closed before that of the next one is made.

use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How long the end of the runtime waits for the job that is under way.
const FAREWELL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Worker {
    jobs: Jobs,
    /// Closed by the end of the thread.
    ended: Receiver<()>,
}

/// A way to give jobs to the worker, from any thread.
#[derive(Clone, Debug)]
pub(super) struct Jobs(Sender<Option<Job>>);

impl Jobs {
    /// Queues a job; it is dropped where the worker has ended.
    pub(super) fn run(&self, job: Job) {
        let _ = self.0.send(Some(job));
    }
}

impl Worker {
    pub(super) fn start() -> io::Result<Worker> {
        let (jobs, queue) = unbounded::<Option<Job>>();
        let (end, ended) = bounded(0);
        thread::Builder::new()
            .name("callgate-work".into())
            .spawn(move || {
                let _end: Sender<()> = end;
                while let Ok(Some(job)) = queue.recv() {
                    job();
                }
            })?;
        let jobs = Jobs(jobs);
        Ok(Worker { jobs, ended })
    }

    pub(super) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.run(Box::new(job));
    }
}

impl Drop for Worker {
    /// Ends the thread after the jobs that it has.
    fn drop(&mut self) {
        let _ = self.jobs.0.send(None);
        // One that hangs in the kernel cannot be waited for.
        if self.ended.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the thread `callgate-work` hangs and is left behind");
        }
    }
}
