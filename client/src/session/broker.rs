//! The broker as a plugin knows it: how it is reached, and how errors name it.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use callgate_layout::control::DecodeError;
use callgate_layout::{Code, socket};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::kill;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt,
    socket as new_socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::Pid;

use crate::base::error::{Error, Result};

/// Which broker a control socket leads to: its process, and the path of its socket where it was
/// reached by that.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerName {
    pid: Option<i32>,
    path: Option<PathBuf>,
}

impl BrokerName {
    /// The broker at the other end of a connected socket.
    pub(crate) fn of(socket: &OwnedFd, path: Option<&Path>) -> BrokerName {
        let peer = getsockopt(&socket.as_fd(), sockopt::PeerCredentials);
        // A process of another pid namespace has no number here.
        let pid = peer.ok().map(|peer| peer.pid()).filter(|pid| *pid != 0);
        BrokerName {
            pid,
            path: path.map(Path::to_owned),
        }
    }

    /// The error for a broker that was there and does not answer any more.
    pub(crate) fn gone(&self, why: &str) -> Error {
        Error::new(
            Code::BrokerGone,
            format!(
                "{self} has ended, or has ended this plugin's connection ({why}); linked plugins can \
                 still be called; connect anew to open or provide anything"
            ),
        )
    }

    /// The error for a broker that is there and does not do something in time.
    pub(crate) fn is_late(&self, what: &str) -> Error {
        Error::new(Code::Timeout, format!("{self} {what}"))
    }

    /// The error for a datagram of the broker's that is no record.
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

/// Connects to the broker at a path.
///
/// While more are waiting for the broker to take them in than its socket has room for, the kernel has
/// this one wait, until the time is up.
pub(crate) fn connect_to(path: &Path, until: Instant) -> Result<(OwnedFd, BrokerName)> {
    let shown = path.display();
    let address = UnixAddr::new(path).map_err(|_| {
        Error::new(
            Code::InvalidArgument,
            format!(
                "the socket path {shown} is longer than {} bytes",
                socket::MAX_SOCKET_PATH
            ),
        )
    })?;
    let directory = socket::directory_of(path);
    if !directory.exists() {
        return Err(nobody(path, "its directory does not exist"));
    }
    socket::check_directory(directory).map_err(|why| {
        Error::new(
            Code::PermissionDenied,
            format!("not connecting to {shown}: {why}"),
        )
    })?;
    let socket = new_socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(|errno| system("making a socket", errno))?;
    wait_in_line(&socket, &address, until).map_err(|errno| match errno {
        Errno::EAGAIN => busy(path),
        errno => nobody(path, errno.desc()),
    })?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(|errno| system("making the socket non-blocking", errno))?;
    let name = BrokerName::of(&socket, Some(path));
    Ok((socket, name))
}

/// Connects, waiting in the kernel for the listener to have room. `EAGAIN` when the time is up.
fn wait_in_line(socket: &OwnedFd, address: &UnixAddr, until: Instant) -> nix::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // Zero would be without end, and so is what the kernel cannot count.
        let micros = i64::try_from(left.as_micros()).unwrap_or(i64::MAX).max(1);
        setsockopt(socket, sockopt::SendTimeout, &TimeVal::microseconds(micros))?;
        match connect(socket.as_raw_fd(), address) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if Instant::now() < until => {}
            outcome => return outcome,
        }
    }
}

/// The error for a path at which nobody listens.
fn nobody(path: &Path, why: &str) -> Error {
    let shown = path.display();
    let left = match holder(path) {
        Some((pid, true)) => {
            format!("; the process {pid} has the lock beside it, and may be starting or stopping")
        }
        Some((pid, false)) => format!("; the last one, process {pid}, has ended"),
        None => String::new(),
    };
    Error::new(
        Code::BrokerGone,
        format!(
            "no broker answers at {shown} ({why}{left}): start one with `callgate serve`, or name another socket"
        ),
    )
}

/// The error for a path at which too many wait.
fn busy(path: &Path) -> Error {
    let who = BrokerName {
        pid: holder(path).map(|(pid, _)| pid),
        path: Some(path.to_owned()),
    };
    who.is_late(
        "did not take this connection in, nor others that wait before it: it is stopped or busy",
    )
}

/// Who took the lock beside a socket last, and whether a process of that number runs.
fn holder(path: &Path) -> Option<(i32, bool)> {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    // Whatever is there is not to be waited for.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits()).open(lock);
    let mut text = String::new();
    file.ok()?.take(64).read_to_string(&mut text).ok()?;
    let pid = text.split(' ').next()?.trim().parse().ok()?;
    let runs = pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH);
    Some((pid, runs))
}

fn system(what: &str, errno: Errno) -> Error {
    let error = io::Error::from(errno);
    Error::new(Code::System, format!("{what}: {error}"))
}
