//! The phase of a course, with the data that the phase needs.

use std::time::Instant;

use super::status::State;

/// What follows the end of the present life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Whatever the rules for restarting say.
    Run,
    /// The next life, without a wait.
    Again,
    /// No further life.
    Stop,
}

/// Why the present life is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The host or a person asked for it: not a crash.
    Asked,
    /// The program did something wrong: a crash, however the process ends.
    Fault,
    /// The program cannot be reached: its exit decides whether that is a crash.
    Unreachable,
}

/// The process of a life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) pid: u32,
    pub(super) since: Instant,
}

/// The phase of a course. A time is `None` if it never comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Stopped,
    /// The driver is starting the program.
    Launching {
        wish: Wish,
    },
    /// The process runs and has not reported that it is ready.
    Starting {
        life: Life,
        until: Option<Instant>,
    },
    Ready {
        life: Life,
        ask_at: Option<Instant>,
        unanswered: u32,
    },
    /// The process got SIGTERM and is killed at `kill_at`; or it got SIGKILL, and `kill_at` is `None`.
    Ending {
        life: Life,
        kill_at: Option<Instant>,
        wish: Wish,
        cause: Cause,
    },
    Waiting {
        until: Option<Instant>,
    },
    Quarantined,
}

impl Phase {
    pub(super) fn state(&self) -> State {
        match self {
            Phase::Stopped => State::Stopped,
            Phase::Launching { wish: Wish::Stop } => State::Stopping,
            Phase::Launching { .. } | Phase::Starting { .. } => State::Starting,
            Phase::Ready { .. } => State::Ready,
            Phase::Ending { .. } => State::Stopping,
            Phase::Waiting { .. } => State::Waiting,
            Phase::Quarantined => State::Quarantined,
        }
    }

    /// The process of the present life.
    pub(super) fn life(&self) -> Option<Life> {
        match *self {
            Phase::Starting { life, .. }
            | Phase::Ready { life, .. }
            | Phase::Ending { life, .. } => Some(life),
            Phase::Stopped
            | Phase::Launching { .. }
            | Phase::Waiting { .. }
            | Phase::Quarantined => None,
        }
    }

    /// The next time at which the course must act although no event arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        match *self {
            Phase::Starting { until, .. } | Phase::Waiting { until } => until,
            Phase::Ready { ask_at, .. } => ask_at,
            Phase::Ending { kill_at, .. } => kill_at,
            Phase::Stopped | Phase::Launching { .. } | Phase::Quarantined => None,
        }
    }
}
