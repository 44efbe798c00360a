//! Descriptors that stand for processes (pidfds).

use core::mem::MaybeUninit;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};

use super::standard;

/// A pidfd of the process `pid`. The caller must know that the number still belongs to the process it means: a child
/// that it has not reaped, or the peer of a socket that is still connected.
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

/// A pidfd of the process that connected a socket. It comes from the socket itself (Linux 6.5), or, where the kernel
/// cannot do that, from the process's number. Other errors are returned: by then the number may belong to another
/// process.
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

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The process of the pidfd.
    Process,
    /// All that are left of the process group that it leads or led (Linux 6.9; before, `EINVAL`).
    Group,
}

/// Sends a signal by a pidfd, so that it never reaches another process that has got the same number meanwhile. Signal
/// 0 only checks whether the process exists. `ESRCH` if it does not.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32, whom: Whom) -> io::Result<()> {
    const PROCESS_GROUP: u32 = 1 << 2;
    let flags = match whom {
        Whom::Process => 0,
        Whom::Group => PROCESS_GROUP,
    };
    // SAFETY: takes numbers, and no description of the signal, which may be null.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            core::ptr::null::<libc::siginfo_t>(),
            flags,
        )
    };
    done(result)
}

/// Takes the exit status of a child that has ended; `None` while it runs. `ECHILD` if somebody else has taken it, or
/// if this process ignores SIGCHLD.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    wait(pidfd, libc::WEXITED | libc::WNOHANG)
}

/// Whether a process is a child of this one whose exit status nobody has taken. Then no other process can have its
/// number.
pub fn is_unreaped_child(pidfd: BorrowedFd<'_>) -> bool {
    wait(pidfd, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT).is_ok()
}

fn wait(pidfd: BorrowedFd<'_>, options: i32) -> io::Result<Option<ExitStatus>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let fd = pidfd.as_raw_fd() as libc::id_t;
    // SAFETY: `info` is writable memory of the type that the call writes.
    let result = unsafe { libc::waitid(libc::P_PIDFD, fd, info.as_mut_ptr(), options) };
    done(result.into())?;
    // SAFETY: zeroed at first, and all zeros are a valid `siginfo_t`, which is plain numbers.
    let info = unsafe { info.assume_init() };
    // SAFETY: the kernel fills this field in after `waitid`, or it is the zero of above.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    let raw = match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    };
    Ok(Some(ExitStatus::from_raw(raw)))
}

/// How a process ended whose exit status somebody else has taken. `None` where the kernel does not report it (before
/// Linux 6.15).
pub fn exit_status(pidfd: BorrowedFd<'_>) -> Option<ExitStatus> {
    /// The kernel's `struct pidfd_info` in its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const _: () = assert!(size_of::<Info>() == 64);
    /// `_IOWR(0xff, 11, struct pidfd_info)`.
    const GET_INFO: u64 = 3 << 30 | 64 << 16 | 0xff << 8 | 11;
    const EXIT: u64 = 1 << 3;
    let mut info = Info {
        mask: EXIT,
        ..Info::default()
    };
    // SAFETY: the request carries the size of `info`, which is all that the kernel reads and writes.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO as _, &raw mut info) };
    let is_known = result == 0 && info.mask & EXIT != 0;
    is_known.then(|| ExitStatus::from_raw(info.exit_code))
}

fn done(result: i64) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
