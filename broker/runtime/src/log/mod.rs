//! The last lines of each plugin, and who follows them.
//!
//! A log is one ring behind a lock. The loop pushes lines; everyone else copies lines out of it by their numbers. A follower has no
//! queue: it is a number, and when the ring has let go of lines meanwhile it is told how many. So followers cost no memory, and
//! what the one who pushes waits for is at most the copying of as many references as the ring has lines.

mod follower;
mod line;
mod plugin_log;
mod ring;

#[cfg(test)]
mod tests;

pub use follower::Follower;
pub use line::{LogLine, LogStream};
pub use plugin_log::PluginLog;
pub use ring::Taken;
