//! The directory of the files, and the lock that only one broker of a bus can have.

use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::Failure;
use nix::unistd::geteuid;
use parking_lot::{Mutex, MutexGuard};

use super::names::{BusName, Kind};
use crate::lock::{Lock, NotTaken};

/// The time between two attempts to take a lock that another process has.
const LOOK: Duration = Duration::from_millis(20);

/// The directory in which the files of a bus lie, with those of others.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) directory: PathBuf,
    pub(super) bus: BusName,
    /// The lock file, taken when the first file is used. The thread that has locked this mutex is alone with the files.
    lock: Mutex<Option<Lock>>,
}

impl Folder {
    pub(super) fn new(directory: PathBuf, bus: BusName) -> Folder {
        Folder {
            directory,
            bus,
            lock: Mutex::new(None),
        }
    }

    /// The path at which a version of a share is written.
    pub(super) fn unfinished(&self, tag: &str) -> PathBuf {
        self.directory.join(self.bus.unfinished(tag))
    }

    /// The path of the complete version of a share.
    pub(super) fn path(&self, tag: &str) -> PathBuf {
        self.directory.join(self.bus.file(tag))
    }

    /// The files of this bus, without its lock.
    pub(super) fn entries(&self) -> io::Result<Vec<(Kind, DirEntry)>> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(&self.directory) {
            // A container without shared memory has no such directory, and so no files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry
                .file_name()
                .to_str()
                .and_then(|name| self.bus.kind(name));
            found.extend(kind.map(|kind| (kind, entry)));
        }
        Ok(found)
    }

    /// The same as [`Folder::entries`], with an error for plugins.
    pub(super) fn read(&self) -> Result<Vec<(Kind, DirEntry)>, Failure> {
        self.entries().map_err(|error| {
            let directory = self.directory.display();
            let what =
                format!("{directory}, where persistent shares are kept, cannot be read: {error}");
            Failure::new(Code::System, what)
        })
    }

    /// Locks the files against other threads and other brokers. Waits at most `patience` for a process that has the lock file.
    pub(super) fn alone(
        &self,
        patience: Duration,
    ) -> Result<MutexGuard<'_, Option<Lock>>, Failure> {
        let mut lock = self.lock.lock();
        // If another process has removed the lock file, another broker can have taken a new one.
        if lock.as_ref().is_some_and(|lock| !lock.is_in_place()) {
            *lock = None;
        }
        if lock.is_none() {
            *lock = Some(self.take_lock(Instant::now() + patience)?);
            self.remove_unfinished()?;
        }
        Ok(lock)
    }

    fn take_lock(&self, until: Instant) -> Result<Lock, Failure> {
        let path = self.directory.join(self.bus.lock());
        let refused = |why: String| {
            let what = format!(
                "persistent shares cannot be used, because the lock {} cannot be taken: {why}",
                path.display()
            );
            Failure::new(Code::System, what)
        };
        let (there, user) = (fs::symlink_metadata(&path), geteuid().as_raw());
        if let Ok(there) = there
            && there.uid() != user
        {
            let owner = there.uid();
            return Err(refused(format!(
                "it belongs to user {owner}, not to user {user}"
            )));
        }
        loop {
            let who = match Lock::take(path.clone()) {
                Ok(lock) => return Ok(lock),
                Err(NotTaken::Held(who)) => who,
                Err(NotTaken::Io(error)) => return Err(refused(error.to_string())),
            };
            if Instant::now() >= until {
                return Err(refused(format!("{who} has it, a broker of the same name")));
            }
            thread::sleep(LOOK);
        }
    }

    /// Removes unfinished files. The caller has the lock, and writes none at the moment.
    fn remove_unfinished(&self) -> Result<(), Failure> {
        let entries = self.read()?;
        for (kind, entry) in entries {
            if kind == Kind::Unfinished {
                let path = entry.path();
                tracing::info!("{} was left unfinished, and is removed", path.display());
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!("{} cannot be removed: {error}", path.display());
                }
            }
        }
        Ok(())
    }
}
