//! A log that one thread writes and others read.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::line::{LogLine, LogStream};
use super::ring::{Ring, Taken};

/// The last lines of one plugin, kept across its restarts: 500 lines or 1 MiB, whichever is less. Clones are handles to the same log.
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
    /// Notified after each line, and when the log is closed.
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

    /// Adds a line. Can only be held up by threads that are just copying lines out.
    pub(crate) fn push(&self, at: SystemTime, stream: LogStream, text: &str, is_cut: bool) {
        self.shared.ring.lock().push(at, stream, text, is_cut);
        self.shared.pushed.notify_all();
    }

    /// Marks the log as complete, because the plugin was removed or the runtime ends. Wakes the followers.
    pub(crate) fn close(&self) {
        self.shared.ring.lock().close();
        self.shared.pushed.notify_all();
    }

    /// The last lines, `most` of them at most, the oldest first.
    pub fn last(&self, most: usize) -> Vec<LogLine> {
        let ring = self.shared.ring.lock();
        ring.after(ring.before_last(most), most).lines
    }

    /// The last lines of one stream, `most` of them at most, the oldest first.
    pub fn last_of(&self, stream: LogStream, most: usize) -> Vec<LogLine> {
        self.shared.ring.lock().last_of(stream, most)
    }

    /// The last lines on stderr, `most` of them at most, the oldest first; a few of them also if the log has dropped them.
    pub(crate) fn last_on_stderr(&self, most: usize) -> Vec<LogLine> {
        self.shared.ring.lock().last_on_stderr(most)
    }

    /// The lines after the one with this number (0 for the oldest that is kept), `most` of them at most. Does not wait.
    pub fn after(&self, number: u64, most: usize) -> Taken {
        self.shared.ring.lock().after(number, most)
    }

    /// The number after which the last `most` lines begin.
    pub(crate) fn before_last(&self, most: usize) -> u64 {
        self.shared.ring.lock().before_last(most)
    }

    /// Waits until there is a line after this number, or the log is complete. Returns false if `until` has passed first.
    pub(super) fn wait(&self, after: u64, until: Instant) -> bool {
        let mut ring = self.shared.ring.lock();
        let is_idle = |ring: &mut Ring| !ring.has_news(after);
        let pushed = &self.shared.pushed;
        !pushed
            .wait_while_until(&mut ring, is_idle, until)
            .timed_out()
    }
}
