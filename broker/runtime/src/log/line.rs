//! One line of a log.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::frame::Stream;

/// The source of a line in a plugin's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// The plugin wrote it to stdout, and it is not a frame.
    Stdout,
    /// The plugin wrote it to stderr.
    Stderr,
    /// The runtime reports about the plugin: that it was started, how it ended, what it did wrong.
    Runtime,
}

/// A line of a plugin's log. Cloning it copies no text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// Its position among all lines of this plugin, counted from 1.
    pub number: u64,
    /// The time at which the runtime read it.
    pub at: SystemTime,
    /// The source of the line.
    pub stream: LogStream,
    /// The line without its line break. It may contain escape sequences that a terminal would obey.
    pub text: Arc<str>,
    /// Whether the line was cut because it was too long.
    pub is_cut: bool,
}

impl From<Stream> for LogStream {
    fn from(stream: Stream) -> LogStream {
        match stream {
            Stream::Stdout => LogStream::Stdout,
            Stream::Stderr => LogStream::Stderr,
        }
    }
}

impl fmt::Display for LogStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            LogStream::Stdout => "stdout",
            LogStream::Stderr => "stderr",
            LogStream::Runtime => "runtime",
        })
    }
}
