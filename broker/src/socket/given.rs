//! A listening socket that the broker was given: by the manager of services that starts it, or by the program that embeds it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{Backlog, SockType, UnixAddr, getsockname, getsockopt, listen, sockopt};

use crate::error::StartError;

/// Returns the path of a given socket, if plugins can connect to it.
pub(super) fn check(socket: &OwnedFd) -> Result<PathBuf, StartError> {
    let unusable = |why: &str| StartError::Given {
        why: why.to_owned(),
    };
    let address: UnixAddr = getsockname(socket.as_raw_fd())
        .map_err(|_| unusable("it is no Unix socket: plugins connect by a path"))?;
    // For a type that `getsockopt` does not know it returns an error, which here means the wrong type.
    if !matches!(
        getsockopt(socket, sockopt::SockType),
        Ok(SockType::SeqPacket)
    ) {
        return Err(unusable(
            "it has not the type SOCK_SEQPACKET: in a socket unit, write ListenSequentialPacket= in the \
             place of ListenStream= or ListenDatagram=",
        ));
    }
    let listens = getsockopt(socket, sockopt::AcceptConn);
    if !matches!(listens, Ok(true)) {
        return Err(unusable(
            "it does not listen: in a socket unit, write Accept=no or leave Accept= out",
        ));
    }
    let path = address.path().filter(|path| path.is_absolute());
    path.map(Path::to_owned).ok_or_else(|| {
        unusable(
            "it is not bound to an absolute path: other addresses are not kept from other users",
        )
    })
}

/// Sets a given socket up like those that brokers make.
pub(super) fn prepare(socket: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    // Listening again makes the kernel name this process to plugins that connect.
    listen(socket, Backlog::MAXCONN)?;
    Ok(())
}
