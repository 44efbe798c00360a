//! How a program is supervised: when it is started again, when it counts as hung, when it is given up.
//!
//! [`Course`] is the state machine of one supervised program. It starts and ends nothing itself: whoever drives it
//! tells it what happened, as an [`Event`] with the time, and carries out the [`Effect`]s that it returns.
//! [`Broker::supervise`](crate::Broker::supervise) drives one for a program that links the client; the runtime
//! drives one for each of its plugins. [`Restart`] has the times and numbers that a course goes by.
//!
//! A *life* of the program is the time from [`Effect::Start`] to [`Event::Exited`] or [`Event::NotStarted`]. Events are
//! about the present life: whoever drives a course drops what it hears of an earlier one.

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
pub use status::{Fault, State, Status};
pub use watchdog::Watchdog;
