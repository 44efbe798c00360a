//! Who reads a log as it grows.

use std::time::Instant;

use super::plugin_log::PluginLog;
use super::ring::Taken;

/// A place in a plugin's log. One that takes its lines too late misses some and is told how many; it never holds up the plugin.
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
    /// Follows the log from its last lines on: so many that are there, and all that come.
    pub fn follow(&self, last: usize) -> Follower {
        Follower {
            log: self.clone(),
            after: self.before_last(last),
        }
    }
}

impl Follower {
    /// The lines that have come since the last time, `most` of them at most. Does not wait.
    pub fn take(&mut self, most: usize) -> Taken {
        let taken = self.log.after(self.after, most);
        self.after = match taken.lines.last() {
            Some(line) => line.number,
            // With none taken, those that are lost would be told again.
            None => self.after + taken.lost,
        };
        taken
    }

    /// Waits until there is something to take, or until nothing will come any more. False when the time has passed first.
    pub fn wait(&self, until: Instant) -> bool {
        self.log.wait(self.after, until)
    }
}
