//! Drives the course of one program: a thread that reports events to the course and carries out its effects.

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

/// How long a process may take to end after SIGKILL. Only a process that hangs in the kernel takes that long.
const KILL_GRACE: Duration = Duration::from_secs(2);

const VARIABLE: &str = "CALLGATE_DEBUG";

/// A request from the handle to the thread.
#[derive(Debug)]
pub(super) enum Order {
    /// Pass this event to the course.
    Tell(Event),
    /// Kill the program, and end the supervision.
    End,
}

/// Whether the broker still runs and can start programs.
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
    /// Whether the course was told of the process's present progress.
    is_told: bool,
    /// Gets a message when something has changed about the process.
    changes: (Sender<()>, Receiver<()>),
    /// The answer of the client library to the question that is open.
    asked: Option<Receiver<io::Result<Pulse>>>,
    watchdog: Watchdog,
    /// Whether people may stop the process in a debugger: then it is not asked, because it could not answer.
    is_debugged: bool,
    /// The result of the start that is under way.
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

    /// Supervises the program, of which the process `first` runs already, until the supervision ends.
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

    /// Handles the result of a start; `None` if the broker ended meanwhile.
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

    /// Handles an answer of the client library; `None` if the connection to it was closed.
    fn answered(&mut self, answer: Option<io::Result<Pulse>>) -> Broker {
        self.asked = None;
        match answer {
            Some(Ok(pulse)) if self.watchdog.hears(pulse) => self.tell(Event::Answered),
            // The process's end will be reported on its own; a library that stays silent counts as hung after some questions.
            Some(Ok(_) | Err(_)) | None => Broker::Runs,
        }
    }

    /// Takes over a process that was started.
    fn take(&mut self, child: Child) -> Broker {
        let pid = child.id();
        let changes = self.changes.0.clone();
        child.on_change(move || {
            // The channel holds one message; if it is full, the thread is about to look anyway.
            let _ = changes.try_send(());
        });
        self.shared.seen.lock().child = child.clone();
        (self.child, self.is_told) = (Some(child), false);
        (self.asked, self.watchdog) = (None, Watchdog::new());
        match self.tell(Event::Started { pid }) {
            // Looks once, because changes before `on_change` was set are not reported.
            Broker::Runs => self.look(),
            Broker::Gone => Broker::Gone,
        }
    }

    /// Checks how far the process has come, and whether it has ended.
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
        // Changes that have happened by now are reported to the course before the time is.
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

    /// Changes the course, publishes the new status, and carries out the effects.
    fn step(&mut self, change: impl FnOnce(&mut Course, Instant) -> Vec<Effect>) -> Broker {
        let now = Instant::now();
        let mut seen = self.shared.seen.lock();
        let effects = change(&mut seen.course, now);
        let status = seen.course.status(now);
        // Published before `seen` is unlocked, so that those who see the new status here find no older one in a listing.
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
                // Fails only if the process has ended, which the thread is about to see.
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

    /// Ends the supervision: kills the process, so that nothing of the program is left.
    fn end(mut self) {
        // If a start is under way its process must be awaited and killed: it would live on.
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

/// Whether the program's environment has `CALLGATE_DEBUG=1`, by which people say that they stop it in a debugger.
pub(super) fn is_debugged(program: &Program) -> bool {
    let own = |(name, value): (&OsStr, Option<&OsStr>)| {
        (name == VARIABLE).then(|| value.map(OsStr::to_owned))
    };
    let value = program.get_envs().find_map(own);
    let value = value.unwrap_or_else(|| std::env::var_os(VARIABLE));
    value.is_some_and(|value| value == "1")
}
