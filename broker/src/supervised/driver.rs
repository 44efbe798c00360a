//! Drives the course of a program: one thread that carries out its effects.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};

use super::{MakeProgram, Shared};
use crate::child::{Child, Progress};
use crate::handle::BrokerHandle;
use crate::supervision::{Course, Effect, Event, Exit, State, Status};

/// How long a process may take to end after SIGKILL: only one that hangs in the kernel takes it.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// What the handle wants of the thread.
#[derive(Debug)]
pub(super) enum Order {
    /// The course is to hear this.
    Tell(Event),
    /// Kill the program, and supervise it no longer.
    End,
}

/// Whether there is a broker that starts programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broker {
    Runs,
    Gone,
}

pub(super) struct Driver {
    name: String,
    program: MakeProgram,
    handle: BrokerHandle,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    /// The process of the present life, as long as it has not ended.
    child: Option<Child>,
    /// Whether the course knows how far that has come.
    is_told: bool,
    /// Something has changed about the process.
    changes: (Sender<()>, Receiver<()>),
    /// What comes of the start that is under way.
    starting: Option<Receiver<io::Result<Child>>>,
}

impl Driver {
    pub(super) fn new(
        (name, program): (&str, MakeProgram),
        handle: BrokerHandle,
        shared: Arc<Shared>,
        orders: Receiver<Order>,
    ) -> Driver {
        Driver {
            name: name.to_owned(),
            program,
            handle,
            shared,
            orders,
            child: None,
            is_told: false,
            changes: bounded(1),
            starting: None,
        }
    }

    /// Supervises the program, of which a process runs already, until that is over.
    pub(super) fn run(mut self, first: Child) {
        let (mut broker, nothing) = (self.take(first), never());
        while broker == Broker::Runs {
            let next = self.shared.seen.lock().course.next();
            let timer = next.map_or_else(never, at);
            broker = select! {
                recv(self.orders) -> order => match order {
                    Ok(Order::Tell(event)) => self.tell(event),
                    Ok(Order::End) | Err(_) => break,
                },
                recv(self.changes.1) -> _ => self.look(),
                recv(self.starting.as_ref().unwrap_or(&nothing)) -> outcome => self.started(outcome.ok()),
                recv(timer) -> _ => self.tick(),
            };
        }
        self.end();
    }

    /// A start is done; `None` where the broker has ended meanwhile.
    fn started(&mut self, outcome: Option<io::Result<Child>>) -> Broker {
        self.starting = None;
        match outcome {
            Some(Ok(child)) => self.take(child),
            Some(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                let why = error.to_string();
                self.tell(Event::NotStarted { why })
            }
            Some(Err(_)) | None => Broker::Gone,
        }
    }

    /// A process runs.
    fn take(&mut self, child: Child) -> Broker {
        let pid = child.id();
        let changes = self.changes.0.clone();
        child.on_change(move || {
            // One that nobody has looked at yet is enough.
            let _ = changes.try_send(());
        });
        self.shared.seen.lock().child = child.clone();
        (self.child, self.is_told) = (Some(child), false);
        match self.tell(Event::Started { pid }) {
            // What happened before it was watched.
            Broker::Runs => self.look(),
            Broker::Gone => Broker::Gone,
        }
    }

    /// Looks what has become of the process.
    fn look(&mut self) -> Broker {
        let Some(child) = &self.child else {
            return Broker::Runs;
        };
        let event = match (child.try_wait(), child.progress()) {
            (Ok(Some(status)), _) => Event::Exited(status.into()),
            (Err(_), _) => Event::Exited(Exit::Unknown),
            (Ok(None), Progress::Connected) if !self.is_told => Event::Ready,
            (Ok(None), Progress::Failed(why)) if !self.is_told => {
                let code = "HANDSHAKE_FAILED";
                Event::Fatal { code, why }
            }
            (Ok(None), _) => return Broker::Runs,
        };
        self.is_told = true;
        if matches!(event, Event::Exited(_)) {
            self.child = None;
        }
        self.tell(event)
    }

    fn tick(&mut self) -> Broker {
        // What has happened until now counts before that time has passed.
        if self.look() == Broker::Gone {
            return Broker::Gone;
        }
        self.step(Course::tick)
    }

    fn tell(&mut self, event: Event) -> Broker {
        self.step(|course, now| course.on(event, now))
    }

    /// Changes the course, tells everybody how the program stands then, and does what is to be done.
    fn step(&mut self, change: impl FnOnce(&mut Course, Instant) -> Vec<Effect>) -> Broker {
        let now = Instant::now();
        let mut seen = self.shared.seen.lock();
        let effects = change(&mut seen.course, now);
        let status = seen.course.status(now);
        // Before anybody can see it here, so that nobody finds an older status in a listing.
        let told = self.handle.set_status(&self.name, Some(status.clone()));
        drop(seen);
        self.shared.changed.notify_all();
        for effect in effects {
            match effect {
                Effect::Start => match self.handle.begin_spawn(&self.name, (self.program)()) {
                    Ok(starting) => self.starting = Some(starting),
                    Err(_) => return Broker::Gone,
                },
                // Its connection and its end are all that is known of it.
                Effect::Ask => drop(self.shared.seen.lock().course.on(Event::Answered, now)),
                // It may have ended, which is about to be noticed.
                Effect::Terminate => drop(self.child.as_ref().map(Child::terminate)),
                Effect::Kill => drop(self.child.as_ref().map(Child::kill)),
                Effect::Became(_) => log(&self.name, &status),
            }
        }
        match told {
            Ok(()) => Broker::Runs,
            Err(_) => Broker::Gone,
        }
    }

    /// Supervises no longer: nothing is left of the program.
    fn end(mut self) {
        // A start that is under way has to be waited for: what it starts would live on.
        let starting = self.starting.take();
        if let Some(Ok(Ok(child))) = starting.map(|starting| starting.recv()) {
            self.child = Some(child);
        }
        let exit = self.child.take().map_or(Exit::Unknown, |child| {
            let _ = child.kill();
            match child.wait(KILL_GRACE) {
                Ok(Some(status)) => status.into(),
                Ok(None) | Err(_) => Exit::Unknown,
            }
        });
        let (now, why) = (Instant::now(), "it is not supervised any more".to_owned());
        let mut seen = self.shared.seen.lock();
        for event in [Event::Stop, Event::NotStarted { why }, Event::Exited(exit)] {
            seen.course.on(event, now);
        }
        let _ = self.handle.set_status(&self.name, None);
        drop(seen);
        self.shared.changed.notify_all();
    }
}

fn log(name: &str, status: &Status) {
    let exit = status
        .last_exit
        .map_or_else(String::new, |exit| exit.to_string());
    let fault = status.last_fault.as_ref();
    let why = fault.map_or(exit, |fault| format!("{}: {}", fault.code, fault.why));
    match (status.state, status.next_try) {
        (State::Waiting, Some(wait)) => {
            tracing::warn!("plugin `{name}` has crashed ({why}) and is started again in {wait:?}");
        }
        (State::Waiting | State::Quarantined, _) => {
            tracing::warn!(
                "plugin `{name}` has crashed ({why}) and is not started again by itself"
            );
        }
        (state, _) => tracing::debug!("supervised plugin `{name}` is {state}"),
    }
}
