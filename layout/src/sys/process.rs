//! Descriptors that stand for processes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};

use super::standard;

/// A pidfd of the process `pid`, which the caller knows to be the one it means: its own child
/// that was not reaped, or the peer of a socket that is still connected.
pub fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made `fd` for this process and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    standard::above(fd)
}

/// A pidfd of the process that connected a socket: by the socket itself (Linux 6.5), or else by
/// its number. Any other error is one: a number may by then be that of another process.
pub fn peer_pidfd(socket: BorrowedFd<'_>, pid: u32) -> io::Result<OwnedFd> {
    match getsockopt(&socket, sockopt::PeerPidfd) {
        Ok(fd) => standard::above(fd),
        Err(Errno::ENOPROTOOPT) => pidfd_open(pid),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the process behind a pidfd has ended.
pub fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..))
}
