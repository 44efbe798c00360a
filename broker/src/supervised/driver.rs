//! Drives the course of a program: one thread that carries out its effects.

use std::ffi::OsStr;
use std::io;
use std::process::Command as Program;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};

use super::{MakeProgram, Shared};
use crate::child::{Child, Progress};
use crate::handle::BrokerHandle;
use crate::supervision::{Course, Effect, Event, Exit, Pulse, State, Status, Watchdog};

/// How long a process may take to end after SIGKILL: only one that hangs in the kernel takes it.
const KILL_GRACE: Duration = Duration::from_secs(2);

const VARIABLE: &str = "CALLGATE_DEBUG";

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
    /// What the library of the present life answers.
    asked: Option<Receiver<io::Result<Pulse>>>,
    watchdog: Watchdog,
    /// Whether somebody may stop the process in a debugger: then nothing is asked.
    is_debugged: bool,
    /// What comes of the start that is under way.
    starting: Option<Receiver<io::Result<Child>>>,
}

impl Driver {
    pub(super) fn new(
        (name, program, is_debugged): (&str, MakeProgram, bool),
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
            asked: None,
            watchdog: Watchdog::new(),
            is_debugged,
            starting: None,
        }
    }

    /// Supervises the program, of which a process runs already, until that is over.
    pub(super) fn run(mut self, first: Child) {
        let (mut broker, nothing, nobody) = (self.take(first), never(), never());
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
                recv(self.asked.as_ref().unwrap_or(&nobody)) -> answer => self.answered(answer.ok()),
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

    /// The library has answered; `None` where it has gone.
    fn answered(&mut self, answer: Option<io::Result<Pulse>>) -> Broker {
        self.asked = None;
        match answer {
            Some(Ok(pulse)) if self.watchdog.hears(pulse) => self.tell(Event::Answered),
            // It is told by its end, or counts as hung after some of these.
            Some(Ok(_) | Err(_)) | None => Broker::Runs,
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
        (self.asked, self.watchdog) = (None, Watchdog::new());
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
        if let Some(answer) = self.asked.as_ref().and_then(|asked| asked.try_recv().ok())
            && self.answered(Some(answer)) == Broker::Gone
        {
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
                Effect::Start => {
                    let program = (self.program)();
                    self.is_debugged = is_debugged(&program);
                    match self.handle.begin_spawn(&self.name, program) {
                        Ok(starting) => self.starting = Some(starting),
                        Err(_) => return Broker::Gone,
                    }
                }
                Effect::Ask if self.is_debugged => {
                    self.shared.seen.lock().course.on(Event::Answered, now);
                }
                Effect::Ask => match self.handle.begin_pulse(&self.name) {
                    Ok(asked) => self.asked = Some(asked),
                    Err(_) => return Broker::Gone,
                },
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

/// Whether a program is started with `CALLGATE_DEBUG=1`, which says that people stop it in a debugger.
pub(super) fn is_debugged(program: &Program) -> bool {
    let own = |(name, value): (&OsStr, Option<&OsStr>)| {
        (name == VARIABLE).then(|| value.map(OsStr::to_owned))
    };
    let value = program.get_envs().find_map(own);
    let value = value.unwrap_or_else(|| std::env::var_os(VARIABLE));
    value.is_some_and(|value| value == "1")
}
