//! Programs that are started again whenever they end.

mod driver;

use std::io;
use std::process::Command as Program;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use callgate_layout::sys::fork::ForkMark;
use crossbeam_channel::{Sender, unbounded};
use parking_lot::{Condvar, Mutex};

use crate::child::{Child, Progress};
use crate::handle::BrokerHandle;
use crate::supervision::{Course, Event, Restart, State, Status};
use driver::{Driver, Order, is_debugged};

/// Makes the command for each start of a program.
pub(crate) type MakeProgram = Box<dyn FnMut() -> Program + Send>;

/// A plugin's program that is started again when it ends; see [`Broker::supervise`](crate::Broker::supervise).
///
/// Dropping this kills the program, and waits for that: [`Supervised::stop`] before gives it the time to end in order.
/// Also the end of the broker ends it; a host that replaces its broker supervises the program anew with the next one.
#[derive(Debug)]
#[must_use = "dropping it kills the program"]
pub struct Supervised {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
    fork: ForkMark,
}

/// What the thread of the driver tells.
#[derive(Debug)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug)]
struct Seen {
    course: Course,
    /// The process that was started last.
    child: Child,
}

impl Supervised {
    /// Starts a program, and supervises it on a thread of its own.
    pub(crate) fn new(
        handle: BrokerHandle,
        name: &str,
        mut program: MakeProgram,
        restart: Restart,
    ) -> io::Result<Supervised> {
        let first = program();
        let is_debugged = is_debugged(&first);
        let child = handle.spawn(name, first)?;
        let mut course = Course::new(restart);
        // That start is done.
        course.on(Event::Start, Instant::now());
        let shared = Arc::new(Shared {
            seen: Mutex::new(Seen {
                course,
                child: child.clone(),
            }),
            changed: Condvar::new(),
        });
        let (orders, taken) = unbounded();
        let driver = Driver::new((name, program, is_debugged), handle, shared.clone(), taken);
        let first = child.clone();
        let thread = std::thread::Builder::new().name("callgate-supervise".into());
        let thread = thread.spawn(move || driver.run(first));
        let thread = thread.inspect_err(|_| {
            // Nobody would start it again.
            let _ = child.kill();
        })?;
        Ok(Supervised {
            shared,
            orders,
            thread: Some(thread),
            fork: ForkMark::here(),
        })
    }

    /// The process that was started last, which may have ended.
    pub fn child(&self) -> Child {
        self.shared.seen.lock().child.clone()
    }

    /// How the program stands.
    pub fn status(&self) -> Status {
        let (mut status, child) = {
            let seen = self.shared.seen.lock();
            (seen.course.status(Instant::now()), seen.child.clone())
        };
        // The thread is about to hear what `Child::wait_ready` knows already.
        let is_its = status.pid.is_none_or(|pid| pid == child.id());
        if is_its
            && status.state == State::Starting
            && child.progress() == Progress::Connected
            && matches!(child.try_wait(), Ok(None))
        {
            status.state = State::Ready;
            status.pid = Some(child.id());
        }
        status
    }

    /// How often the program was started again.
    pub fn restarts(&self) -> u64 {
        self.status().restarts
    }

    /// Starts the program where it is stopped, waits or is in quarantine. Returns at once, as all of these:
    /// [`Supervised::wait_for`] waits for what comes of it.
    ///
    /// # Errors
    ///
    /// Where the broker has stopped, for each of these.
    pub fn start(&self) -> io::Result<()> {
        self.order(Event::Start)
    }

    /// Ends the program, and starts it again at once.
    pub fn restart(&self) -> io::Result<()> {
        self.order(Event::Restart)
    }

    /// Ends the program and its group: with SIGTERM, and after the [grace](Restart::stop_grace) with SIGKILL. It stays
    /// away until it is [started](Supervised::start).
    pub fn stop(&self) -> io::Result<()> {
        self.order(Event::Stop)
    }

    /// Waits until the program stands so, at most so long; says whether it does.
    pub fn wait_for(&self, state: State, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut seen = self.shared.seen.lock();
        while seen.course.state() != state {
            match deadline {
                None => self.shared.changed.wait(&mut seen),
                Some(at) if Instant::now() >= at => return false,
                Some(at) => drop(self.shared.changed.wait_until(&mut seen, at)),
            }
        }
        true
    }

    fn order(&self, event: Event) -> io::Result<()> {
        let order = self.orders.send(Order::Tell(event));
        order.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the broker has stopped"))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if !self.fork.is_here() {
            // A forked child has no such thread, and the parent's program goes on.
            std::mem::forget(self.thread.take());
            return;
        }
        // Where the thread has ended, so has the broker with all that it had started.
        let _ = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that supervises a program has panicked");
        }
    }
}
