//! One line of a log.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::frame::Stream;

/// Where a line of a plugin's log comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// What the plugin wrote to stdout, but for frames.
    Stdout,
    /// What it wrote to stderr.
    Stderr,
    /// What the runtime says of it: that it was started, how it ended, what it did wrong.
    Runtime,
}

/// A line of a plugin's log. Cloning it copies no text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// Its position among all lines of this plugin, from 1 on.
    pub number: u64,
    /// When the runtime read it.
    pub at: SystemTime,
    /// Where it comes from.
    pub stream: LogStream,
    /// The line without its end. What a terminal would obey is still in there.
    pub text: Arc<str>,
    /// Whether the end of a long line is missing.
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
