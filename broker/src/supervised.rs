//! Programs that link the client and that the broker starts again whenever they end.

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
/// Dropping this kills the program, and waits for its end. To give the program time to end in order, call [`Supervised::stop`] first. The
/// end of the broker ends the program as well; a host that replaces its broker supervises the program again with the new one.
#[derive(Debug)]
#[must_use = "dropping it kills the program"]
pub struct Supervised {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
    fork: ForkMark,
}

/// State that the driver's thread updates and the handle reads.
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
        // The caller has just started the program, so the course's first effect is carried out already.
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
            // Without the thread nobody would supervise the process.
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

    /// The status of the program.
    pub fn status(&self) -> Status {
        let (mut status, child) = {
            let seen = self.shared.seen.lock();
            (seen.course.status(Instant::now()), seen.child.clone())
        };
        // `Child::wait_ready` may know that the process has connected before the driver's thread does.
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

    /// Starts the program if it is stopped, waits, or is in quarantine. Like the methods below this returns without waiting; use
    /// [`Supervised::wait_for`] to wait for the result.
    ///
    /// # Errors
    ///
    /// The broker has stopped; the same holds for the methods below.
    pub fn start(&self) -> io::Result<()> {
        self.order(Event::Start)
    }

    /// Ends the program, and starts it again without delay.
    pub fn restart(&self) -> io::Result<()> {
        self.order(Event::Restart)
    }

    /// Ends the program and its process group: with SIGTERM, and with SIGKILL once the [grace](Restart::stop_grace) has passed. It stays
    /// stopped until it is [started](Supervised::start).
    pub fn stop(&self) -> io::Result<()> {
        self.order(Event::Stop)
    }

    /// Waits until the program is in this state, for at most `timeout`; returns whether it is.
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
            // A forked child has no copy of the thread, and must not end the program, which belongs to the parent.
            std::mem::forget(self.thread.take());
            return;
        }
        // Sending fails only if the thread has ended; then the broker has ended too, with all programs that it had started.
        let _ = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that supervises a program has panicked");
        }
    }
}
