//! The reading end of a child's pipe.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use callgate_layout::sys::standard;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::read;

/// What a pipe's reading end is read from.
#[derive(Debug)]
pub(crate) struct Pipe {
    fd: OwnedFd,
}

/// What came of reading once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// So many bytes.
    Read(usize),
    /// There is nothing now; an event will tell of more.
    Empty,
    /// All writing ends are closed, or the pipe cannot be read.
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

    /// The most bytes that can lie in it; its writer can change that.
    pub(crate) fn capacity(&self) -> u64 {
        let capacity = fcntl(&self.fd, FcntlArg::F_GETPIPE_SZ).unwrap_or(0);
        u64::try_from(capacity).unwrap_or(0)
    }

    /// Reads what is there, as much as `buffer` takes.
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

/// Has the kernel refuse what it would wait with. The other end of a pipe is not concerned.
pub(super) fn never_block(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
