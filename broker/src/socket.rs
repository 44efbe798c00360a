//! The broker's socket and the lock beside it.
//!
//! The process that holds the lock is the broker of the socket, and may replace a socket that a killed broker left behind.

mod given;
mod watch;

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use callgate_layout::socket::{MAX_SOCKET_PATH, check_directory, directory_of};
use callgate_layout::sys::fork::Withheld;
use callgate_layout::sys::{fdpass, standard};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;

use crate::error::StartError;
use crate::lock::{Lock, NotTaken};

pub(crate) use watch::DirectoryWatch;

/// The socket that plugins connect to. Dropping it removes the socket and the lock beside it from their paths, unless others are there.
#[derive(Debug)]
pub(crate) struct Listener {
    // Dropped before the socket that it withholds from forked children.
    _withheld: Option<Withheld>,
    // `UnixListener` is for stream sockets, and this is none; it is used for its safe `accept`.
    socket: UnixListener,
    path: PathBuf,
    made: Made,
    lock: Option<Lock>,
    generation: u64,
}

/// Who has made the socket.
#[derive(Clone, Copy, Debug)]
enum Made {
    Here {
        /// Whether missing directories above the socket's may be made as well.
        parents: bool,
        /// The file that the socket is at its path.
        file: Option<FileId>,
    },
    /// Another program, to which the file belongs.
    Elsewhere,
}

/// A file: device and inode.
type FileId = (u64, u64);

fn file_at(path: &Path) -> Option<FileId> {
    let entry = fs::symlink_metadata(path).ok()?;
    Some((entry.dev(), entry.ino()))
}

impl Listener {
    /// Makes the socket, and its directory if that is missing; with `parents` also the directories above it. Without, because a path that a
    /// person has typed may be mistyped.
    pub(crate) fn bind(path: &Path, parents: bool) -> Result<Listener, StartError> {
        let len = path.as_os_str().as_bytes().len();
        if len > MAX_SOCKET_PATH {
            let socket = path.to_owned();
            return Err(StartError::PathTooLong { socket, len });
        }
        prepare_directory(path, parents)?;
        let lock = take_lock(path)?;
        let (socket, file) = make_at(path)?;
        Ok(Listener {
            _withheld: Withheld::new(socket.as_fd()),
            socket,
            path: path.to_owned(),
            made: Made::Here { parents, file },
            generation: lock.generation(),
            lock: Some(lock),
        })
    }

    /// Takes over a socket that another program has made, and whose file belongs to that program.
    pub(crate) fn adopt(socket: OwnedFd) -> Result<Listener, StartError> {
        let path = given::check(&socket)?;
        check_trusted(&path)?;
        let mut lock = take_lock(&path)?;
        // The socket stays as well.
        lock.stay();
        given::prepare(&socket)
            .map_err(|error| StartError::io("listen at the given socket", &path, error))?;
        Ok(Listener {
            _withheld: Withheld::new(socket.as_fd()),
            socket: socket.into(),
            path,
            made: Made::Elsewhere,
            generation: lock.generation(),
            lock: Some(lock),
        })
    }

    /// Whether the broker has made the socket itself, so that it also puts it back and removes it.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.made, Made::Here { .. })
    }

    pub(crate) fn address(&self) -> &Path {
        &self.path
    }

    /// The number of this broker in the row of those on this socket.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether plugins that connect to the path still reach this socket, and no other broker can take it for one that was left behind.
    pub(crate) fn is_in_place(&self) -> bool {
        self.has_socket() && self.lock.as_ref().is_some_and(Lock::is_in_place)
    }

    /// Whether the socket at the path is this broker's own.
    fn has_socket(&self) -> bool {
        match self.made {
            Made::Here { file, .. } => file.is_some() && file == file_at(&self.path),
            Made::Elsewhere => false,
        }
    }

    /// Puts back what was removed: directory, lock and socket. If another broker has its socket there by now, that one stays.
    pub(crate) fn put_back(&mut self) -> Result<(), StartError> {
        let Made::Here { parents, .. } = self.made else {
            return Ok(());
        };
        prepare_directory(&self.path, parents)?;
        if let Some(lock) = self.lock.as_mut().filter(|lock| !lock.is_in_place()) {
            lock.renew().map_err(|why| not_taken(&self.path, why))?;
        }
        if !self.has_socket() {
            let (socket, file) = make_at(&self.path)?;
            // The old socket is dropped from the withheld ones first.
            self._withheld = None;
            self._withheld = Withheld::new(socket.as_fd());
            self.socket = socket;
            self.made = Made::Here { parents, file };
        }
        Ok(())
    }

    /// The descriptor of the listening socket; a different one after the socket was made anew.
    pub(crate) fn descriptor(&self) -> i32 {
        self.socket.as_raw_fd()
    }

    pub(crate) fn watch(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let socket = self.socket.as_raw_fd();
        registry.register(&mut SourceFd(&socket), token, Interest::READABLE)
    }

    /// Accepts one connection, if one waits.
    pub(crate) fn accept(&self) -> io::Result<OwnedFd> {
        let (connection, _) = self.socket.accept()?;
        connection.set_nonblocking(true)?;
        fdpass::want_sender(connection.as_fd())?;
        standard::above(connection.into())
    }

    /// Accepts no more connections. Returns the lock; the path stays taken while that is kept.
    pub(crate) fn close(mut self) -> Option<Lock> {
        self.lock.take()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The file may be that of another broker by now.
        if self.has_socket() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes the lock beside a socket, unless a living broker has it.
fn take_lock(socket: &Path) -> Result<Lock, StartError> {
    let mut path = OsString::from(socket);
    path.push(".lock");
    Lock::take(path.into()).map_err(|why| not_taken(socket, why))
}

fn not_taken(socket: &Path, why: NotTaken) -> StartError {
    match why {
        NotTaken::Held(who) => StartError::AlreadyRunning {
            socket: socket.to_owned(),
            who,
        },
        NotTaken::Io(error) => StartError::io("make the lock of the socket", socket, error),
    }
}

/// Makes the socket, and replaces one that a killed broker has left.
fn make_at(path: &Path) -> Result<(UnixListener, Option<FileId>), StartError> {
    clear_the_way(path)?;
    let socket = make(path).map_err(|error| StartError::io("make the socket", path, error))?;
    Ok((socket, file_at(path)))
}

fn make(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let socket = standard::above(socket)?;
    // Set before the socket has a name, so that there is no moment in which other users could connect.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    fdpass::want_sender(socket.as_fd())?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    // As long a queue as the kernel allows: all plugins of a bus come back at once.
    listen(&socket, Backlog::MAXALLOWABLE)?;
    Ok(socket.into())
}

fn prepare_directory(path: &Path, parents: bool) -> Result<(), StartError> {
    let directory = directory_of(path);
    check_owner_above(directory).map_err(|why| StartError::Directory {
        socket: path.to_owned(),
        why,
    })?;
    let mut builder = DirBuilder::new();
    let made = builder.recursive(parents).mode(0o700).create(directory);
    match made {
        // What is there is checked below.
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
    check_trusted(path)
}

/// Fails if other users could put something into the directory of a socket.
fn check_trusted(path: &Path) -> Result<(), StartError> {
    check_directory(directory_of(path)).map_err(|why| StartError::Directory {
        socket: path.to_owned(),
        why,
    })
}

/// Fails if a directory for the socket would be made in the directory of another user. It would be in the way of that user's own broker,
/// and that user could not remove it without the super-user.
fn check_owner_above(directory: &Path) -> Result<(), String> {
    let mut above = directory.ancestors().skip(1);
    let found = match fs::symlink_metadata(directory) {
        // The directory is there, so none is made.
        Ok(_) => return Ok(()),
        Err(_) => above.find_map(|above| {
            // A relative path begins at this process's working directory.
            let above = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                above
            };
            Some((above, fs::metadata(above).ok()?))
        }),
    };
    let Some((above, entry)) = found else {
        return Ok(());
    };
    let (owner, uid) = (entry.uid(), geteuid().as_raw());
    if [0, uid].contains(&owner) {
        return Ok(());
    }
    Err(format!(
        "{} is missing, and {} belongs to user {owner}, not to user {uid} (where XDG_RUNTIME_DIR was \
         taken over from another user, as by `sudo -E`, unset it)",
        directory.display(),
        above.display()
    ))
}

/// Removes the socket that a killed broker has left at the path. Other files stay.
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
    // Connecting to a socket of another type gives EPROTOTYPE, whether a process listens or not; so both types are tried.
    [SockType::SeqPacket, SockType::Stream]
        .into_iter()
        .any(|kind| matches!(attempt(kind), Ok(()) | Err(Errno::EAGAIN)))
}
