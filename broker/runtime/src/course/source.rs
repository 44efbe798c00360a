//! One of a child's output streams, read as far as it is its turn.

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

/// What a line counts for beside its bytes: also an empty one takes its time.
const LINE: usize = 64;

/// An output stream of a child.
#[derive(Debug)]
pub(super) struct Source {
    /// `None` once it has ended or nothing more is wanted of it.
    pipe: Option<Pipe>,
    splitter: Splitter,
    /// What was read behind a long frame.
    rest: Vec<u8>,
    /// Whether the kernel has told of something that was not read yet: it tells of each thing once.
    is_readable: bool,
    /// Whether it has told that all writing ends are closed: it tells of that once, and with what was written last.
    is_closed: bool,
    /// How many bytes were read so far.
    taken: u64,
    /// What was spent on a frame that has not ended, or that another thread reads.
    unsettled: Duration,
}

/// Takes a line; true where it is an answer that somebody waits for.
type Sink<'s> = &'s mut dyn FnMut(Line<'_>) -> bool;

/// Whether a long frame was found, behind which nothing is read until it was.
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

    /// Has the loop's poll tell of it.
    pub(super) fn watch(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.with_fd(|fd| registry.register(&mut SourceFd(&fd), token, Interest::READABLE))
    }

    /// The same again after a pause.
    pub(super) fn watch_again(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.with_fd(|fd| registry.reregister(&mut SourceFd(&fd), token, Interest::READABLE))
    }

    /// Has the poll not tell of each write during a pause: that would wake the loop more often than reading does. Nothing urgent ever
    /// comes through a pipe.
    pub(super) fn watch_not(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.with_fd(|fd| registry.reregister(&mut SourceFd(&fd), token, Interest::PRIORITY))
    }

    fn with_fd(&self, act: impl FnOnce(RawFd) -> io::Result<()>) -> io::Result<()> {
        self.pipe.as_ref().map_or(Ok(()), |pipe| act(pipe.raw()))
    }

    /// The kernel has told that there is something, and whether that is the last.
    pub(super) fn has_news(&mut self, is_closed: bool) {
        self.is_readable = true;
        self.is_closed |= is_closed;
    }

    pub(super) fn can_be_read(&self) -> bool {
        !self.rest.is_empty() || (self.is_readable && self.pipe.is_some())
    }

    /// Whether nothing comes any more.
    pub(super) fn has_ended(&self) -> bool {
        self.pipe.is_none()
    }

    /// How many bytes were read so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The most that can lie in the pipe.
    pub(super) fn capacity(&self) -> u64 {
        self.pipe.as_ref().map_or(0, Pipe::capacity)
    }

    /// Notes what was spent on a frame that has not ended.
    pub(super) fn spend(&mut self, time: Duration) {
        self.unsettled += time;
    }

    /// What was spent on a frame of which it is known now what it was.
    pub(super) fn settle(&mut self) -> Duration {
        mem::take(&mut self.unsettled)
    }

    /// Reads until `budget` is used up, which bytes and lines take from, or until a long frame, and gives whole lines to `sink`. At the end of
    /// the stream, what is left of a line is given as a log line. After an error nothing is read any more.
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
                    // Then the pipe was empty, and the kernel tells of what came since.
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
        // Of the first line, so much was weighed before.
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
            // Of a line that is too long for the log nothing is kept.
            false if lines == 0 => weights.unasked += bytes.len(),
            false => weights.unasked += begun,
        }
        Ok(is_large)
    }

    /// Reads what a child that has ended has left, as far as `budget` goes, and closes the stream.
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

    /// Gives what is left of the line that has not ended.
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

    /// A child that wrote empty lines had the loop for itself for much longer than one that wrote long ones.
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
