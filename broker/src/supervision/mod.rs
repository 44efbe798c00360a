//! Supervision of programs: when a program is started again, when it counts as hung, and when it is given up.
//!
//! [`Course`] is the state machine of one supervised program. It starts and ends nothing itself: its driver reports each [`Event`] with its
//! time, and carries out the [`Effect`]s that the course returns. [`Broker::supervise`](crate::Broker::supervise) drives a course for a
//! program that links the client; the runtime drives one for each of its plugins. [`Restart`] holds the times and numbers that a course
//! uses.
//!
//! A *life* of the program is the time from [`Effect::Start`] to [`Event::Exited`] or [`Event::NotStarted`]. Events are about the present
//! life: the driver drops events of an earlier one.

mod course;
mod event;
mod exit;
mod phase;
mod restart;
mod status;
#[cfg(test)]
mod tests;
mod watchdog;

pub use callgate_layout::control::Pulse;
pub use course::Course;
pub use event::{Effect, Event};
pub use exit::Exit;
pub use restart::{Restart, When};
pub(crate) use status::short;
pub use status::{Fault, State, Status};
pub use watchdog::Watchdog;
