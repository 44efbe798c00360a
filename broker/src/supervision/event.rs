//! What happens to a supervised program, and what is to be done about it.

use super::exit::Exit;
use super::status::State;

/// What happened to a supervised program, or what somebody wants of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The program is to run. Starts it at once where it is stopped, waits or is in quarantine; where it is
    /// stopping, it is started again afterwards.
    Start,
    /// The program is to end, and not to be started again.
    Stop,
    /// The program is to end and to be started again at once; where no process runs, the same as [`Event::Start`].
    Restart,
    /// Answers [`Effect::Start`]: there is a process.
    Started {
        /// Its number.
        pid: u32,
    },
    /// Answers [`Effect::Start`]: there is none. A crash.
    NotStarted {
        /// For people.
        why: String,
    },
    /// The program can be called.
    Ready,
    /// The program has answered [`Effect::Ask`].
    Answered,
    /// The program has done what cannot go on: it is killed, which is a crash.
    Fatal {
        /// A code such as `FRAME_TOO_LARGE`.
        code: &'static str,
        /// For people.
        why: String,
    },
    /// The program cannot be talked to any more, as where it has closed a pipe: it is asked to end, and killed after the
    /// grace. Its exit says whether that is a crash.
    Unreachable {
        /// A code such as `PROVIDER_GONE`.
        code: &'static str,
        /// For people.
        why: String,
    },
    /// The process has ended.
    Exited(Exit),
}

/// What whoever drives a course is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Start the program; [`Event::Started`] or [`Event::NotStarted`] answers it.
    Start,
    /// Ask the program whether it still serves; [`Event::Answered`] answers it.
    Ask,
    /// Ask the process and its group to end (SIGTERM).
    Terminate,
    /// End the process and its group (SIGKILL).
    Kill,
    /// The state is another one; for those who watch. Comes last.
    Became(State),
}
