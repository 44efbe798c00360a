//! A log that one thread writes and others read.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::line::{LogLine, LogStream};
use super::ring::{Ring, Taken};

/// The last lines of one plugin, through its restarts: 500, or as many as have 1 MiB together. Clones are handles of the same log.
///
/// ```
/// use callgate_runtime::PluginLog;
///
/// fn show(log: &PluginLog) {
///     for line in log.last(20) {
///         println!("{} {}", line.stream, line.text);
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct PluginLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    /// Told after each line.
    pushed: Condvar,
}

impl PluginLog {
    pub(crate) fn new() -> PluginLog {
        let shared = Shared {
            ring: Mutex::new(Ring::new()),
            pushed: Condvar::new(),
        };
        PluginLog {
            shared: Arc::new(shared),
        }
    }

    /// Adds a line. Waits for nobody but for those who copy lines out just now.
    pub(crate) fn push(&self, at: SystemTime, stream: LogStream, text: &str, is_cut: bool) {
        self.shared.ring.lock().push(at, stream, text, is_cut);
        self.shared.pushed.notify_all();
    }

    /// No more lines will come: the plugin was removed, or the runtime ends. Wakes who follows.
    pub(crate) fn close(&self) {
        self.shared.ring.lock().close();
        self.shared.pushed.notify_all();
    }

    /// The last lines, the oldest first.
    pub fn last(&self, most: usize) -> Vec<LogLine> {
        let ring = self.shared.ring.lock();
        ring.after(ring.before_last(most), most).lines
    }

    /// The last lines of one stream, the oldest first.
    pub fn last_of(&self, stream: LogStream, most: usize) -> Vec<LogLine> {
        self.shared.ring.lock().last_of(stream, most)
    }

    /// The next lines after one with this number (0 for the oldest there is), `most` of them at most. Does not wait.
    pub fn after(&self, number: u64, most: usize) -> Taken {
        self.shared.ring.lock().after(number, most)
    }

    /// The number after which the last lines come.
    pub(crate) fn before_last(&self, most: usize) -> u64 {
        self.shared.ring.lock().before_last(most)
    }

    /// Waits until there is a line after one with this number, or there will be none. False when the time has passed.
    pub(super) fn wait(&self, after: u64, until: Instant) -> bool {
        let mut ring = self.shared.ring.lock();
        let is_idle = |ring: &mut Ring| !ring.has_news(after);
        let pushed = &self.shared.pushed;
        !pushed
            .wait_while_until(&mut ring, is_idle, until)
            .timed_out()
    }
}
