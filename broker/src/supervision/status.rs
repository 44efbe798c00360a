//! What others are told of a supervised program.

use std::fmt;
use std::time::Duration;

use super::exit::Exit;
use crate::listing::Transport;

/// Where a supervised program is on its course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is being started, or has not said yet that it is ready.
    Starting,
    /// It can be called.
    Ready,
    /// It has crashed, and is started again after the back-off.
    Waiting,
    /// It has crashed too often, and is not started again until somebody asks for it.
    Quarantined,
    /// It is to end, and has not ended yet.
    Stopping,
    /// It does not run, and is not to.
    Stopped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Waiting => "waiting",
            State::Quarantined => "quarantined",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
        })
    }
}

/// Why a course counts the end of a life as a crash, besides how the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// `HANDSHAKE_TIMEOUT`, `HUNG`, `NOT_STARTED`, or what the [event](super::Event::Fatal) said.
    pub code: &'static str,
    /// For people.
    pub why: String,
}

/// How a supervised program stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Where it is on its course.
    pub state: State,
    /// The process that runs.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last process ended.
    pub last_exit: Option<Exit>,
    /// What was wrong with its last life, where more is known than how the process ended.
    pub last_fault: Option<Fault>,
    /// Time until it is started again, while it [waits](State::Waiting).
    pub next_try: Option<Duration>,
    /// Whether whoever supervises it ended its last process with SIGKILL: for its fault, or because it did not end in its grace.
    pub was_killed: bool,
    /// How the program takes part in the bus.
    pub transport: Transport,
    /// Its version, where that is known while it is not connected.
    pub version: Option<String>,
    /// Whether `callgate start`, `stop` and `restart` reach whoever supervises it: a runtime. Of a program that its host
    /// supervises nobody but that can.
    pub takes_orders: bool,
}

impl Status {
    /// The same of a program that takes part in the bus in this way.
    pub fn with_transport(mut self, transport: Transport) -> Status {
        self.transport = transport;
        self
    }

    /// The same of a program of this version.
    pub fn with_version(mut self, version: impl Into<String>) -> Status {
        self.version = Some(version.into());
        self
    }

    /// The same of a program that a runtime supervises, which takes orders of the command line.
    pub fn with_orders(mut self) -> Status {
        self.takes_orders = true;
        self
    }

    /// How its last life ended, for people; `None` where none has.
    pub fn how_it_ended(&self) -> Option<String> {
        match (&self.last_fault, self.last_exit) {
            (Some(fault), _) => Some(format!("{}: {}", fault.code, fault.why)),
            (None, Some(exit)) if self.was_killed => Some(format!(
                "it has not ended in its grace, and was killed ({exit})"
            )),
            (None, Some(exit)) => Some(format!("it has ended ({exit})")),
            (None, None) => None,
        }
    }
}
