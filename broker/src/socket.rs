//! The broker's socket and the lock beside it.
//!
//! Whoever holds the lock is the broker of the socket, for as long as it holds it, and may
//! replace a socket that a killed broker left behind.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use callgate_layout::socket::{MAX_SOCKET_PATH, check_directory, directory_of};
use callgate_layout::sys::fork::Withheld;
use callgate_layout::sys::{fdpass, standard};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};

use crate::builder::StartError;

/// The socket that plugins connect to.
#[derive(Debug)]
pub(crate) struct Listener {
    // Dropped before what it withholds.
    _withheld: Option<Withheld>,
    // A stream socket in name only: the type lends its safe `accept`.
    socket: UnixListener,
    lock: Lock,
}

/// The lock on a socket's path. Dropping it removes the lock file, and the socket if it is
/// this broker's.
#[derive(Debug)]
pub(crate) struct Lock {
    socket: PathBuf,
    path: PathBuf,
    generation: u64,
    /// Whether what is at the path is this broker's own.
    has_socket: bool,
    /// From forked children, which would else keep the path taken. Dropped before the file.
    _withheld: Option<Withheld>,
    _file: File,
}

impl Listener {
    /// Makes the socket, and its directory where that is missing; with `parents` also those
    /// above it. A path that somebody wrote by hand may have a mistake in it.
    pub(crate) fn bind(path: &Path, parents: bool) -> Result<Listener, StartError> {
        let len = path.as_os_str().as_bytes().len();
        if len > MAX_SOCKET_PATH {
            let socket = path.to_owned();
            return Err(StartError::PathTooLong { socket, len });
        }
        prepare_directory(path, parents)?;
        let mut lock = Lock::take(path)?;
        clear_the_way(path)?;
        let io = |error| StartError::io("make the socket", path, error);
        let socket = make(path).map_err(io)?;
        lock.has_socket = true;
        Ok(Listener {
            _withheld: Withheld::new(socket.as_fd()),
            socket,
            lock,
        })
    }

    pub(crate) fn address(&self) -> &Path {
        &self.lock.socket
    }

    /// Which broker in a row this is on its socket.
    pub(crate) fn generation(&self) -> u64 {
        self.lock.generation
    }

    pub(crate) fn watch(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let socket = self.socket.as_raw_fd();
        registry.register(&mut SourceFd(&socket), token, Interest::READABLE)
    }

    /// Takes in one connection, if somebody waits.
    pub(crate) fn accept(&self) -> io::Result<OwnedFd> {
        let (connection, _) = self.socket.accept()?;
        connection.set_nonblocking(true)?;
        fdpass::want_sender(connection.as_fd())?;
        standard::above(connection.into())
    }

    /// Accepts nobody any more; the path stays taken while the lock is kept.
    pub(crate) fn close(mut self) -> Lock {
        self.lock.remove_socket();
        self.lock
    }
}

fn make(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let socket = standard::above(socket)?;
    // Before it has a name, so that there is no moment in which others could connect.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    fdpass::want_sender(socket.as_fd())?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&socket, Backlog::MAXCONN)?;
    Ok(socket.into())
}

fn prepare_directory(path: &Path, parents: bool) -> Result<(), StartError> {
    let directory = directory_of(path);
    let mut builder = DirBuilder::new();
    let made = builder.recursive(parents).mode(0o700).create(directory);
    match made {
        // Whatever is there is looked at below.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            let what = "make the directory (only the last one of a path is made) for the socket";
            let what = if parents {
                "make the directory for the socket"
            } else {
                what
            };
            return Err(StartError::io(what, path, error));
        }
        Ok(()) => {}
    }
    check_directory(directory).map_err(|why| StartError::Directory {
        socket: path.to_owned(),
        why,
    })
}

/// Removes what a killed broker left at the path; leaves alone what is not a broker's.
fn clear_the_way(path: &Path) -> Result<(), StartError> {
    let entry = match fs::symlink_metadata(path) {
        Ok(entry) => entry,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StartError::io("look at the socket", path, error)),
    };
    if !entry.file_type().is_socket() {
        return Err(StartError::InTheWay(path.to_owned()));
    }
    if is_answered(path) {
        return Err(StartError::AlreadyRunning {
            socket: path.to_owned(),
            who: "a program that holds no lock beside it".into(),
        });
    }
    fs::remove_file(path).map_err(|error| StartError::io("replace the old socket", path, error))
}

fn is_answered(path: &Path) -> bool {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let attempt = |kind| {
        let socket = socket(AddressFamily::Unix, kind, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
    };
    // A socket of another type says EPROTOTYPE whether somebody listens or not.
    [SockType::SeqPacket, SockType::Stream]
        .into_iter()
        .any(|kind| matches!(attempt(kind), Ok(()) | Err(Errno::EAGAIN)))
}

impl Lock {
    fn take(socket: &Path) -> Result<Lock, StartError> {
        let mut path = OsString::from(socket);
        path.push(".lock");
        let path = PathBuf::from(path);
        let io = |error| StartError::io("make the lock of the socket", socket, error);
        loop {
            let mut file = open_lock(&path).map_err(io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(held_by_another(socket, &mut file)),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
            // The one before may have removed the file after it was opened here: then this is
            // the lock of nothing.
            if !is_at(&file, &path) {
                continue;
            }
            let generation = note_owner(&mut file).map_err(io)?;
            return Ok(Lock {
                socket: socket.to_owned(),
                path,
                generation,
                has_socket: false,
                _withheld: Withheld::new(file.as_fd()),
                _file: file,
            });
        }
    }
}

impl Lock {
    fn remove_socket(&mut self) {
        if std::mem::take(&mut self.has_socket) {
            let _ = fs::remove_file(&self.socket);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.remove_socket();
        let _ = fs::remove_file(&self.path);
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .and_then(|file| standard::above(file.into()))
        .map(File::from)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn held_by_another(socket: &Path, file: &mut File) -> StartError {
    let who = match read_owner(file) {
        Some((pid, _)) => format!("the process {pid}"),
        None => "another process".into(),
    };
    StartError::AlreadyRunning {
        socket: socket.to_owned(),
        who,
    }
}

/// What stands in a lock file: the broker's process, and which broker in a row it is.
fn read_owner(file: &mut File) -> Option<(u32, u64)> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).ok()?;
    let (pid, generation) = text.trim().split_once(' ')?;
    Some((pid.parse().ok()?, generation.parse().ok()?))
}

/// Writes this process into a lock file; gives back which broker in a row it is.
fn note_owner(file: &mut File) -> io::Result<u64> {
    let generation = read_owner(file).map_or(1, |(_, before)| before.saturating_add(1));
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} {generation}", std::process::id())?;
    Ok(generation)
}
