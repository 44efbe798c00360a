//! The events that a course is told, and the effects that it asks for.

use super::exit::Exit;
use super::status::State;

/// An event of a supervised program, or a request of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request to run the program. It is started at once if it is stopped, waits, or is in quarantine; if it is stopping, it is started
    /// again after its end.
    Start,
    /// A request to end the program, and not to start it again.
    Stop,
    /// A request to end the program and start it again without delay; if no process runs, the same as [`Event::Start`].
    Restart,
    /// The result of [`Effect::Start`]: there is a process.
    Started {
        /// Its number.
        pid: u32,
    },
    /// The result of [`Effect::Start`]: there is no process. Counts as a crash.
    NotStarted {
        /// The reason, for people.
        why: String,
    },
    /// The program takes calls.
    Ready,
    /// The program has answered [`Effect::Ask`].
    Answered,
    /// The program did something after which it cannot go on. It is killed, which counts as a crash.
    Fatal {
        /// A code such as `FRAME_TOO_LARGE`.
        code: &'static str,
        /// The reason, for people.
        why: String,
    },
    /// The program cannot be reached any more, for example because it has closed a pipe. It gets SIGTERM, and SIGKILL once the grace has
    /// passed. Its exit decides whether that counts as a crash.
    Unreachable {
        /// A code such as `PROVIDER_GONE`.
        code: &'static str,
        /// The reason, for people.
        why: String,
    },
    /// The process has ended.
    Exited(Exit),
}

/// An action that the driver of a course must carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Start the program, and answer with [`Event::Started`] or [`Event::NotStarted`].
    Start,
    /// Ask the program whether it still serves, and report an answer with [`Event::Answered`].
    Ask,
    /// Send SIGTERM to the process and its group.
    Terminate,
    /// Send SIGKILL to the process and its group.
    Kill,
    /// The state has changed; for those who watch it. Always the last effect.
    Became(State),
}
