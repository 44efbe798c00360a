//! A listening socket that somebody else has made: the manager of services that starts the broker, or the
//! program that embeds it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{Backlog, SockType, UnixAddr, getsockname, getsockopt, listen, sockopt};

use crate::error::StartError;

/// The path of a given socket, if plugins can connect to it.
pub(super) fn check(socket: &OwnedFd) -> Result<PathBuf, StartError> {
    let unusable = |why: &str| StartError::Given {
        why: why.to_owned(),
    };
    let address: UnixAddr = getsockname(socket.as_raw_fd())
        .map_err(|_| unusable("it is no Unix socket: plugins connect by a path"))?;
    // Types that this does not know are an error, and not the right one.
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

/// Makes a given socket like those that brokers make.
pub(super) fn prepare(socket: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    // Once more, so that the kernel tells plugins that this process is the one that listens.
    listen(socket, Backlog::MAXCONN)?;
    Ok(())
}
