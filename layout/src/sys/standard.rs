//! Keeping our descriptors above 2.
//!
//! Programs write to the descriptors 0 to 2 whatever is behind them. Where these are closed, the
//! next descriptors that are made get their numbers, and a `println!` then writes into a control
//! socket or an eventfd. Rust's runtime opens `/dev/null` in their place when a program starts,
//! but a program can close them later (to become a daemon, for example), and a C host has no such
//! runtime. So two things are done:
//!
//! - Whatever is made or received here and stays open passes through [`above`].
//! - A library that makes its own descriptors (the epoll and eventfd of `mio`) cannot be told
//!   which numbers to use. So [`fill`] opens `/dev/null` in the place of what is closed before it is
//!   used, and leaves it there: a process with threads cannot take it away again safely, because
//!   somebody may have begun to use it, and daemons have `/dev/null` there anyway.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;

/// The first number that is no standard stream's.
const FIRST: i32 = 3;

/// The same file under a number above 2.
pub fn above(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    let raw = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(FIRST))?;
    // SAFETY: the kernel just made `raw` for this process and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Opens `/dev/null` as each of the descriptors 0 to 2 that is closed. Programs that are started
/// inherit it, as they would inherit what is open there.
pub fn fill() -> io::Result<()> {
    loop {
        // The kernel gives the lowest free number.
        let null = open("/dev/null", OFlag::O_RDWR, Mode::empty())?;
        if null.as_raw_fd() >= FIRST {
            return Ok(());
        }
        // It stays open for as long as the process lives.
        let _ = null.into_raw_fd();
    }
}
