//! How errors name the broker.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use callgate_layout::Code;
use callgate_layout::control::DecodeError;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Pid;

use crate::base::error::Error;

/// Names the broker at the other end of a control socket: its process, and the path of its socket if that path was
/// used to connect.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerName {
    pid: Option<i32>,
    path: Option<PathBuf>,
    /// Whether the plugin waits for no other broker after this one.
    is_last: bool,
}

impl BrokerName {
    /// Names the process with this number, at the socket with this path.
    pub(super) fn at(pid: Option<i32>, path: &Path) -> BrokerName {
        BrokerName {
            pid,
            path: Some(path.to_owned()),
            is_last: false,
        }
    }

    /// Names the broker at the other end of a connected socket.
    pub(crate) fn of(socket: &OwnedFd, path: Option<&Path>) -> BrokerName {
        let peer = getsockopt(&socket.as_fd(), sockopt::PeerCredentials);
        // The kernel reports 0 for a process of another pid namespace.
        let pid = peer.ok().map(|peer| peer.pid()).filter(|pid| *pid != 0);
        BrokerName {
            pid,
            path: path.map(Path::to_owned),
            is_last: false,
        }
    }

    /// The same broker, with the process number that it states itself. The kernel's number is another one if a
    /// service manager made the socket.
    pub(crate) fn with_pid(self, said: u32) -> BrokerName {
        let pid = self.pid.map(|seen| i32::try_from(said).unwrap_or(seen));
        BrokerName { pid, ..self }
    }

    /// The same broker, for a plugin that waits for no other one after it.
    pub(crate) fn last(self) -> BrokerName {
        BrokerName {
            is_last: true,
            ..self
        }
    }

    /// The error for a broker that has ended or has closed the connection.
    pub(crate) fn gone(&self, why: &str) -> Error {
        let next = match &self.path {
            _ if self.is_last => "this plugin waits for no other broker",
            Some(_) => "this plugin connects again by itself when a broker answers there",
            None => "this plugin waits for a connection to another broker (`Plugin::rejoin`)",
        };
        let text = format!(
            "{self} has ended, or has ended this plugin's connection ({why}); linked plugins can still be \
             called; {next}"
        );
        Error::new(Code::BrokerGone, text)
    }

    /// The error for a broker that runs but does not do something in time.
    pub(crate) fn is_late(&self, what: &str) -> Error {
        let has_ended = |pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH);
        // That happens when a service manager keeps the socket: the kernel still reports the process that listened
        // last.
        let why = match self.pid.is_some_and(has_ended) {
            true => ": this process has ended, and none has taken its place yet",
            false => "",
        };
        Error::new(Code::Timeout, format!("{self} {what}{why}"))
    }

    /// The error for a datagram from the broker that cannot be decoded.
    pub(crate) fn undecodable(&self, error: &DecodeError) -> Error {
        let code = match error {
            DecodeError::Version { .. } => Code::VersionMismatch,
            _ => Code::Protocol,
        };
        Error::new(code, format!("{self} sent no record: {error}"))
    }
}

impl fmt::Display for BrokerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the broker")?;
        if let Some(pid) = self.pid {
            write!(f, " (pid {pid})")?;
        }
        match &self.path {
            Some(path) => write!(f, " at {}", path.display()),
            None => Ok(()),
        }
    }
}
