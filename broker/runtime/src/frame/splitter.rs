//! Bytes of a stream, in any pieces, to whole lines.
//!
//! Each byte is looked at once, wherever the pieces end, and where they end changes nothing: a line is given, or the stream is at
//! fault, at the byte that decides it. What is kept of a line that has not ended is bounded by its cap.

use std::borrow::Cow;
use std::mem;

use memchr::memchr;

use super::{FRAME_CAP, LENT_CAP, LOG_LINE_CAP};

#[cfg(test)]
mod tests;

/// What begins the lines on stdout that are frames.
const MARK: &[u8] = b"IPC:";
/// What some programs write before all else.
const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();
/// A buffer of more room is given back once its line has ended.
const KEPT_ROOM: usize = 64 << 10;

/// Which of a child's streams the bytes are of. On stderr no line is a frame, and none is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The most bytes of lines; a CR before the LF does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of a frame without the mark that begins its line, and of any other line on stdout. At least as many as the mark has.
    pub(crate) frame: usize,
    /// Of a log line; what is longer is cut there. On stdout never more than `frame`.
    pub(crate) log_line: usize,
    /// Of the line of a frame that is given where it lies; a longer one that came in several pieces is given away.
    pub(crate) lent: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame: FRAME_CAP,
            log_line: LOG_LINE_CAP,
            lent: LENT_CAP,
        }
    }
}

/// A whole line, without what ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// What stands behind the mark.
    Frame(&'a [u8]),
    /// A frame that takes long to read.
    Large(Large),
    Log {
        /// What is not UTF-8 is replaced.
        text: Cow<'a, str>,
        /// The line was longer.
        is_cut: bool,
    },
}

impl Line<'_> {
    /// How many bytes it has.
    pub(crate) fn length(&self) -> usize {
        match self {
            Line::Frame(frame) => frame.len(),
            Line::Large(large) => large.0.len(),
            Line::Log { text, .. } => text.len(),
        }
    }
}

/// A long frame, with all of its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Large(Vec<u8>);

impl Large {
    /// What stands behind the mark.
    pub(crate) fn frame(&self) -> &[u8] {
        let line = self.0.strip_suffix(b"\r").unwrap_or(&self.0);
        line.strip_prefix(MARK).unwrap_or(line)
    }
}

/// A line on stdout goes on beyond the cap. What comes later on this stream has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line on stdout has more than {cap} bytes without a line break")]
pub(crate) struct FrameTooLarge {
    pub(crate) cap: usize,
}

/// Splits one stream into lines.
#[derive(Debug)]
pub(crate) struct Splitter {
    rules: Rules,
    /// What is kept of the line that has not ended.
    kept: Vec<u8>,
    so_far: SoFar,
    /// How much of a byte order mark has come, as long as nothing else has.
    mark: Option<usize>,
    is_over: bool,
}

#[derive(Debug, Clone, Copy)]
struct Rules {
    stream: Stream,
    limits: Limits,
}

/// The line that has not ended.
#[derive(Debug, Clone, Copy, Default)]
struct SoFar {
    length: usize,
    ends_in_cr: bool,
    /// It was too long for the log, and what is left of it is passed over.
    is_given: bool,
}

impl SoFar {
    fn add(&mut self, piece: &[u8]) {
        self.length = self.length.saturating_add(piece.len());
        if let Some(last) = piece.last() {
            self.ends_in_cr = *last == b'\r';
        }
    }

    /// Whether it is beyond a limit, also if a line break comes next. Once it is, it stays so.
    fn exceeds(&self, limit: usize) -> bool {
        self.length > limit.saturating_add(usize::from(self.ends_in_cr))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It may still become a frame.
    Open,
    Frame,
    Log,
}

impl Rules {
    fn class(&self, line: &[u8]) -> Class {
        match self.stream {
            Stream::Stdout if line.starts_with(MARK) => Class::Frame,
            Stream::Stdout if MARK.starts_with(line) => Class::Open,
            _ => Class::Log,
        }
    }

    /// How much of a line to keep: its limit and a CR.
    fn room(&self, line: &[u8]) -> usize {
        match self.class(line) {
            Class::Open | Class::Log => self.limits.log_line.saturating_add(1),
            Class::Frame => self.limits.frame.saturating_add(MARK.len() + 1),
        }
    }

    /// What has to be done before the line ends. `kept` are its first bytes, as far as there is room.
    fn decide(&self, so_far: &mut SoFar, kept: &[u8], sink: Sink<'_>) -> Result<(), FrameTooLarge> {
        let cap = self.limits.frame;
        let is_beyond = match self.class(kept) {
            Class::Open if !so_far.is_given => false,
            Class::Frame if !so_far.is_given => so_far.exceeds(cap.saturating_add(MARK.len())),
            _ => {
                let log_line = self.limits.log_line;
                if !so_far.is_given && so_far.exceeds(log_line) {
                    sink(cut(kept, log_line));
                    so_far.is_given = true;
                }
                self.stream == Stream::Stdout && so_far.exceeds(cap)
            }
        };
        match is_beyond {
            true => Err(FrameTooLarge { cap }),
            false => Ok(()),
        }
    }

    /// Gives a line that has ended.
    fn give(&self, line: &[u8], sink: Sink<'_>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.class(line) {
            Class::Frame => sink(Line::Frame(&line[MARK.len()..])),
            Class::Open | Class::Log => sink(cut(line, self.limits.log_line)),
        }
    }
}

type Sink<'s> = &'s mut dyn FnMut(Line<'_>);

/// A log line of at most so many bytes.
fn cut(line: &[u8], most: usize) -> Line<'_> {
    let is_cut = line.len() > most;
    let line = match is_cut {
        true => whole_points(&line[..most]),
        false => line,
    };
    Line::Log {
        text: String::from_utf8_lossy(line),
        is_cut,
    }
}

/// Without the beginning of a code point at the end.
fn whole_points(bytes: &[u8]) -> &[u8] {
    let is_continuation = |byte: &&u8| **byte & 0xC0 == 0x80;
    let back = bytes.iter().rev().take_while(is_continuation).take(3);
    let at = bytes.len().saturating_sub(back.count() + 1);
    match str::from_utf8(&bytes[at..]) {
        Err(error) if error.error_len().is_none() => &bytes[..at],
        _ => bytes,
    }
}

impl Splitter {
    pub(crate) fn new(stream: Stream, mut limits: Limits) -> Splitter {
        if stream == Stream::Stdout {
            limits.log_line = limits.log_line.min(limits.frame);
        }
        Splitter {
            rules: Rules { stream, limits },
            kept: Vec::new(),
            so_far: SoFar::default(),
            mark: Some(0),
            is_over: false,
        }
    }

    /// Gives each line that these bytes end to `sink`, and the beginning of one that is too long for the log, and returns how many of them were
    /// looked at: behind a [`Line::Large`] it stops, so that what follows can wait until that was read.
    ///
    /// An error is fatal for the child, and comes again with each later call. The lines before it were given.
    pub(crate) fn push(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<usize, FrameTooLarge> {
        let result = match self.is_over {
            true => Err(FrameTooLarge {
                cap: self.rules.limits.frame,
            }),
            false => self.split(bytes, sink),
        };
        if result.is_err() {
            self.is_over = true;
            self.kept = Vec::new();
        }
        result
    }

    /// The stream has ended. What is left of it is a log line, also where it looks like a frame: it may be the half of one.
    pub(crate) fn end(&mut self, sink: Sink<'_>) {
        if let Some(matched) = self.mark.take() {
            self.kept.extend_from_slice(&BYTE_ORDER_MARK[..matched]);
        }
        let line = mem::take(&mut self.kept);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if !line.is_empty() {
            sink(cut(line, self.rules.limits.log_line));
        }
        self.so_far = SoFar::default();
    }

    fn split(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<usize, FrameTooLarge> {
        let mut rest = self.pass_mark(bytes);
        while let Some(at) = memchr(b'\n', rest) {
            let is_large = self.line(&rest[..at], sink)?;
            rest = &rest[at + 1..];
            if is_large {
                return Ok(bytes.len() - rest.len());
            }
        }
        self.keep(rest, sink)?;
        Ok(bytes.len())
    }

    /// Whether the line that has not ended is a frame so far.
    pub(crate) fn is_in_frame(&self) -> bool {
        self.rules.class(&self.kept) == Class::Frame
    }

    /// How many bytes are kept of the line that has not ended.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Passes over the byte order mark that a stream may begin with, and gives what comes behind it.
    fn pass_mark<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while let (Some(matched), Some(byte)) = (self.mark, bytes.first()) {
            if *byte == BYTE_ORDER_MARK[matched] {
                bytes = &bytes[1..];
                self.mark = Some(matched + 1).filter(|matched| *matched < BYTE_ORDER_MARK.len());
            } else {
                // It was none. These are bytes of the first line, and too few to decide anything.
                self.kept.extend_from_slice(&BYTE_ORDER_MARK[..matched]);
                self.so_far.add(&BYTE_ORDER_MARK[..matched]);
                self.mark = None;
            }
        }
        bytes
    }

    /// The last piece of a line has come; it stays where it is if it is the only one. True where the line was a long frame.
    fn line(&mut self, piece: &[u8], sink: Sink<'_>) -> Result<bool, FrameTooLarge> {
        let mut is_large = false;
        if self.so_far.length == 0 {
            self.so_far.add(piece);
            self.rules.decide(&mut self.so_far, piece, sink)?;
            if !self.so_far.is_given {
                self.rules.give(piece, sink);
            }
        } else {
            self.keep(piece, sink)?;
            is_large = self.is_in_frame() && self.kept.len() > self.rules.limits.lent;
            if is_large {
                sink(Line::Large(Large(mem::take(&mut self.kept))));
            } else if !self.so_far.is_given {
                self.rules.give(&self.kept, sink);
            }
            self.forget();
        }
        self.so_far = SoFar::default();
        Ok(is_large)
    }

    /// Keeps a piece of a line that goes on.
    fn keep(&mut self, piece: &[u8], sink: Sink<'_>) -> Result<(), FrameTooLarge> {
        self.so_far.add(piece);
        if !self.so_far.is_given {
            let to_class = MARK.len().saturating_sub(self.kept.len()).min(piece.len());
            let (head, tail) = piece.split_at(to_class);
            self.kept.extend_from_slice(head);
            self.append(tail);
        }
        let result = self.rules.decide(&mut self.so_far, &self.kept, sink);
        if self.so_far.is_given {
            self.forget();
        }
        result
    }

    /// Keeps as much of a piece as there is room for, in a buffer that is never larger than that.
    fn append(&mut self, piece: &[u8]) {
        let room = self.rules.room(&self.kept);
        let piece = &piece[..piece.len().min(room.saturating_sub(self.kept.len()))];
        let needed = self.kept.len() + piece.len();
        if needed > self.kept.capacity() {
            let wanted = needed.max(self.kept.capacity().saturating_mul(2).min(room));
            self.kept.reserve_exact(wanted - self.kept.len());
        }
        self.kept.extend_from_slice(piece);
    }

    fn forget(&mut self) {
        self.kept.clear();
        self.kept.shrink_to(KEPT_ROOM);
    }
}
