//! What a course is doing, with what it has to know for that.

use std::time::Instant;

use super::status::State;

/// What is to follow when the present life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// What the rules of restarting say.
    Run,
    /// The next life at once.
    Again,
    /// Nothing.
    Stop,
}

/// Why the present life is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody asked for it: not a crash.
    Asked,
    /// The program did something wrong: a crash however the process ends.
    Fault,
    /// The program cannot be talked to: what it exits with says whether that is a crash.
    Unreachable,
}

/// A process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) pid: u32,
    pub(super) since: Instant,
}

/// Times are `None` where they never come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Stopped,
    /// Whoever drives this starts the program.
    Launching {
        wish: Wish,
    },
    /// The process runs and has not said that it is ready.
    Starting {
        life: Life,
        until: Option<Instant>,
    },
    Ready {
        life: Life,
        ask_at: Option<Instant>,
        unanswered: u32,
    },
    /// The process was asked to end, and is killed at `kill_at`; or it was killed, and there is no such time.
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

    /// When something is to be done although nothing happens.
    pub(super) fn next(&self) -> Option<Instant> {
        match *self {
            Phase::Starting { until, .. } | Phase::Waiting { until } => until,
            Phase::Ready { ask_at, .. } => ask_at,
            Phase::Ending { kill_at, .. } => kill_at,
            Phase::Stopped | Phase::Launching { .. } | Phase::Quarantined => None,
        }
    }
}
