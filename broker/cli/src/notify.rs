//! Reports the service's state to the service manager that started it, by datagrams of lines such as `READY=1`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::OnceLock;

use callgate::shown::shown;

/// The manager's socket, and the status line to send.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// What the broker does; set when it listens.
    status: OnceLock<String>,
}

impl Manager {
    /// The manager that listens at an address of `NOTIFY_SOCKET`: a path, or `@` and a name.
    pub(crate) fn at(address: &OsStr) -> io::Result<Manager> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => return Err(io::Error::other("it is neither a path nor `@` and a name")),
        };
        let socket = UnixDatagram::unbound()?;
        // The broker's own thread sends reports, too, and must not wait for a manager that hangs.
        socket.set_nonblocking(true)?;
        Ok(Manager {
            socket,
            address,
            status: OnceLock::new(),
        })
    }

    /// Reports that the broker listens.
    pub(crate) fn ready(&self, socket: &Path) {
        // A path may contain any character, and a report ends its lines at line breaks.
        let path = socket.display().to_string();
        let status = self
            .status
            .get_or_init(|| format!("listening at {}", shown(&path)));
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Reports that the broker's thread is alive, and how many plugins it serves.
    pub(crate) fn alive(&self, plugins: usize) {
        match self.status.get() {
            Some(status) => self.tell(&format!("WATCHDOG=1\nSTATUS={status}, plugins: {plugins}")),
            None => self.tell("WATCHDOG=1"),
        }
    }

    /// Reports that the broker is about to end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, lines: &str) {
        if let Err(error) = self.socket.send_to_addr(lines.as_bytes(), &self.address) {
            tracing::warn!("the manager of this service cannot be told how it is: {error}");
        }
    }
}
