//! One of a child's output streams, read as far as it is its turn.

use std::os::fd::RawFd;

use crate::frame::{FrameTooLarge, Limits, Line, Splitter, Stream};
use crate::process::{Pipe, Progress};

/// An output stream of a child.
#[derive(Debug)]
pub(super) struct Source {
    /// `None` once it has ended or nothing more is wanted of it.
    pipe: Option<Pipe>,
    splitter: Splitter,
    /// Whether the kernel has told of something that was not read yet: it tells of each thing once.
    is_readable: bool,
    /// Whether it has told that all writing ends are closed: it tells of that once, and with what was written last.
    is_closed: bool,
}

impl Source {
    pub(super) fn new(pipe: Pipe, stream: Stream, limits: Limits) -> Source {
        Source {
            pipe: Some(pipe),
            splitter: Splitter::new(stream, limits),
            is_readable: false,
            is_closed: false,
        }
    }

    pub(super) fn raw(&self) -> Option<RawFd> {
        self.pipe.as_ref().map(Pipe::raw)
    }

    /// The kernel has told that there is something, and whether that is the last.
    pub(super) fn has_news(&mut self, is_closed: bool) {
        self.is_readable = true;
        self.is_closed |= is_closed;
    }

    pub(super) fn can_be_read(&self) -> bool {
        self.is_readable && self.pipe.is_some()
    }

    /// Whether nothing comes any more.
    pub(super) fn has_ended(&self) -> bool {
        self.pipe.is_none()
    }

    /// Reads `budget` bytes at most, and gives whole lines to `sink`. At the end of the stream, what is left of a line is given as a
    /// log line. After an error nothing is read any more.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        budget: usize,
        sink: &mut dyn FnMut(Line<'_>),
    ) -> Result<(), FrameTooLarge> {
        let mut left = budget;
        while let Some(pipe) = self.pipe.as_ref().filter(|_| left > 0) {
            match pipe.read(buffer) {
                Progress::Read(count) => {
                    if let Err(error) = self.splitter.push(&buffer[..count], sink) {
                        self.close();
                        return Err(error);
                    }
                    left = left.saturating_sub(count);
                    // Then the pipe was empty, and the kernel tells of what came since.
                    if count < buffer.len() && !self.is_closed {
                        self.is_readable = false;
                        break;
                    }
                }
                Progress::Empty => {
                    self.is_readable = false;
                    break;
                }
                Progress::Ended => {
                    self.splitter.end(sink);
                    self.close();
                }
            }
        }
        Ok(())
    }

    /// Reads what a child that has ended has left, `budget` bytes at most, and closes the stream.
    pub(super) fn read_last(
        &mut self,
        buffer: &mut [u8],
        budget: usize,
        sink: &mut dyn FnMut(Line<'_>),
    ) -> Result<(), FrameTooLarge> {
        let outcome = self.read(buffer, budget, sink);
        if self.pipe.is_some() {
            self.splitter.end(sink);
            self.close();
        }
        outcome
    }

    pub(super) fn close(&mut self) {
        self.pipe = None;
    }
}
