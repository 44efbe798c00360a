//! The lines of a plugin's log: kept in the log, and sent as events on the bus.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use callgate_client::{Topic, gate_type};

use super::Name;
use crate::log::{LogLine, LogStream, PluginLog};

/// A line of a plugin's log, as the gate `callgate.runtime.logs` gives it and the topic `callgate.runtime.log` sends it.
#[gate_type]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeLogLine {
    /// The name of the plugin.
    pub plugin: String,
    /// Its position among all lines of this plugin, counted from 1.
    pub number: u64,
    /// When the runtime read it, in milliseconds since 1970.
    pub at_ms: u64,
    /// `stdout`, `stderr`, or `runtime` for lines in which the runtime reports about the plugin.
    pub stream: String,
    /// The line without its line break. It may contain escape sequences that a terminal would obey.
    pub text: String,
    /// Whether the line was cut because it was too long.
    pub is_cut: bool,
}

/// The topic with the log lines of all plugins.
pub(crate) type LogTopic = Topic<(RuntimeLogLine,)>;

/// The log of one plugin, and the topic for the lines of all plugins.
pub(super) struct Journal {
    name: Name,
    log: PluginLog,
    topic: Arc<LogTopic>,
}

impl RuntimeLogLine {
    pub(crate) fn new(plugin: &str, line: &LogLine) -> RuntimeLogLine {
        let at = line.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        RuntimeLogLine {
            plugin: plugin.to_owned(),
            number: line.number,
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            stream: line.stream.to_string(),
            text: line.text.to_string(),
            is_cut: line.is_cut,
        }
    }
}

impl Journal {
    pub(super) fn new(name: &Name, topic: &Arc<LogTopic>) -> Journal {
        Journal {
            name: name.clone(),
            log: PluginLog::new(),
            topic: topic.clone(),
        }
    }

    pub(super) fn log(&self) -> &PluginLog {
        &self.log
    }

    /// Adds a line that the plugin wrote.
    pub(super) fn write(&self, stream: LogStream, text: &str, is_cut: bool) {
        self.log.push(SystemTime::now(), stream, text, is_cut);
        if self.topic.subscription_count() == 0 {
            return;
        }
        // Only the loop writes to the log, so the last line is the one just added. Sending does not wait: slow listeners lose lines.
        for line in self.log.last(1) {
            let _ = self.topic.send(&(RuntimeLogLine::new(&self.name, &line),));
        }
    }

    /// Adds a line in which the runtime reports about the plugin.
    pub(super) fn say(&self, text: &str) {
        self.write(LogStream::Runtime, text, false);
    }
}
