//! The connection that a host leaves to a plugin that it starts.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use callgate_layout::Code;
use callgate_layout::invitation;
use callgate_layout::sys::{inherit, process};
use nix::sys::socket::{getsockopt, sockopt};

use crate::base::error::{Error, Result};
use crate::session::broker::BrokerName;
use crate::session::mapping::system;

/// A connected socket, and what is known of its other end.
pub(super) struct Found {
    pub(super) socket: OwnedFd,
    pub(super) broker: BrokerName,
    /// The process of the host, if it has started this one.
    pub(super) host: Option<OwnedFd>,
}

impl From<OwnedFd> for Found {
    fn from(socket: OwnedFd) -> Found {
        let broker = BrokerName::of(&socket, None);
        (socket, broker).into()
    }
}

impl From<(OwnedFd, BrokerName)> for Found {
    fn from((socket, broker): (OwnedFd, BrokerName)) -> Found {
        Found {
            socket,
            broker,
            host: None,
        }
    }
}

/// Takes the connection that a host has left to this process; `None` if there is none.
pub(super) fn take() -> Option<Result<Found>> {
    let inherited = invitation::take()?;
    let inherited = inherited.map_err(|refused| not_inherited(&refused));
    Some(inherited.and_then(|socket| {
        let host = host_of(&socket)?;
        Ok(Found {
            host: Some(host),
            ..Found::from(socket)
        })
    }))
}

/// The process that made an inherited connection. A plugin that a host has started must not outlive the host, even
/// if another program, such as a shell, started it for the host.
fn host_of(socket: &OwnedFd) -> Result<OwnedFd> {
    let watched = getsockopt(socket, sockopt::PeerCredentials)
        .map_err(io::Error::from)
        .and_then(|host| process::peer_pidfd(socket.as_fd(), host.pid().unsigned_abs()));
    watched.map_err(|error| system("watching the host's process", &error))
}

fn not_inherited(refused: &inherit::Refused) -> Error {
    let code = match refused {
        inherit::Refused::Used(_) => Code::BrokerGone,
        inherit::Refused::System(_) => Code::System,
        _ => Code::InvalidArgument,
    };
    Error::new(code, refused.to_string())
}
