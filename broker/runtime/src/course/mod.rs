//! Drives the courses of all plugins: one loop for their pipes, process ends and timers, and workers for work that may block.
//!
//! Only the loop owns a child's course, the reading ends of its pipes and its pidfd. The worker gets jobs with the number of a life and
//! returns results with that number. The result for a life that is over is dropped; a child that was started too late is killed.

mod asks;
mod beginning;
mod counts;
mod hearing;
mod journal;
mod last_words;
mod lending;
mod life;
mod lives;
mod looking;
mod mailbox;
mod message;
mod pace;
mod pausing;
mod plan;
mod plugin;
mod reading;
mod requests;
mod running;
mod settings;
mod source;
mod spending;
mod status;
mod supervisor;
mod surroundings;
mod taken;
mod timers;
mod tokens;
mod way_back;
mod worker;

use std::sync::Arc;

pub use counts::Counts;
pub use journal::RuntimeLogLine;
pub(crate) use message::{Refusal, Request};
pub(crate) use plan::Plan;
pub(crate) use running::{Running, Teller};
pub use settings::Limits;
pub(crate) use settings::{OnChange, Settings};
pub use status::PluginStatus;
pub(crate) use surroundings::Surroundings;

/// The name of a plugin.
pub(crate) type Name = Arc<str>;
