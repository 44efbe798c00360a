//! The log of each plugin: its last lines, and followers that read them.
//!
//! A log is one ring behind a lock. The loop pushes lines; all other threads copy lines out by their numbers. A follower has no queue, only
//! the number of the last line that it took; if the ring has dropped lines since, the follower is told how many. So followers cost no
//! memory, and the thread that pushes waits at most while another copies one reference for each line of the ring.

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
