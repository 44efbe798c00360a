//! Programs that are started again whenever they end.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use callgate_layout::sys::fork::ForkMark;
use parking_lot::{Condvar, Mutex};

use crate::child::Child;

/// How long the first start after an early end is waited with; twice as long after each other one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How long it is waited with at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Who has run for so long has not ended early, and is started again at once.
const LONG: Duration = Duration::from_secs(10);

/// Starts a program; told how often it was started before.
pub(crate) type Starter = Box<dyn FnMut(u64) -> io::Result<Child> + Send>;

/// A plugin's program that is started again whenever it ends; see
/// [`Broker::supervise`](crate::Broker::supervise).
///
/// Dropping this ends the program. So does the end of the broker; a host that replaces its broker supervises the
/// program anew with the next one.
#[derive(Debug)]
#[must_use = "dropping it ends the program"]
pub struct Supervised {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    fork: ForkMark,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The process that was started last.
    child: Child,
    restarts: u64,
    /// Nothing is started any more.
    is_over: bool,
}

impl Supervised {
    /// Starts a program, and supervises it on a thread of its own.
    pub(crate) fn start(name: &str, mut starter: Starter) -> io::Result<Supervised> {
        let child = starter(0)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                child: child.clone(),
                restarts: 0,
                is_over: false,
            }),
            changed: Condvar::new(),
        });
        let (its, name) = (shared.clone(), name.to_owned());
        let thread = std::thread::Builder::new().name("callgate-supervise".into());
        let thread = thread.spawn(move || its.supervise(&name, starter));
        let thread = thread.inspect_err(|_| {
            // Nobody would start it again.
            let _ = child.kill();
        })?;
        Ok(Supervised {
            shared,
            thread: Some(thread),
            fork: ForkMark::here(),
        })
    }

    /// The process that was started last, which may have ended.
    pub fn child(&self) -> Child {
        self.shared.state.lock().child.clone()
    }

    /// How often the program was started again.
    pub fn restarts(&self) -> u64 {
        self.shared.state.lock().restarts
    }

    /// Ends the program, its group, and the supervision. The same as dropping it.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if !self.fork.is_here() {
            // A forked child has no such thread, and the parent's program goes on.
            std::mem::forget(self.thread.take());
            return;
        }
        {
            let mut state = self.shared.state.lock();
            state.is_over = true;
            // It may have ended.
            let _ = state.child.kill();
        }
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that supervises a program has panicked");
        }
    }
}

impl Shared {
    /// Starts the program again whenever it has ended, until that is over.
    fn supervise(&self, name: &str, mut starter: Starter) {
        let (mut wait, mut begun) = (FIRST_WAIT, Instant::now());
        loop {
            let child = self.state.lock().child.clone();
            // Where nobody can tell how it has ended, it has ended all the same.
            let ended = child.wait(Duration::MAX);
            match begun.elapsed() >= LONG {
                true => wait = FIRST_WAIT,
                false if self.sleep(wait) => return,
                false => wait = LONGEST_WAIT.min(2 * wait),
            }
            let restarts = self.state.lock().restarts + 1;
            tracing::warn!("plugin `{name}` has ended ({ended:?}) and is started again");
            begun = Instant::now();
            match starter(restarts) {
                Ok(child) if self.took(&child, restarts) => {}
                Ok(_) => return,
                // The broker has stopped.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return,
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }

    /// Waits; true where it is over.
    fn sleep(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut state = self.state.lock();
        while !state.is_over && Instant::now() < until {
            self.changed.wait_until(&mut state, until);
        }
        state.is_over
    }

    /// Notes what was started; false where it is over, and ends that.
    fn took(&self, child: &Child, restarts: u64) -> bool {
        let mut state = self.state.lock();
        if state.is_over {
            let _ = child.kill();
            return false;
        }
        (state.child, state.restarts) = (child.clone(), restarts);
        true
    }
}
