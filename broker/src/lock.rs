//! A lock file: the process that holds it is the broker of a socket, or of a bus's persistent shares.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use callgate_layout::sys::fork::Withheld;
use callgate_layout::sys::standard;
use nix::fcntl::OFlag;

/// A lock that is held. Dropping it removes the lock file, unless another one is at its path or it is to stay.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    generation: u64,
    /// Whether the file stays when the lock is dropped.
    stays: bool,
    /// Withholds the file from forked children, which would otherwise keep the lock. Dropped before the file.
    _withheld: Option<Withheld>,
    file: File,
}

/// Why a lock was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// A living process has it; this text names it.
    Held(String),
    /// The operating system refused something.
    Io(io::Error),
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> NotTaken {
        NotTaken::Io(error)
    }
}

impl Lock {
    /// Takes the lock of this path, unless a living process has it.
    pub(crate) fn take(path: PathBuf) -> Result<Lock, NotTaken> {
        loop {
            let mut file = open_lock(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(NotTaken::Held(holder(&mut file))),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // The process before may have removed the file after it was opened here; then this locks a file that nobody else will open.
            if !is_at(&file, &path) {
                continue;
            }
            let generation =
                read_owner(&mut file).map_or(1, |(_, before)| before.saturating_add(1));
            note_owner(&mut file, generation)?;
            return Ok(Lock {
                path,
                generation,
                stays: false,
                _withheld: Withheld::new(file.as_fd()),
                file,
            });
        }
    }

    /// The number of this broker in the row of those that had this lock, from 1.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Keeps the file when the lock is dropped: the next broker reads its own number in the row from it.
    pub(crate) fn stay(&mut self) {
        self.stays = true;
    }

    /// Whether the lock file is still at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Takes the lock again after its file was removed. The broker keeps its number in the row.
    pub(crate) fn renew(&mut self) -> Result<(), NotTaken> {
        let mut new = Lock::take(self.path.clone())?;
        note_owner(&mut new.file, self.generation)?;
        (new.generation, new.stays) = (self.generation, self.stays);
        // Dropping the old lock does not remove the new file, because the old one is not at the path any more.
        *self = new;
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file may be that of another broker by now.
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

/// The process that has a lock, for an error.
fn holder(file: &mut File) -> String {
    match read_owner(file) {
        Some((pid, _)) => format!("the process {pid}"),
        None => "another process".into(),
    }
}

/// The content of a lock file: the process of the broker, and its number in the row.
fn read_owner(file: &mut File) -> Option<(u32, u64)> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).ok()?;
    let (pid, generation) = text.trim().split_once(' ')?;
    Some((pid.parse().ok()?, generation.parse().ok()?))
}

/// Writes this process and its number in the row into a lock file.
fn note_owner(file: &mut File, generation: u64) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} {generation}", std::process::id())
}
