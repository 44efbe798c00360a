//! Whether anybody else still holds a memory file.
//!
//! The kernel grants a write lease on a file only while nobody else has it open: no descriptor of another open file
//! description, no such descriptor on its way through a socket, and no map, because a map keeps its description open.
//! So the broker takes a lease and releases it at once to learn whether memory that it handed out is free. For files
//! of the same user this needs no privilege.
//!
//! The kernel counts descriptions that were made by opening the file. It does not count the one that `memfd_create`
//! makes (so [`memfd::reopen`](super::memfd::reopen) makes all that are handed out), and not those of `O_PATH`: a
//! process that keeps one of these on purpose is not noticed.
//!
//! While there is a lease, the kernel sends its owner a signal when somebody opens the file (through an `O_PATH`
//! descriptor, or `/proc/PID/fd` of the holder). By default that signal ends the process. So the signal goes to the
//! calling thread alone, which blocks it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_int;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::gettid;

/// The kernel's `F_SETOWN_EX`, `struct f_owner_ex` and `F_OWNER_TID`.
const F_SETOWN_EX: c_int = 15;
const F_OWNER_TID: c_int = 0;

#[repr(C)]
struct Owner {
    kind: c_int,
    id: libc::pid_t,
}

/// Whether anybody holds the file besides this descriptor, which [`memfd::reopen`](super::memfd::reopen) has made.
/// Blocks `SIGIO` in the calling thread for good, so call it on a thread of your own.
///
/// # Errors
///
/// Where the kernel grants no leases at all, for example because `fs.leases-enable` is 0.
pub fn is_held_elsewhere(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let is_leased = take(fd)?;
    if is_leased {
        let_go(fd)?;
    }
    Ok(!is_leased)
}

/// Takes the lease; false where somebody else holds the file.
fn take(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGIO);
    signals.thread_block()?;
    let owner = Owner {
        kind: F_OWNER_TID,
        id: gettid().as_raw(),
    };
    // SAFETY: `F_SETOWN_EX` reads a `struct f_owner_ex` from the address, which `Owner` is laid out
    // as and which lives until the call returns. The descriptor is borrowed, so it is open.
    let set = unsafe { libc::fcntl(fd.as_raw_fd(), F_SETOWN_EX, &raw const owner) };
    Errno::result(set)?;
    match set_lease(fd, libc::F_WRLCK) {
        Ok(()) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn let_go(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(set_lease(fd, libc::F_UNLCK)?)
}

fn set_lease(fd: BorrowedFd<'_>, kind: c_int) -> Result<(), Errno> {
    // SAFETY: `F_SETLEASE` takes a number and no address. The descriptor is borrowed, so it is open.
    let set = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLEASE, kind) };
    Errno::result(set).map(drop)
}

#[cfg(test)]
mod tests;
