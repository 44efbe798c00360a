//! The status of a supervised program, as others see it.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::exit::Exit;
use crate::listing::{PluginState, Transport};

/// The most bytes of a reason in an error's context. The context has to fit a record even if each of these bytes is written as an escape.
const MOST_OF_REASON: usize = 512;

/// Returns the beginning of a reason, at most [`MOST_OF_REASON`] bytes.
pub(crate) fn short(why: &str) -> &str {
    &why[..why.floor_char_boundary(MOST_OF_REASON)]
}

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

/// The state as listings show it.
impl From<State> for PluginState {
    fn from(state: State) -> PluginState {
        match state {
            State::Starting => PluginState::Starting,
            State::Ready => PluginState::Ready,
            State::Waiting => PluginState::Backoff,
            State::Quarantined => PluginState::Quarantined,
            State::Stopping | State::Stopped => PluginState::Stopped,
        }
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

    /// Why a program of this name provides nothing, in a sentence for people that says what to do. For errors with the code `NOT_READY`.
    pub fn absence(&self, name: &str) -> String {
        let ended = self.how_it_ended();
        let ended = ended.unwrap_or_else(|| "it was not started".to_owned());
        let pid = self.pid.map(|pid| format!(" (process {pid})"));
        let pid = pid.unwrap_or_default();
        let start = match self.takes_orders {
            true => format!("`callgate start {name}` starts it again"),
            false => "its host can start it again".to_owned(),
        };
        let text = match self.state {
            State::Starting if self.restarts > 0 => {
                format!("is being started again{pid} and is not ready yet; before that: {ended}")
            }
            State::Starting => format!("is being started{pid} and is not ready yet"),
            State::Ready => format!("runs{pid} and does not provide it"),
            State::Waiting => {
                let left = self.next_try.unwrap_or_default().as_secs_f32();
                format!("has crashed and is started again in {left:.1} s: {ended}")
            }
            State::Quarantined => {
                format!("has crashed too often and is in quarantine: {ended}; {start}")
            }
            State::Stopping => format!("is being stopped{pid}"),
            State::Stopped => format!("is stopped; {start}"),
        };
        format!("plugin `{name}` {text}")
    }

    /// The same as JSON, with the keys of a listing: the context of such errors.
    pub fn to_context(&self, name: &str) -> Value {
        let fault = self.last_fault.as_ref();
        json!({
            "plugin": name,
            "state": PluginState::from(self.state),
            "pid": self.pid,
            "restarts": self.restarts,
            "last_exit": self.last_exit.map(|exit| exit.to_string()),
            "killed": self.was_killed,
            "last_fault": fault.map(|fault| json!({"code": fault.code, "message": short(&fault.why)})),
            "next_try_ms": self.next_try_ms(),
        })
    }

    /// The time until it is started again in milliseconds, rounded up, because it is not started earlier.
    pub(crate) fn next_try_ms(&self) -> Option<u64> {
        let left = self.next_try?;
        let millis = left.saturating_add(Duration::from_micros(999)).as_millis();
        Some(u64::try_from(millis).unwrap_or(u64::MAX))
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
