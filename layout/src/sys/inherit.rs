//! The connection that a broker passes to a program that it starts.
//!
//! The variable `CALLGATE_FD` has the form `NUMBER:INODE`: which descriptor it is, and which socket that must be. In
//! the socket lies one invitation ([`crate::invitation`]). The kernel gives it to one process only, and the process
//! that receives it is the plugin. Until then this process only looks at the descriptor. So a number that is out of
//! date, or that was meant for another process, does no harm.

use core::mem::MaybeUninit;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{MsgFlags, recv};

use super::environment;

/// The environment variable that names the inherited socket.
pub const VARIABLE: &str = "CALLGATE_FD";

/// Whether this process has taken the connection that was passed to it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Why `CALLGATE_FD` gives this process no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// This process has taken the connection before.
    Taken,
    /// The value of the variable does not have the form that a broker writes.
    Malformed(String),
    /// The descriptor is not open here, or belongs to another file.
    Stale(RawFd),
    /// Another process has taken the invitation, or the broker is gone.
    Used(RawFd),
    /// The operating system refused something.
    System(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ELSE: &str = "name a socket or descriptor, or remove the variable for this program";
        match self {
            Refused::Taken => write!(
                f,
                "this process has used the connection that its host left to it before, and there is \
                 only one: name a socket or descriptor for another"
            ),
            Refused::Malformed(text) => write!(
                f,
                "{VARIABLE} is `{}`, which no broker of this version writes: {ELSE}",
                text.escape_debug()
            ),
            Refused::Stale(raw) => write!(
                f,
                "{VARIABLE} was meant for another process: the descriptor {raw} is not the \
                 connection that it names, or was closed on the way; {ELSE}"
            ),
            Refused::Used(raw) => write!(
                f,
                "the connection {raw} in {VARIABLE} was used by another process, or its broker has \
                 ended; {ELSE}"
            ),
            Refused::System(error) => write!(f, "{VARIABLE}: {error}"),
        }
    }
}

impl std::error::Error for Refused {}

/// The value of the variable for a socket.
pub fn value(socket: BorrowedFd<'_>) -> io::Result<String> {
    let raw = socket.as_raw_fd();
    let inode = socket_inode(raw).ok_or_else(io::Error::last_os_error)?;
    Ok(format!("{raw}:{inode}"))
}

/// Takes the inherited connection if `is_invitation` accepts the record in it; see [`crate::invitation::take`].
pub(crate) fn take(is_invitation: fn(&[u8]) -> bool) -> Option<Result<OwnedFd, Refused>> {
    if TAKEN.load(Ordering::Acquire) {
        return Some(Err(Refused::Taken));
    }
    let value = std::env::var_os(VARIABLE)?;
    let adopted = adopt(&value.to_string_lossy(), is_invitation);
    if adopted.is_ok() {
        TAKEN.store(true, Ordering::Release);
        environment::forget(&[VARIABLE]);
    }
    Some(adopted)
}

fn adopt(value: &str, is_invitation: fn(&[u8]) -> bool) -> Result<OwnedFd, Refused> {
    let malformed = || Refused::Malformed(value.to_owned());
    let (raw, inode) = value.split_once(':').ok_or_else(malformed)?;
    let raw: RawFd = raw.parse().map_err(|_| malformed())?;
    let inode: u64 = inode.parse().map_err(|_| malformed())?;
    // Never take a standard stream, whatever the environment says: the program uses it.
    if raw <= 2 {
        return Err(malformed());
    }
    if socket_inode(raw) != Some(inode) {
        return Err(Refused::Stale(raw));
    }
    // The record is looked at before it is taken: later records belong to the process that has the connection.
    for flags in [MsgFlags::MSG_PEEK, MsgFlags::empty()] {
        let mut buffer = [0; 1024];
        let len = match recv(raw, &mut buffer, flags | MsgFlags::MSG_DONTWAIT) {
            Ok(len) => len,
            Err(Errno::EAGAIN | Errno::ECONNRESET) => return Err(Refused::Used(raw)),
            Err(errno) => return Err(Refused::System(errno.into())),
        };
        if !is_invitation(&buffer[..len]) {
            return Err(Refused::Used(raw));
        }
    }
    // SAFETY: it is open, and the very socket that a broker left to whoever gets its invitation,
    // which nobody but this call got; so nothing else in this process owns the descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let closed_on_exec = fcntl(socket.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    closed_on_exec.map_err(|errno| Refused::System(errno.into()))?;
    Ok(socket)
}

/// The inode of a socket; `None` where the number is not one of an open socket.
pub(super) fn socket_inode(raw: RawFd) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` is writable memory of the type that the call writes; the number may be any.
    let result = unsafe { libc::fstat(raw, stat.as_mut_ptr()) };
    if result != 0 {
        return None;
    }
    // SAFETY: the call has succeeded, and so has written all of it.
    let stat = unsafe { stat.assume_init() };
    (stat.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some(stat.st_ino)
}
