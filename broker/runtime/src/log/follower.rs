//! Reading a log while it grows.

use std::time::Instant;

use super::plugin_log::PluginLog;
use super::ring::Taken;

/// A reader's position in a plugin's log. A follower that takes its lines too late loses some and is told how many; it never delays the
/// plugin.
///
/// ```
/// use std::time::{Duration, Instant};
/// use callgate_runtime::PluginLog;
///
/// fn follow(log: &PluginLog) {
///     let mut follower = log.follow(10);
///     loop {
///         follower.wait(Instant::now() + Duration::from_secs(60));
///         let taken = follower.take(100);
///         for line in &taken.lines {
///             println!("{}", line.text);
///         }
///         if taken.is_last {
///             break;
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Follower {
    log: PluginLog,
    /// The number of the last line that was taken.
    after: u64,
}

impl PluginLog {
    /// Follows the log: the last `most` lines that are there now, and all later ones.
    pub fn follow(&self, last: usize) -> Follower {
        Follower {
            log: self.clone(),
            after: self.before_last(last),
        }
    }
}

impl Follower {
    /// The lines since the last call, `most` of them at most. Does not wait.
    pub fn take(&mut self, most: usize) -> Taken {
        let taken = self.log.after(self.after, most);
        self.after = match taken.lines.last() {
            Some(line) => line.number,
            // If no line was taken the position stays, so the lost lines must be skipped here: else they would be counted again.
            None => self.after + taken.lost,
        };
        taken
    }

    /// Waits until there is a line to take, or the log is complete. Returns false if `until` has passed first.
    pub fn wait(&self, until: Instant) -> bool {
        self.log.wait(self.after, until)
    }
}
