//! The lock beside a socket, which says who is its broker.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use callgate_layout::sys::fork::Withheld;
use callgate_layout::sys::standard;
use nix::fcntl::OFlag;

use crate::error::StartError;

/// The lock on a socket's path. Dropping it removes the lock file, if that is still this one and is not to stay.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    generation: u64,
    /// Whether the file stays when this is dropped.
    stays: bool,
    /// From forked children, which would else keep the path taken. Dropped before the file.
    _withheld: Option<Withheld>,
    file: File,
}

impl Lock {
    /// Takes the lock of a socket, unless a living broker has it.
    pub(super) fn take(socket: &Path) -> Result<Lock, StartError> {
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
            let generation =
                read_owner(&mut file).map_or(1, |(_, before)| before.saturating_add(1));
            note_owner(&mut file, generation).map_err(io)?;
            return Ok(Lock {
                path,
                generation,
                stays: false,
                _withheld: Withheld::new(file.as_fd()),
                file,
            });
        }
    }

    /// Which broker in a row this is on its socket.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Leaves the file where it is when this is dropped: it says which broker in a row the next one is.
    pub(super) fn stay(&mut self) {
        self.stays = true;
    }

    /// Whether the lock file is where it was made.
    pub(super) fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Takes the lock once more whose file was removed. It stays the same broker in the row.
    pub(super) fn renew(&mut self, socket: &Path) -> Result<(), StartError> {
        let mut new = Lock::take(socket)?;
        note_owner(&mut new.file, self.generation)
            .map_err(|error| StartError::io("write the lock of the socket", socket, error))?;
        (new.generation, new.stays) = (self.generation, self.stays);
        // The old one's file is not at the path any more, and so is not removed.
        *self = new;
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // By then it may be that of another broker.
        if self.is_in_place() && !self.stays {
            let _ = fs::remove_file(&self.path);
        }
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

/// Writes this process into a lock file, and which broker in a row it is.
fn note_owner(file: &mut File, generation: u64) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} {generation}", std::process::id())
}
