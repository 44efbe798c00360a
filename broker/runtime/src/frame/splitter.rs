//! Splits the bytes of a child's stdout or stderr, which arrive in pieces of any size, into whole lines.
//!
//! Each byte is examined once. The result does not depend on where the pieces end: a line is handed out, or the stream is refused, at
//! the byte that decides it. The bytes kept of an unfinished line are bounded by the limit for such lines.

use std::borrow::Cow;
use std::mem;

use memchr::memchr;

use super::{FRAME_CAP, LENT_CAP, LOG_LINE_CAP};

#[cfg(test)]
mod tests;

/// The bytes at the beginning of a line on stdout that make it a frame.
const MARK: &[u8] = b"IPC:";
/// Some programs write this mark as the first bytes of their output.
const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();
/// A buffer larger than this gives its memory back once its line has ended.
const KEPT_ROOM: usize = 64 << 10;

/// The stream of the child that the bytes come from. On stderr no line is a frame, and no line is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The largest sizes of lines in bytes; a CR before the LF does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Limit for a frame, its mark not counted, and for any other line on stdout. Not smaller than the length of the mark.
    pub(crate) frame: usize,
    /// Limit for a log line; a longer one is cut there. On stdout never more than `frame`.
    pub(crate) log_line: usize,
    /// Limit for a frame that is handed out as a borrowed slice. A longer one that arrived in several pieces is handed out by value.
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

/// A whole line, without its line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// The bytes after the mark.
    Frame(&'a [u8]),
    /// A frame too long for the loop to parse itself; see [`LENT_CAP`].
    Large(Large),
    Log {
        /// Bytes that are not UTF-8 are replaced.
        text: Cow<'a, str>,
        /// Whether the line was longer than its limit, so that its end is missing.
        is_cut: bool,
    },
}

impl Line<'_> {
    /// Its length in bytes.
    pub(crate) fn length(&self) -> usize {
        match self {
            Line::Frame(frame) => frame.len(),
            Line::Large(large) => large.0.len(),
            Line::Log { text, .. } => text.len(),
        }
    }
}

/// A long frame: owns the bytes of its whole line, the mark included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Large(Vec<u8>);

impl Large {
    /// The bytes after the mark.
    pub(crate) fn frame(&self) -> &[u8] {
        let line = self.0.strip_suffix(b"\r").unwrap_or(&self.0);
        line.strip_prefix(MARK).unwrap_or(line)
    }
}

/// A line on stdout is longer than the limit. Nothing after it on this stream can be interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line on stdout has more than {cap} bytes without a line break")]
pub(crate) struct FrameTooLarge {
    pub(crate) cap: usize,
}

/// Splits one stream into lines.
#[derive(Debug)]
pub(crate) struct Splitter {
    rules: Rules,
    /// The bytes kept of the line that has not ended.
    kept: Vec<u8>,
    so_far: SoFar,
    /// How many bytes of a byte order mark have arrived; `None` once the stream is past the place where one may stand.
    mark: Option<usize>,
    is_over: bool,
}

#[derive(Debug, Clone, Copy)]
struct Rules {
    stream: Stream,
    limits: Limits,
}

/// The line that has not ended yet.
#[derive(Debug, Clone, Copy, Default)]
struct SoFar {
    length: usize,
    ends_in_cr: bool,
    /// Its beginning was handed out because it is too long for the log; the rest of it is dropped.
    is_given: bool,
}

impl SoFar {
    fn add(&mut self, piece: &[u8]) {
        self.length = self.length.saturating_add(piece.len());
        if let Some(last) = piece.last() {
            self.ends_in_cr = *last == b'\r';
        }
    }

    /// Whether the line is longer than `limit`, even if the next byte is a line break. Once true, it stays true.
    fn exceeds(&self, limit: usize) -> bool {
        self.length > limit.saturating_add(usize::from(self.ends_in_cr))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// The bytes so far are a beginning of the mark: the line may still become a frame.
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

    /// How many bytes of a line to keep: its limit and one more for a CR.
    fn room(&self, line: &[u8]) -> usize {
        match self.class(line) {
            Class::Open | Class::Log => self.limits.log_line.saturating_add(1),
            Class::Frame => self.limits.frame.saturating_add(MARK.len() + 1),
        }
    }

    /// Applies the limits to the line as far as it has arrived. `kept` holds its first bytes, as many as there was room for.
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

    /// Hands out a line that has ended.
    fn give(&self, line: &[u8], sink: Sink<'_>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.class(line) {
            Class::Frame => sink(Line::Frame(&line[MARK.len()..])),
            Class::Open | Class::Log => sink(cut(line, self.limits.log_line)),
        }
    }
}

type Sink<'s> = &'s mut dyn FnMut(Line<'_>);

/// A log line, cut to at most `most` bytes.
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

/// The bytes without an incomplete code point at their end.
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

    /// Hands each line that ends within these bytes to `sink`, and the beginning of a line that is too long for the log. Returns how many
    /// bytes were consumed: it stops after a [`Line::Large`], so that the caller can hold the rest back until that frame was parsed.
    ///
    /// After an error the child has to be killed: each later call returns the error again. The lines before it were handed out.
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

    /// Ends the stream. What is left of it is handed out as a log line even if it begins like a frame, because the frame may be incomplete.
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

    /// Whether the line that has not ended begins with the mark of a frame.
    pub(crate) fn is_in_frame(&self) -> bool {
        self.rules.class(&self.kept) == Class::Frame
    }

    /// How many bytes of the line that has not ended are kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Skips the byte order mark that a stream may begin with, and returns the bytes after it.
    fn pass_mark<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while let (Some(matched), Some(byte)) = (self.mark, bytes.first()) {
            if *byte == BYTE_ORDER_MARK[matched] {
                bytes = &bytes[1..];
                self.mark = Some(matched + 1).filter(|matched| *matched < BYTE_ORDER_MARK.len());
            } else {
                // No byte order mark after all: these one or two bytes are the beginning of the first line.
                self.kept.extend_from_slice(&BYTE_ORDER_MARK[..matched]);
                self.so_far.add(&BYTE_ORDER_MARK[..matched]);
                self.mark = None;
            }
        }
        bytes
    }

    /// Takes the last piece of a line. If it is also the first one it is handed out without a copy. Returns true for a [`Line::Large`].
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

    /// Keeps a piece of a line that has not ended.
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

    /// Appends as much of a piece as the limit allows; the buffer never gets larger than the limit either.
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
