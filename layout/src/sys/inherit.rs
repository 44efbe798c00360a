//! The socket that a broker leaves to the plugins it starts.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockType, getsockopt, sockopt};

/// The environment variable that names the inherited socket's number.
pub const VARIABLE: &str = "CALLGATE_FD";

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the inherited socket. `None` where the environment names none, or where this process
/// has taken it already.
///
/// The variable is not removed from the environment, but the socket is closed on exec from here
/// on, so that programs started by the plugin do not get it.
pub fn take() -> Option<io::Result<OwnedFd>> {
    let number = std::env::var(VARIABLE).ok()?;
    if TAKEN.swap(true, Ordering::AcqRel) {
        return None;
    }
    Some(number.parse().map_err(io::Error::other).and_then(adopt))
}

fn adopt(raw: RawFd) -> io::Result<OwnedFd> {
    // The standard streams belong to somebody else, whatever the environment says.
    if raw <= 2 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the descriptor is borrowed for this function only; if it is not open, the calls
    // below say so.
    let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    if getsockopt(&borrowed, sockopt::SockType)? != SockType::SeqPacket {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: it is open and a socket of the kind that only a broker leaves behind for this
    // process; the environment variable hands it over, and `TAKEN` lets it be taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
