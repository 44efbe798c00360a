//! A lock file, which says who is the broker of something: of a socket, or of a bus's persistent shares.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use callgate_layout::sys::fork::Withheld;
use callgate_layout::sys::standard;
use nix::fcntl::OFlag;

/// The lock of a path. Dropping it removes the lock file, if that is still this one and is not to stay.
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

/// Why a lock was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// A living process has it, which is named.
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
    /// Takes the lock whose file is at this path, unless a living process has it.
    pub(crate) fn take(path: PathBuf) -> Result<Lock, NotTaken> {
        loop {
            let mut file = open_lock(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(NotTaken::Held(holder(&mut file))),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // The one before may have removed the file after it was opened here: then this is
            // the lock of nothing.
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

    /// Which broker in a row this is with this lock.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Leaves the file where it is when this is dropped: it says which broker in a row the next one is.
    pub(crate) fn stay(&mut self) {
        self.stays = true;
    }

    /// Whether the lock file is where it was made.
    pub(crate) fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Takes the lock once more whose file was removed. It stays the same broker in the row.
    pub(crate) fn renew(&mut self) -> Result<(), NotTaken> {
        let mut new = Lock::take(self.path.clone())?;
        note_owner(&mut new.file, self.generation)?;
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

/// Who has a lock that is taken.
fn holder(file: &mut File) -> String {
    match read_owner(file) {
        Some((pid, _)) => format!("the process {pid}"),
        None => "another process".into(),
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
