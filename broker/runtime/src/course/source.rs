//! One of a child's output streams, which the loop reads in shares.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::time::Duration;

use callgate_client::dynamic::answer_together;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::spending::Weights;
use crate::frame::{FrameTooLarge, Limits, Line, Splitter, Stream};
use crate::process::{Pipe, Progress};

/// What a line counts in addition to its bytes, because an empty line takes time as well.
const LINE: usize = 64;

/// An output stream of a child.
#[derive(Debug)]
pub(super) struct Source {
    /// `None` once the stream has ended, or is not read any more.
    pipe: Option<Pipe>,
    splitter: Splitter,
    /// Bytes that were read after a long frame, and wait until that frame was handled.
    rest: Vec<u8>,
    /// Whether there may be unread bytes. The kernel reports new bytes only once.
    is_readable: bool,
    /// Whether all writing ends are closed. The kernel reports that only once, together with the last bytes.
    is_closed: bool,
    /// The number of bytes read so far.
    taken: u64,
    /// The time spent on a frame that has not ended, or that another thread is parsing.
    unsettled: Duration,
}

/// Takes a line. Returns true if it is an answer that a caller waits for.
type Sink<'s> = &'s mut dyn FnMut(Line<'_>) -> bool;

/// Whether a long frame was found; nothing after it is read until it was handled.
type IsLarge = bool;

impl Source {
    pub(super) fn new(pipe: Pipe, stream: Stream, limits: Limits) -> Source {
        Source {
            pipe: Some(pipe),
            splitter: Splitter::new(stream, limits),
            rest: Vec::new(),
            is_readable: false,
            is_closed: false,
            taken: 0,
            unsettled: Duration::ZERO,
        }
    }

    /// Registers the stream with the loop's poll.
    pub(super) fn watch(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.with_fd(|fd| registry.register(&mut SourceFd(&fd), token, Interest::READABLE))
    }

    /// Registers for new bytes again after a pause.
    pub(super) fn watch_again(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.with_fd(|fd| registry.reregister(&mut SourceFd(&fd), token, Interest::READABLE))
    }

    /// Stops the events for new bytes during a pause, because an event for each write would wake the loop more often than reading does.
    /// Priority data, which this registers for instead, never comes through a pipe.
    pub(super) fn watch_not(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.with_fd(|fd| registry.reregister(&mut SourceFd(&fd), token, Interest::PRIORITY))
    }

    fn with_fd(&self, act: impl FnOnce(RawFd) -> io::Result<()>) -> io::Result<()> {
        self.pipe.as_ref().map_or(Ok(()), |pipe| act(pipe.raw()))
    }

    /// Notes an event from the kernel: there are bytes, and perhaps the writing ends were closed.
    pub(super) fn has_news(&mut self, is_closed: bool) {
        self.is_readable = true;
        self.is_closed |= is_closed;
    }

    pub(super) fn can_be_read(&self) -> bool {
        !self.rest.is_empty() || (self.is_readable && self.pipe.is_some())
    }

    /// Whether the stream has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.pipe.is_none()
    }

    /// The number of bytes read so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The most bytes that the pipe can hold.
    pub(super) fn capacity(&self) -> u64 {
        self.pipe.as_ref().map_or(0, Pipe::capacity)
    }

    /// Adds time that was spent on a frame that has not ended.
    pub(super) fn spend(&mut self, time: Duration) {
        self.unsettled += time;
    }

    /// Returns the time spent on a frame once it is known what the frame was, and resets it.
    pub(super) fn settle(&mut self) -> Duration {
        mem::take(&mut self.unsettled)
    }

    /// Reads until `budget` is used up by bytes and lines, or until a long frame, and passes whole lines to `sink`. At the end of the
    /// stream an unfinished line is passed on as a log line. After an error the stream is not read any more.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        budget: usize,
        sink: Sink<'_>,
    ) -> Result<Weights, FrameTooLarge> {
        let mut weights = Weights::default();
        let rest = mem::take(&mut self.rest);
        if !rest.is_empty() && self.push(&rest, sink, &mut weights)? {
            return Ok(weights);
        }
        while let Some(pipe) = self.pipe.as_ref().filter(|_| weights.total() < budget) {
            match pipe.read(buffer) {
                Progress::Read(count) => {
                    self.taken += count as u64;
                    // A short read means that the pipe was empty; the kernel reports bytes that arrive later.
                    let is_empty = count < buffer.len() && !self.is_closed;
                    self.is_readable &= !is_empty;
                    if self.push(&buffer[..count], sink, &mut weights)? || is_empty {
                        break;
                    }
                }
                Progress::Empty => {
                    self.is_readable = false;
                    break;
                }
                Progress::Ended => {
                    self.give_rest(sink);
                    self.close();
                }
            }
        }
        Ok(weights)
    }

    fn push(
        &mut self,
        bytes: &[u8],
        sink: Sink<'_>,
        weights: &mut Weights,
    ) -> Result<IsLarge, FrameTooLarge> {
        // The part of the first line that was counted by earlier reads.
        let mut before = self.splitter.kept();
        let (mut is_large, mut lines) = (false, 0);
        let unsettled = &mut self.unsettled;
        let sink = &mut |line: Line<'_>| {
            let length = line.length().saturating_sub(mem::take(&mut before));
            let weight = length + LINE;
            lines += 1;
            is_large = matches!(line, Line::Large(_));
            match (is_large, sink(line)) {
                (true, _) => weights.unfinished += weight,
                (false, true) => {
                    weights.awaited += weight;
                    *unsettled = Duration::ZERO;
                }
                (false, false) => {
                    weights.unasked += weight;
                    weights.lines += 1;
                    weights.late += mem::take(unsettled);
                }
            }
        };
        let count = answer_together(|| self.splitter.push(bytes, sink));
        let count = count.inspect_err(|_| self.close())?;
        self.rest = bytes[count..].to_vec();
        let begun = self.splitter.kept().saturating_sub(before);
        match self.splitter.is_in_frame() {
            true => weights.unfinished += begun,
            // The splitter keeps nothing of a line that is too long for the log.
            false if lines == 0 => weights.unasked += bytes.len(),
            false => weights.unasked += begun,
        }
        Ok(is_large)
    }

    /// Reads the rest after a child's end, as much as `budget` allows, and closes the stream.
    pub(super) fn read_last(
        &mut self,
        buffer: &mut [u8],
        budget: usize,
        sink: Sink<'_>,
    ) -> Result<(), FrameTooLarge> {
        let mut left = budget;
        loop {
            let weights = self.read(buffer, left, sink)?;
            left = left.saturating_sub(weights.total());
            if left == 0 || !self.can_be_read() {
                break;
            }
        }
        if self.pipe.is_some() {
            self.give_rest(sink);
            self.close();
        }
        Ok(())
    }

    /// Passes on what is left of an unfinished line.
    fn give_rest(&mut self, sink: Sink<'_>) {
        self.splitter.end(&mut |line| {
            sink(line);
        });
    }

    pub(super) fn close(&mut self) {
        self.pipe = None;
        self.rest = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::unistd::pipe2;

    /// A child that wrote empty lines used up the loop for much longer than one that wrote long lines.
    #[test]
    fn a_share_is_one_of_lines_too() {
        const LENGTH: usize = 1 << 20;
        const BUFFER: usize = 4 << 10;
        const SHARE: usize = 256 << 10;
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
        fcntl(&writing, FcntlArg::F_SETPIPE_SZ(LENGTH as i32)).unwrap();
        File::from(writing).write_all(&[b'\n'; LENGTH]).unwrap();
        let pipe = Pipe::new(reading).unwrap();
        let mut source = Source::new(pipe, Stream::Stdout, Limits::default());
        source.has_news(true);
        let (mut buffer, mut lines) = (vec![0; BUFFER], 0);
        let mut read = |source: &mut Source| {
            let before = lines;
            let sink = &mut |_: Line<'_>| {
                lines += 1;
                false
            };
            source.read(&mut buffer, SHARE, sink).unwrap();
            lines - before
        };
        let first = read(&mut source);
        assert!((1..=SHARE / LINE + BUFFER).contains(&first), "{first}");
        assert!(source.can_be_read());
        let mut all = first;
        while source.can_be_read() {
            all += read(&mut source);
        }
        assert_eq!(all, LENGTH);
    }
}
