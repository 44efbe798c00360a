//! The thread that does what children ask of other plugins, and its helper threads.
//!
//! A job may wait some seconds for a peer that does not answer; a bridge has at most one job at a time. If no job is finished for a while
//! and others wait, the loop starts another thread, so that one child's peer does not delay the other children. Helper threads end when
//! they had nothing to do for a while; the first thread stays.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use parking_lot::{Condvar, Mutex};

use super::worker::{FAREWELL, Job, Jobs};

/// Has the loop take a turn.
type Call = Box<dyn Fn() + Send + Sync>;

const NAME: &str = "callgate-asks";
/// If jobs wait and none is finished for this long, another thread is started.
const STALLED: Duration = Duration::from_millis(20);
/// How long a helper thread waits for a job before it ends.
const IDLE: Duration = Duration::from_secs(1);
/// The most threads, the first one included.
const MOST: usize = 64;

pub(super) struct Asks {
    jobs: Jobs,
    shared: Arc<Shared>,
    /// Since when jobs wait without one being finished, and the number of finished jobs at that time.
    waits: Option<(Instant, u64)>,
}

struct Shared {
    jobs: Jobs,
    queue: Receiver<Option<Job>>,
    done: AtomicU64,
    attention: Mutex<Attention>,
    call_loop: Call,
    threads: Mutex<usize>,
    /// Notified when a thread ends.
    fewer: Condvar,
}

/// Who looks after the queue.
#[derive(Default)]
struct Attention {
    /// The number of threads that wait for a job.
    idle: usize,
    /// Whether the loop knows that jobs wait.
    is_loop_told: bool,
}

/// Keeps a thread counted in `threads` until it ends.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.threads.lock() -= 1;
        self.0.fewer.notify_all();
    }
}

impl Asks {
    /// `call_loop` has the loop take a turn, in which it calls [`Asks::look`]; it must not block.
    pub(super) fn start(call_loop: impl Fn() + Send + Sync + 'static) -> io::Result<Asks> {
        let (jobs, queue) = unbounded();
        let shared = Arc::new(Shared {
            jobs: Jobs::new(jobs.clone()),
            queue,
            done: AtomicU64::new(0),
            attention: Mutex::default(),
            call_loop: Box::new(call_loop),
            threads: Mutex::new(0),
            fewer: Condvar::new(),
        });
        start_thread(&shared, None)?;
        let of = Arc::downgrade(&shared);
        let queued = move || {
            if let Some(shared) = of.upgrade() {
                shared.has_queued();
            }
        };
        Ok(Asks {
            jobs: Jobs::telling(jobs, queued),
            shared,
            waits: None,
        })
    }

    pub(super) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The next time at which [`Asks::look`] must be called.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waits.map(|(since, _)| since + STALLED)
    }

    /// Starts another thread if jobs wait and none is finished. The loop calls this in each turn.
    pub(super) fn look(&mut self, now: Instant) {
        if self.shared.is_nothing_queued() {
            self.waits = None;
            return;
        }
        let done = self.shared.done.load(Ordering::Relaxed);
        match self.waits {
            Some((since, before)) if before == done && now < since + STALLED => {}
            Some((_, before)) if before == done => {
                if *self.shared.threads.lock() < MOST
                    && let Err(error) = start_thread(&self.shared, Some(IDLE))
                {
                    tracing::debug!(%error, "no thread for what plugins ask of others");
                }
                self.waits = Some((now, done));
            }
            _ => self.waits = Some((now, done)),
        }
    }
}

/// Starts a thread, which ends after it had no job for `patience`; without `patience` it stays.
fn start_thread(shared: &Arc<Shared>, patience: Option<Duration>) -> io::Result<()> {
    *shared.threads.lock() += 1;
    let counted = Counted(shared.clone());
    let thread = thread::Builder::new().name(NAME.into());
    thread.spawn(move || counted.0.work(patience)).map(drop)
}

impl Shared {
    /// A job was queued: unless a thread waits for it, the loop has to look when it is taken.
    fn has_queued(&self) {
        let mut attention = self.attention.lock();
        if attention.idle == 0 {
            self.tell_loop(&mut attention);
        }
    }

    fn tell_loop(&self, attention: &mut Attention) {
        if !std::mem::replace(&mut attention.is_loop_told, true) {
            (self.call_loop)();
        }
    }

    /// Whether no job waits. The loop is called when one does later.
    fn is_nothing_queued(&self) -> bool {
        let mut attention = self.attention.lock();
        let is_empty = self.queue.is_empty();
        attention.is_loop_told = !is_empty;
        is_empty
    }

    /// Waits for the next job. Where others wait behind it, the loop has to look whether this one stalls.
    fn next(&self, patience: Option<Duration>) -> Result<Option<Job>, RecvTimeoutError> {
        self.attention.lock().idle += 1;
        let job = match patience {
            None => self.queue.recv().map_err(RecvTimeoutError::from),
            Some(patience) => self.queue.recv_timeout(patience),
        };
        // Both under the lock: who has queued a job there either sees that this thread is not idle, or the job is seen here.
        let mut attention = self.attention.lock();
        attention.idle -= 1;
        if !self.queue.is_empty() {
            self.tell_loop(&mut attention);
        }
        job
    }

    /// Does jobs until the queue is ended, or until there was no job for `patience`.
    fn work(&self, patience: Option<Duration>) {
        loop {
            match self.next(patience) {
                Ok(Some(job)) => {
                    job();
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
                // The end is for all threads, so it is passed on.
                Ok(None) => return self.jobs.end(),
                Err(_) => return,
            }
        }
    }
}

impl Drop for Asks {
    /// Ends the threads once they have finished the jobs that they have.
    fn drop(&mut self) {
        self.jobs.end();
        let until = Instant::now() + FAREWELL;
        let mut threads = self.shared.threads.lock();
        while *threads > 0 {
            if self
                .shared
                .fewer
                .wait_until(&mut threads, until)
                .timed_out()
            {
                tracing::warn!("a thread `{NAME}` hangs and is left behind");
                return;
            }
        }
    }
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    /// A bound that is reached only if something hangs.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// One peer that did not answer delayed everything that all children had asked of other plugins.
    #[test]
    fn jobs_that_stall_keep_no_other_waiting() {
        let mut asks = Asks::start(|| {}).expect("a thread");
        let now = Instant::now();
        asks.look(now);
        assert_eq!(asks.next(), None, "nothing waits");
        let (go_on, stalled) = bounded::<()>(0);
        let (done, is_done) = bounded(1);
        for _ in 0..3 {
            let stalled = stalled.clone();
            asks.jobs().run(Box::new(move || {
                // Blocks until the test ends.
                let _ = stalled.recv();
            }));
        }
        asks.jobs()
            .run(Box::new(move || done.send(()).expect("it is awaited")));
        let mut now = now;
        let begun = Instant::now();
        while is_done.try_recv().is_err() {
            asks.look(now);
            now = asks.next().map_or(now, |next| next.max(now));
            assert!(begun.elapsed() < PATIENCE, "it waits for the others");
            thread::yield_now();
        }
        drop(go_on);
        drop(asks);
    }

    /// The loop slept on while a job waited that another thread had queued after its last look.
    #[test]
    fn the_loop_is_called_when_a_job_waits_behind_one_that_stalls() {
        let (call, called) = bounded(8);
        let mut asks = Asks::start(move || call.send(()).expect("few calls")).expect("a thread");
        let (go_on, stalled) = bounded::<()>(0);
        let (begin, has_begun) = bounded(1);
        asks.jobs().run(Box::new(move || {
            begin.send(()).expect("it is awaited");
            let _ = stalled.recv();
        }));
        has_begun
            .recv_timeout(PATIENCE)
            .expect("it is done at once");
        asks.look(Instant::now());
        assert_eq!(asks.next(), None, "nothing waits");
        while called.try_recv().is_ok() {}
        asks.jobs().run(Box::new(|| {}));
        called.recv_timeout(PATIENCE).expect("the loop is called");
        // Once is enough: from here on the loop looks by itself.
        asks.look(Instant::now());
        assert!(asks.next().is_some());
        asks.jobs().run(Box::new(|| {}));
        assert!(called.try_recv().is_err());
        drop(go_on);
        drop(asks);
    }

    #[test]
    fn helpers_end_and_the_first_thread_stays() {
        let mut asks = Asks::start(|| {}).expect("a thread");
        let threads = |asks: &Asks| *asks.shared.threads.lock();
        start_thread(&asks.shared, Some(Duration::from_millis(1))).expect("a thread");
        let begun = Instant::now();
        while threads(&asks) > 1 {
            assert!(begun.elapsed() < PATIENCE, "it stays");
            thread::yield_now();
        }
        let (done, is_done) = bounded(1);
        asks.jobs()
            .run(Box::new(move || done.send(()).expect("it is awaited")));
        is_done
            .recv_timeout(PATIENCE)
            .expect("the first one is there");
        asks.look(Instant::now());
        assert_eq!((threads(&asks), asks.next()), (1, None));
    }
}
