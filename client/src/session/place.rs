//! Where a broker's socket is, and connecting to it: the first time, and again after the broker has ended.
//!
//! A path is resolved once: it is made absolute, and symbolic links on the way to its directory are followed. So a
//! plugin that comes back finds the same directory, even if it has changed its working directory or somebody has
//! changed a link. Each attempt checks two things before a byte is sent: that nobody else can put anything into the
//! directory, and that the listening process belongs to this user or to root, who opens sockets for services.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{File, OpenOptions, canonicalize};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use callgate_layout::{Code, socket};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::kill;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt,
    socket as new_socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{Pid, geteuid};

use super::broker::BrokerName;
use super::mapping::system;
use crate::base::error::{Error, Result};

/// The place of a broker's socket: a directory whose path has no symbolic links, and a name in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    directory: PathBuf,
    name: OsString,
}

impl Place {
    /// Resolves a path that the user has given.
    pub(super) fn resolve(path: &Path) -> Result<Place> {
        let shown = path.display();
        // A broker at this path has the same limit.
        UnixAddr::new(path).map_err(|_| too_long(path))?;
        let name = path.file_name().ok_or_else(|| {
            let text = format!("the socket path `{shown}` does not end in a name");
            Error::new(Code::InvalidArgument, text)
        })?;
        let directory = socket::directory_of(path);
        if !directory.exists() {
            return Err(nobody(path, "its directory does not exist"));
        }
        // Another user's symbolic link is only seen here: the resolved path has none.
        check(directory, path)?;
        let directory = canonicalize(directory)
            .map_err(|error| system(&format!("finding the directory of {shown}"), &error))?;
        Ok(Place {
            directory,
            name: name.to_owned(),
        })
    }

    /// The path of the socket.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Connects to the broker that listens there now.
    ///
    /// If more connections wait for the broker than its socket has room for, the kernel lets this one wait, until
    /// the time is up.
    pub(super) fn connect(&self, until: Instant) -> Result<(OwnedFd, BrokerName)> {
        let path = self.path();
        if !self.directory.exists() {
            return Err(nobody(&path, "its directory does not exist"));
        }
        check(&self.directory, &path)?;
        let socket = new_socket(
            AddressFamily::Unix,
            SockType::SeqPacket,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .map_err(|errno| system("making a socket", &errno.into()))?;
        self.wait_in_line(&socket, until)?;
        check_listener(&socket, &path)?;
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|errno| system("making the socket non-blocking", &errno.into()))?;
        let name = BrokerName::of(&socket, Some(&path));
        Ok((socket, name))
    }

    /// Connects; the kernel waits until the listener has room.
    fn wait_in_line(&self, socket: &OwnedFd, until: Instant) -> Result<()> {
        let path = self.path();
        let (address, _directory) = self.address()?;
        connect_until(socket, &address, until).map_err(|errno| match errno {
            Errno::EAGAIN => busy(&path),
            errno => nobody(&path, errno.desc()),
        })
    }

    /// The address, and a descriptor that has to stay open while it is used. Without links or the working directory
    /// a path may become too long for an address; then the directory is named through its descriptor.
    fn address(&self) -> Result<(UnixAddr, Option<File>)> {
        if let Ok(address) = UnixAddr::new(&self.path()) {
            return Ok((address, None));
        }
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlag::O_PATH.bits());
        let directory = options.open(&self.directory).map_err(|error| {
            let shown = self.directory.display();
            system(&format!("opening the directory {shown}"), &error)
        })?;
        let through = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
        let through = UnixAddr::new(&through.join(&self.name));
        let address = through.map_err(|_| too_long(&self.path()))?;
        Ok((address, Some(directory)))
    }
}

/// Fails if other users can put something into the directory of a socket.
fn check(directory: &Path, path: &Path) -> Result<()> {
    socket::check_directory(directory).map_err(|why| {
        let text = format!("not connecting to {}: {why}", path.display());
        Error::new(Code::PermissionDenied, text)
    })
}

/// Fails if the listening process belongs to another user.
fn check_listener(socket: &OwnedFd, path: &Path) -> Result<()> {
    let listener = getsockopt(socket, sockopt::PeerCredentials)
        .map_err(|errno| system("asking who listens", &errno.into()))?;
    let (uid, own) = (listener.uid(), geteuid().as_raw());
    if uid == own || uid == 0 {
        return Ok(());
    }
    let (shown, pid) = (path.display(), listener.pid());
    let text = format!(
        "not using {shown}: the process {pid}, which listens there, belongs to user {uid}, neither to user \
         {own} nor to root: remove that socket and start a broker of your own, or name another socket"
    );
    Err(Error::new(Code::PermissionDenied, text))
}

/// Connects; `EAGAIN` when the time is up.
fn connect_until(socket: &OwnedFd, address: &UnixAddr, until: Instant) -> nix::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // The kernel takes zero, and a value that it cannot count, as no limit.
        let micros = i64::try_from(left.as_micros()).unwrap_or(i64::MAX).max(1);
        setsockopt(socket, sockopt::SendTimeout, &TimeVal::microseconds(micros))?;
        match connect(socket.as_raw_fd(), address) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if Instant::now() < until => {}
            outcome => return outcome,
        }
    }
}

fn too_long(path: &Path) -> Error {
    let text = format!(
        "the socket path {} is longer than {} bytes",
        path.display(),
        socket::MAX_SOCKET_PATH
    );
    Error::new(Code::InvalidArgument, text)
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

/// The error for a path at which too many connections wait.
fn busy(path: &Path) -> Error {
    let who = BrokerName::at(holder(path).map(|(pid, _)| pid), path);
    who.is_late(
        "did not take this connection in, nor others that wait before it: it is stopped or busy",
    )
}

/// The process that last took the lock beside a socket, and whether a process of that number runs.
fn holder(path: &Path) -> Option<(i32, bool)> {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    // Neither follows a link nor waits, whatever the file is.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits()).open(lock);
    let mut text = String::new();
    file.ok()?.take(64).read_to_string(&mut text).ok()?;
    let pid = text.split(' ').next()?.trim().parse().ok()?;
    let runs = pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH);
    Some((pid, runs))
}
