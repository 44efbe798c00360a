//! Threads for what can take long, so that the broker's own thread never waits for it.

use std::io;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

type Job<T> = Box<dyn FnOnce() -> T + Send>;

/// How long dropping a helper waits for the job that is under way.
const FAREWELL: Duration = Duration::from_secs(2);

/// A thread that works off jobs one after the other and hands in what each came to. It ends when
/// this is dropped, after the jobs that it has.
#[derive(Debug)]
pub(crate) struct Helper<T> {
    /// `None` only while this is dropped.
    jobs: Option<Sender<Job<T>>>,
    /// Closed by the end of the thread.
    ended: Receiver<()>,
    /// How long dropping this waits for the job that is under way.
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

    /// Ends the thread after the job that it has, without waiting for that.
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
        // One that hangs in the kernel cannot be waited for.
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
