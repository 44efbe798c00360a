//! The reading end of a child's stdout or stderr.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use callgate_layout::sys::standard;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::read;

/// The reading end of a pipe from a child.
#[derive(Debug)]
pub(crate) struct Pipe {
    fd: OwnedFd,
}

/// The result of one attempt to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// This many bytes were read.
    Read(usize),
    /// There is nothing to read now; the loop gets an event when there is.
    Empty,
    /// All writing ends are closed, or reading failed.
    Ended,
}

impl Pipe {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Pipe> {
        let fd = standard::above(fd)?;
        never_block(&fd)?;
        Ok(Pipe { fd })
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The most bytes that the kernel keeps for the pipe; the writer can change this.
    pub(crate) fn capacity(&self) -> u64 {
        let capacity = fcntl(&self.fd, FcntlArg::F_GETPIPE_SZ).unwrap_or(0);
        u64::try_from(capacity).unwrap_or(0)
    }

    /// Reads the bytes that are there, as many as fit into `buffer`.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Progress {
        loop {
            match read(&self.fd, buffer) {
                Ok(0) => return Progress::Ended,
                Ok(count) => return Progress::Read(count),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Progress::Empty,
                Err(errno) => {
                    tracing::warn!("a pipe of a plugin cannot be read: {errno}");
                    return Progress::Ended;
                }
            }
        }
    }
}

/// Sets this end to non-blocking. The other end of the pipe stays as it is.
pub(super) fn never_block(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
