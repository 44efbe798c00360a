//! The socket between the two processes of a pair: requests, and that something was seen.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use callgate_layout::sys::fdpass;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Result;
use crate::payload::STOP;
use crate::systems::Setup;

/// The far end, until the near one connects.
pub(super) struct Far {
    listener: UnixListener,
    line: Option<Line>,
}

/// A connection.
pub(super) struct Line(UnixStream);

impl Far {
    pub(super) fn new(setup: &Setup) -> Result<Far> {
        Ok(Far {
            listener: UnixListener::bind(setup.place.join("line"))?,
            line: None,
        })
    }

    /// The connection, when there is one.
    pub(super) fn line(&mut self) -> Result<&mut Line> {
        match &mut self.line {
            Some(line) => Ok(line),
            none => Ok(none.insert(Line(self.listener.accept()?.0))),
        }
    }

    /// Answers requests by what they ask for, until one says stop, which is answered by itself.
    pub(super) fn serve(&mut self, mut give: impl FnMut(&mut Line) -> Result<()>) -> Result<()> {
        let line = self.line()?;
        loop {
            match line.number()? {
                STOP => return line.say(STOP),
                _ => give(line)?,
            }
        }
    }

    /// Takes one publication after the other, says what each consisted of, and ends with the last.
    pub(super) fn take(&mut self, mut next: impl FnMut(&mut Line) -> Result<u8>) -> Result<()> {
        let line = self.line()?;
        loop {
            let byte = next(line)?;
            line.say(byte.into())?;
            if byte == super::LAST {
                return Ok(());
            }
        }
    }
}

impl Line {
    pub(super) fn new(setup: &Setup) -> Result<Line> {
        Ok(Line(UnixStream::connect(setup.place.join("line"))?))
    }

    pub(super) fn say(&mut self, number: u64) -> Result<()> {
        Ok(self.0.write_all(&number.to_le_bytes())?)
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Lets the far end stop, and waits until it has.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.say(STOP)?;
        self.number().map(drop)
    }

    /// Waits until the far end has seen a publication.
    pub(super) fn seen(&mut self, byte: u8) -> Result<()> {
        match self.number()? {
            seen if seen == u64::from(byte) => Ok(()),
            seen => Err(format!("{seen} was seen in the place of {byte}").into()),
        }
    }

    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.write_all(bytes)?)
    }

    pub(super) fn take_bytes(&mut self, bytes: &mut [u8]) -> Result<()> {
        Ok(self.0.read_exact(bytes)?)
    }

    pub(super) fn send_file(&mut self, file: BorrowedFd<'_>) -> Result<()> {
        Ok(fdpass::send(self.0.as_fd(), b"!", &[file])?)
    }

    pub(super) fn take_file(&mut self) -> Result<OwnedFd> {
        poll(
            &mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)],
            PollTimeout::NONE,
        )?;
        let mut received = fdpass::receive(self.0.as_fd(), &mut [0])?;
        Ok(received.descriptors.pop().ok_or("no descriptor came")?)
    }
}
