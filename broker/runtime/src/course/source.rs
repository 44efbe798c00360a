//! One of a child's output streams, read as far as it is its turn.

use std::os::fd::RawFd;

use callgate_client::dynamic::answer_together;

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

    /// Reads until `budget` is used up, which bytes and lines take from, and gives whole lines to `sink`. At the end of the stream, what is left of a line is given as a
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
                    let mut lines = 0;
                    let counting = &mut |line: Line<'_>| {
                        lines += 1;
                        sink(line);
                    };
                    let pushed = answer_together(|| self.splitter.push(&buffer[..count], counting));
                    if let Err(error) = pushed {
                        self.close();
                        return Err(error);
                    }
                    left = left.saturating_sub(count + lines * LINE);
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

    /// Reads what a child that has ended has left, as far as `budget` goes, and closes the stream.
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
            source
                .read(&mut buffer, SHARE, &mut |_| lines += 1)
                .unwrap();
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
