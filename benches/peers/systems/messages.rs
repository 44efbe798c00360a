//! Messages over a Unix stream socket: rkyv archives, or JSON, each with its length in front.
//!
//! One `write` and, but for large payloads, one `read` a message: the prefix travels in the
//! archive's buffer. Buffers are kept.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rkyv::Serialize;
use rkyv::api::high::to_bytes_in;
use rkyv::rancor::Error;
use rkyv::util::AlignedVec;

use super::Setup;
use crate::Result;

/// Bytes of the length in front of an archive; eight, so that the archive stays aligned.
const PREFIX: usize = 8;

/// The socket of a measurement.
pub(super) fn address(setup: &Setup) -> PathBuf {
    setup.place.join("socket")
}

/// A stream of messages.
pub(super) struct Messages {
    stream: UnixStream,
    input: AlignedVec,
    /// Bytes of `input` that came.
    filled: usize,
    output: AlignedVec,
}

impl Messages {
    pub(super) fn new(stream: UnixStream, polled: bool) -> io::Result<Messages> {
        stream.set_nonblocking(polled)?;
        let mut input = AlignedVec::new();
        input.resize(256, 0);
        Ok(Messages {
            stream,
            input,
            filled: 0,
            output: AlignedVec::new(),
        })
    }

    pub(super) fn send<T>(&mut self, value: &T) -> Result<()>
    where
        T: for<'a> Serialize<
            rkyv::api::high::HighSerializer<
                AlignedVec,
                rkyv::ser::allocator::ArenaHandle<'a>,
                Error,
            >,
        >,
    {
        let mut buffer = std::mem::take(&mut self.output);
        buffer.clear();
        buffer.extend_from_slice(&[0; PREFIX]);
        let buffer = to_bytes_in::<_, Error>(value, buffer)?;
        self.send_buffer(buffer)
    }

    /// Sends what is written by a function.
    pub(super) fn send_by(
        &mut self,
        write: impl FnOnce(&mut AlignedVec) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.output);
        buffer.clear();
        buffer.extend_from_slice(&[0; PREFIX]);
        write(&mut buffer)?;
        self.send_buffer(buffer)
    }

    fn send_buffer(&mut self, mut buffer: AlignedVec) -> Result<()> {
        let len = (buffer.len() - PREFIX) as u64;
        buffer[..PREFIX].copy_from_slice(&len.to_le_bytes());
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.output = buffer;
        Ok(())
    }

    /// Reads a message and shows its bytes; `None` when the other side has closed.
    pub(super) fn receive(&mut self) -> Result<Option<&[u8]>> {
        self.filled = 0;
        if !self.fill(PREFIX)? {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX];
        prefix.copy_from_slice(&self.input[..PREFIX]);
        let total = PREFIX + usize::try_from(u64::from_le_bytes(prefix))?;
        if total > self.input.len() {
            self.input.resize(total, 0);
        }
        if !self.fill(total)? {
            return Err("a message ended before its end".into());
        }
        Ok(Some(&self.input[PREFIX..total]))
    }

    /// Reads until there are `wanted` bytes. One call at a time is under way, so nothing of a
    /// next message can come along.
    fn fill(&mut self, wanted: usize) -> Result<bool> {
        while self.filled < wanted {
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}
