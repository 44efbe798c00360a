//! What systemd, or another manager that speaks its protocol, passes to a service that it starts: sockets that are
//! already listening, and the address to which the service reports its state.
//!
//! The sockets are the descriptors from 3 on. `LISTEN_FDS` says how many, `LISTEN_PID` for which process, and
//! `LISTEN_FDNAMES` how their units name them. `NOTIFY_SOCKET` names the socket to which the service sends its
//! reports, and `WATCHDOG_USEC` how often the process `WATCHDOG_PID` must send one.

use std::env;
use std::ffi::OsString;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::environment;
use super::inherit::socket_inode;

/// The first descriptor that is passed.
const FIRST: RawFd = 3;
/// The variables that are meant for the service alone, and not for programs that it starts.
const VARIABLES: [&str; 7] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// Whether this process has taken the socket that was passed to it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What the service manager passed to this process.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Service {
    /// The socket that was passed.
    pub listener: Option<OwnedFd>,
    /// The socket to which the service reports its state: a path, or `@` and a name.
    pub notify: Option<OsString>,
    /// The longest time between two reports that the service is alive.
    pub watchdog: Option<Duration>,
}

/// Takes what the service manager passed to this process: one socket at most, and once. The error says what is wrong
/// with it.
///
/// If this process has no other thread, the variables are removed, so that programs that it starts do not see them.
pub fn take() -> Result<Service, String> {
    let text = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let pid = std::process::id();
    let watchdog = watchdog((text("WATCHDOG_USEC"), text("WATCHDOG_PID")), pid)?;
    let count = count((text("LISTEN_FDS"), text("LISTEN_PID")), pid)?;
    let listener = match count {
        0 => None,
        1 if TAKEN.swap(true, Ordering::AcqRel) => None,
        1 => Some(own_first().map_err(|why| {
            format!("the environment names the descriptor {FIRST} as a socket for this process, but {why}")
        })?),
        _ => {
            let names = text("LISTEN_FDNAMES").unwrap_or_default();
            return Err(format!(
                "{count} sockets were passed to this process ({names}), and it can use one: put the others \
                 into another socket unit"
            ));
        }
    };
    let notify = env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty());
    environment::forget(&VARIABLES);
    Ok(Service {
        listener,
        notify,
        watchdog,
    })
}

/// How many sockets were passed to the process with this number.
fn count((count, whose): (Option<String>, Option<String>), pid: u32) -> Result<u32, String> {
    let (Some(count), Some(whose)) = (count, whose) else {
        return Ok(0);
    };
    match number::<u32>("LISTEN_PID", &whose)? == pid {
        true => number("LISTEN_FDS", &count),
        // They were meant for the process that started this one.
        false => Ok(0),
    }
}

/// How often the process with this number must say that it is alive.
fn watchdog(
    (every, whose): (Option<String>, Option<String>),
    pid: u32,
) -> Result<Option<Duration>, String> {
    let Some(every) = every else {
        return Ok(None);
    };
    if let Some(whose) = whose
        && number::<u32>("WATCHDOG_PID", &whose)? != pid
    {
        return Ok(None);
    }
    let every = Duration::from_micros(number("WATCHDOG_USEC", &every)?);
    Ok(Some(every).filter(|every| !every.is_zero()))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| {
        let text = text.escape_debug();
        format!("{name} is `{text}` in the environment, and not a number")
    })
}

/// Takes ownership of the first descriptor that was passed, if it is a socket that was open before this program
/// began.
fn own_first() -> Result<OwnedFd, String> {
    // SAFETY: the call takes any number, and only looks.
    let flags = unsafe { libc::fcntl(FIRST, libc::F_GETFD) };
    if flags == -1 {
        return Err("it is not open".to_owned());
    }
    // A descriptor that was passed has survived an exec. One that this program opened itself would have been closed.
    if flags & libc::FD_CLOEXEC != 0 {
        return Err("this program has opened another file under that number".to_owned());
    }
    if socket_inode(FIRST).is_none() {
        return Err("it is no socket".to_owned());
    }
    // SAFETY: it is open, it was there before this program was loaded, and the environment says that it is
    // for this process. Nobody else here owns it: `TAKEN` lets only the first come so far.
    let socket = unsafe { OwnedFd::from_raw_fd(FIRST) };
    fcntl(socket.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
        .map_err(|errno| format!("it cannot be closed on exec ({})", errno.desc()))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn only_what_is_for_this_process_is_taken() {
        for (fds, pid, expected) in [
            (None, None, Ok(0)),
            (text("1"), None, Ok(0)),
            (None, text("7"), Ok(0)),
            (text("1"), text("7"), Ok(1)),
            (text("3"), text("7"), Ok(3)),
            (text("1"), text("8"), Ok(0)),
            (text("x"), text("8"), Ok(0)),
        ] {
            assert_eq!(count((fds, pid), 7), expected);
        }
        for (fds, pid, named) in [
            (text("-1"), text("7"), "LISTEN_FDS"),
            (text(""), text("7"), "LISTEN_FDS"),
            (text("1"), text("7 "), "LISTEN_PID"),
        ] {
            let error = count((fds, pid), 7).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    /// A program that a service has started does not report to the watchdog in place of the service.
    #[test]
    fn the_watchdog_is_for_one_process() {
        let second = Duration::from_secs(1);
        for (every, pid, expected) in [
            (None, None, None),
            (text("1000000"), None, Some(second)),
            (text("1000000"), text("7"), Some(second)),
            (text("1000000"), text("8"), None),
            (text("0"), text("7"), None),
        ] {
            assert_eq!(watchdog((every, pid), 7), Ok(expected));
        }
        let error = watchdog((text("soon"), None), 7).unwrap_err();
        assert!(error.contains("WATCHDOG_USEC"), "{error}");
    }
}
