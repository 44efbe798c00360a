//! The lines of one log that are kept. Uses no lock and no clock.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::line::{LogLine, LogStream};
use crate::frame::LOG_LINE_CAP;

/// The most lines of a log.
pub(super) const MOST_LINES: usize = 500;
/// The most bytes of a log's lines.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// The most lines on stderr that are kept beyond these limits, and the most bytes of each.
const MOST_LAST: usize = 8;
const MOST_OF_LAST: usize = 256;

/// Lines copied out of a log, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// The number of lines between the last one taken before and the first of these that were dropped meanwhile.
    pub lost: u64,
    /// No line will follow these: the log is complete.
    pub is_last: bool,
}

/// The last lines of a plugin, as many as fit both limits.
#[derive(Debug)]
pub(super) struct Ring {
    lines: VecDeque<LogLine>,
    /// The last lines on stderr that were dropped from `lines`: output on stdout must not hide why a plugin has ended.
    dropped: VecDeque<LogLine>,
    /// The bytes of all lines that are kept.
    bytes: usize,
    /// The number of the newest line, whether it is kept or not.
    newest: u64,
    is_closed: bool,
}

impl Ring {
    pub(super) fn new() -> Ring {
        Ring {
            lines: VecDeque::new(),
            dropped: VecDeque::new(),
            bytes: 0,
            newest: 0,
            is_closed: false,
        }
    }

    /// Adds a line, and drops the oldest lines until both limits are met.
    pub(super) fn push(&mut self, at: SystemTime, stream: LogStream, text: &str, is_cut: bool) {
        let end = text.floor_char_boundary(LOG_LINE_CAP);
        let kept = &text[..end];
        self.newest += 1;
        self.bytes += kept.len();
        self.lines.push_back(LogLine {
            number: self.newest,
            at,
            stream,
            text: kept.into(),
            is_cut: is_cut || end < text.len(),
        });
        while self.lines.len() > MOST_LINES || self.bytes > MOST_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.text.len();
            if oldest.stream == LogStream::Stderr {
                self.keep_dropped(oldest);
            }
        }
    }

    fn keep_dropped(&mut self, mut line: LogLine) {
        let end = line.text.floor_char_boundary(MOST_OF_LAST);
        if end < line.text.len() {
            line.text = line.text[..end].into();
            line.is_cut = true;
        }
        if self.dropped.len() == MOST_LAST {
            self.dropped.pop_front();
        }
        self.dropped.push_back(line);
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether there is a line after this number, or the log is complete.
    pub(super) fn has_news(&self, after: u64) -> bool {
        self.newest > after || self.is_closed
    }

    /// The lines after the one with this number, `most` of them at most.
    pub(super) fn after(&self, number: u64, most: usize) -> Taken {
        let oldest = self.newest - self.lines.len() as u64 + 1;
        let next = number.saturating_add(1);
        let lost = oldest.saturating_sub(next);
        let seen = usize::try_from(next.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let lines: Vec<LogLine> = self.lines.iter().skip(seen).take(most).cloned().collect();
        let last = lines.last().map_or(number, |line| line.number);
        Taken {
            lines,
            lost,
            is_last: self.is_closed && last >= self.newest,
        }
    }

    /// The number after which the last `most` lines begin.
    pub(super) fn before_last(&self, most: usize) -> u64 {
        let kept = self.lines.len().min(most) as u64;
        self.newest - kept
    }

    /// The last lines on stderr, the oldest first. If other lines have pushed some out of the log, up to [`MOST_LAST`] of these are
    /// included, cut after [`MOST_OF_LAST`] bytes.
    pub(super) fn last_on_stderr(&self, most: usize) -> Vec<LogLine> {
        let kept = self.last_of(LogStream::Stderr, most);
        let missing = self.dropped.len().min(most - kept.len());
        let dropped = self.dropped.iter().skip(self.dropped.len() - missing);
        dropped.cloned().chain(kept).collect()
    }

    /// The last lines of one stream, the oldest first.
    pub(super) fn last_of(&self, stream: LogStream, most: usize) -> Vec<LogLine> {
        let of_stream = self.lines.iter().rev().filter(|line| line.stream == stream);
        let mut lines: Vec<LogLine> = of_stream.take(most).cloned().collect();
        lines.reverse();
        lines
    }
}
