//! The status of a supervised program, as others see it.

use std::fmt;
use std::time::Duration;

use super::exit::Exit;
use crate::listing::Transport;

/// The state of a supervised program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is being started, or has not reported yet that it is ready.
    Starting,
    /// It takes calls.
    Ready,
    /// It has crashed, and will be started again after a wait.
    Waiting,
    /// It has crashed too often, and is only started again on request.
    Quarantined,
    /// It is being ended.
    Stopping,
    /// It does not run, and will not be started unless that is requested.
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

/// A reason for which a course counts the end of a life as a crash, in addition to how the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// `HANDSHAKE_TIMEOUT`, `HUNG`, `NOT_STARTED`, or the code of the [event](super::Event::Fatal).
    pub code: &'static str,
    /// The reason, for people.
    pub why: String,
}

/// The status of a supervised program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The state.
    pub state: State,
    /// The number of the process, while one runs.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last process ended.
    pub last_exit: Option<Exit>,
    /// The fault of its last life, if more is known than how the process ended.
    pub last_fault: Option<Fault>,
    /// Time until it is started again, while it [waits](State::Waiting).
    pub next_try: Option<Duration>,
    /// Whether its last process was ended with SIGKILL by its supervisor: for a fault, or because it did not end within its grace.
    pub was_killed: bool,
    /// How the program is connected to the bus.
    pub transport: Transport,
    /// Its version, if it is known even while the program is not connected.
    pub version: Option<String>,
    /// Whether `callgate start`, `stop` and `restart` work for it: true if a runtime supervises it. Only its host can start or stop a
    /// program that the host supervises.
    pub takes_orders: bool,
}

impl Status {
    /// The same status for a program that is connected to the bus in this way.
    pub fn with_transport(mut self, transport: Transport) -> Status {
        self.transport = transport;
        self
    }

    /// The same status for a program of this version.
    pub fn with_version(mut self, version: impl Into<String>) -> Status {
        self.version = Some(version.into());
        self
    }

    /// The same status for a program of a runtime, which the command line can start and stop.
    pub fn with_orders(mut self) -> Status {
        self.takes_orders = true;
        self
    }

    /// How its last life ended, for people; `None` if none has ended.
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
