//! Threads for tasks that can take long, so that the broker's own thread never waits for them.

use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// How long dropping a helper waits for the job that is under way.
const FAREWELL: Duration = Duration::from_secs(2);

/// A thread that does jobs one after the other, and hands in the result of each. Dropping the helper ends the thread after the jobs that
/// are queued.
#[derive(Debug)]
pub(crate) struct Helper<T> {
    /// `None` only while the helper is dropped.
    jobs: Option<Sender<Job<T>>>,
    /// Closed when the thread ends.
    ended: Receiver<()>,
    /// How long dropping the helper waits for the thread to end.
    farewell: Duration,
}

impl<T: 'static> Helper<T> {
    /// Starts the thread; `hand_in` runs on it after each job.
    pub(crate) fn start(name: &str, hand_in: impl Fn(T) + Send + 'static) -> io::Result<Helper<T>> {
        let (jobs, queue) = unbounded::<Job<T>>();
        let (end, ended) = bounded(0);
        let thread = thread::Builder::new().name(name.into());
        thread.spawn(move || {
            let _end: Sender<()> = end;
            for job in queue {
                hand_in(job());
            }
        })?;
        let jobs = Some(jobs);
        Ok(Helper {
            jobs,
            ended,
            farewell: FAREWELL,
        })
    }

    /// Ends the thread after its jobs, without waiting for that.
    pub(crate) fn leave(mut self) {
        self.farewell = Duration::ZERO;
    }

    /// Queues a job.
    pub(crate) fn run(&self, job: impl FnOnce() -> T + Send + 'static) {
        if let Some(jobs) = &self.jobs
            && jobs.send(Box::new(job)).is_err()
        {
            tracing::error!("a helper thread of the broker has panicked");
        }
    }
}

impl<T> Drop for Helper<T> {
    fn drop(&mut self) {
        self.jobs = None;
        // A thread that hangs in the kernel cannot be waited for.
        if self.ended.recv_timeout(self.farewell) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a helper thread of the broker hangs and is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job that is dropped with its helper would leave its plugin without an answer.
    #[test]
    fn jobs_are_done_in_order_and_to_the_last() {
        let (outcomes, handed_in) = unbounded();
        let helper = Helper::start("test-helper", move |n| {
            let _ = outcomes.send(n);
        });
        let helper = helper.unwrap();
        for n in 0..100 {
            helper.run(move || n);
        }
        drop(helper);
        let handed_in: Vec<i32> = handed_in.iter().collect();
        assert_eq!(handed_in, (0..100).collect::<Vec<_>>());
    }
}
