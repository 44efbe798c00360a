//! Keeps our descriptors above 2.
//!
//! Programs write to the descriptors 0 to 2, whatever file they stand for. If these are closed, the next descriptors
//! that are made get their numbers, and a `println!` then writes into a control socket or an eventfd. Rust's runtime
//! opens `/dev/null` in their place when a program starts, but a program can close them later (to become a daemon,
//! for example), and a C host has no such runtime. So we do two things:
//!
//! - Every descriptor that we make or receive and keep open passes through [`above`].
//! - A library that makes its own descriptors (the epoll and eventfd of `mio`) cannot be told
//!   which numbers to use. So before we use it, [`fill`] opens `/dev/null` in place of the closed streams,
//!   and leaves it open: a process with threads cannot close it again safely, because another
//!   thread may have begun to use it. Daemons have `/dev/null` there anyway.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;

/// The first number above the standard streams.
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

/// Opens `/dev/null` as each of the descriptors 0 to 2 that is closed. Programs that this process starts inherit it.
pub fn fill() -> io::Result<()> {
    loop {
        // The kernel gives the lowest free number.
        let null = open("/dev/null", OFlag::O_RDWR, Mode::empty())?;
        if null.as_raw_fd() >= FIRST {
            return Ok(());
        }
        // It stays open as long as the process lives.
        let _ = null.into_raw_fd();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::BorrowedFd;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use nix::fcntl::{FdFlag, fcntl};
    use nix::sys::stat::fstat;

    use super::*;

    /// Closes the standard streams, which a forked child may do with its own.
    fn close_all() {
        for raw in 0..FIRST {
            // SAFETY: in a child between fork and exec nobody else uses them.
            unsafe { libc::close(raw) };
        }
    }

    /// Runs a check in a forked child of this process, before it starts a program.
    fn in_a_child(check: fn() -> io::Result<bool>) -> bool {
        let mut command = Command::new("true");
        let before_exec = move || match check() {
            Ok(true) => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::EDOM)),
        };
        // SAFETY: the checks below make system calls that are allowed in a forked child.
        unsafe { command.pre_exec(before_exec) };
        command.status().is_ok_and(|status| status.success())
    }

    /// A descriptor of ours never gets the number of a closed standard stream, where it would receive the program's
    /// output.
    #[test]
    fn nothing_of_ours_is_a_standard_stream() {
        let fd = open("/dev/null", OFlag::O_RDWR, Mode::empty()).unwrap();
        let raw = fd.as_raw_fd();
        assert_eq!(above(fd).unwrap().as_raw_fd(), raw, "it is above them");
        assert!(in_a_child(|| {
            close_all();
            let low = open("/dev/null", OFlag::O_RDWR, Mode::empty())?;
            let was_low = low.as_raw_fd() == 0;
            let high = above(low)?;
            let flags = FdFlag::from_bits_retain(fcntl(&high, FcntlArg::F_GETFD)?);
            let is_high = high.as_raw_fd() >= FIRST && flags.contains(FdFlag::FD_CLOEXEC);
            // The number is free again.
            let again = open("/dev/null", OFlag::O_RDWR, Mode::empty())?;
            Ok(was_low && is_high && again.as_raw_fd() == 0)
        }));
    }

    /// Closed streams are filled, so that the descriptors of a library do not get their numbers. Open ones are left
    /// alone.
    #[test]
    fn closed_streams_are_filled_and_others_left() {
        fill().unwrap();
        assert!(in_a_child(|| {
            close_all();
            fill()?;
            let next = open("/dev/null", OFlag::O_RDWR, Mode::empty())?;
            let null = fstat(&next)?.st_rdev;
            let are_null = (0..FIRST).all(|raw| {
                // SAFETY: `fill` has just opened it, and it stays open.
                let stream = unsafe { BorrowedFd::borrow_raw(raw) };
                fstat(stream).is_ok_and(|stat| stat.st_rdev == null)
            });
            Ok(are_null && next.as_raw_fd() >= FIRST)
        }));
    }
}
