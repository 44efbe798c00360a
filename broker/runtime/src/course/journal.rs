//! What a plugin writes, and what the runtime says of it: kept in its log, and sent to who follows the bus.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use callgate_client::{Topic, gate_type};

use super::Name;
use crate::log::{LogLine, LogStream, PluginLog};

/// A line of a plugin's log, as the gate `callgate.runtime.logs` gives it and the topic `callgate.runtime.log` sends it.
#[gate_type]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeLogLine {
    /// The plugin.
    pub plugin: String,
    /// Its position among all lines of this plugin, from 1 on.
    pub number: u64,
    /// When the runtime read it, in milliseconds since 1970.
    pub at_ms: u64,
    /// `stdout`, `stderr`, or `runtime` for what the runtime says of the plugin.
    pub stream: String,
    /// The line without its end. What a terminal would obey is still in there.
    pub text: String,
    /// Whether the end of a long line is missing.
    pub is_cut: bool,
}

/// The topic with what all plugins write.
pub(crate) type LogTopic = Topic<(RuntimeLogLine,)>;

/// The log of one plugin, and the topic with those of all.
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

    /// Takes in a line that the plugin wrote.
    pub(super) fn write(&self, stream: LogStream, text: &str, is_cut: bool) {
        self.log.push(SystemTime::now(), stream, text, is_cut);
        if self.topic.subscription_count() == 0 {
            return;
        }
        // The loop alone writes, so this is the line of above. Who follows too slowly loses lines, so nothing is waited for.
        for line in self.log.last(1) {
            let _ = self.topic.send(&(RuntimeLogLine::new(&self.name, &line),));
        }
    }

    /// Says something of the plugin.
    pub(super) fn say(&self, text: &str) {
        self.write(LogStream::Runtime, text, false);
    }
}
