//! Persistent shares: the last version of each, in a file of shared memory that outlives plugins and brokers.
//!
//! | file | [`names`] |
//! |---|---|
//! | its content | the value, then the [`trailer`] |
//! | opening and copying it | [`files`] |
//! | the directory, and the lock of the broker that uses it | [`folder`] |
//!
//! A version is written into a file of its own, whose memory is allocated first, and gets the name of its share when it is complete. So a
//! share has its last complete version or none, whichever process is killed at whichever moment. Nothing is synced to a disk: `/dev/shm` is
//! memory, and a power cut takes all of it.
//!
//! | who | does | what happens |
//! |---|---|---|
//! | broker | is killed while it writes | the next broker that takes the lock removes the unfinished file |
//! | broker | is killed after it has named the file, before it has told anybody | the version is found later: it is complete, and its maker had sealed it |
//! | two brokers | have the same name | the second one has no persistent shares until the first has ended |
//! | any process | removes a file, or the lock | the share is made anew; the lock is taken again before the next step |
//! | the same user | cuts, changes, moves or replaces a file, with anything | it is found damaged or foreign and removed, and the share is made anew. A file that is forged completely, checksums too, is believed: a process of the same user can do that |
//! | another user | makes a file of that name | it is not opened. The sticky bit of `/dev/shm` keeps it there: saving fails, and the error names the owner |
//! | kernel | has no memory, or no room in `/dev/shm` | saving fails before anything is written |
//!
//! All of this can take as long as copying gigabytes does, so the broker runs it on a helper thread.

mod files;
mod folder;
mod names;
mod trailer;
mod trouble;

use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use callgate_layout::Code;
use callgate_layout::control::{Failure, VersionName};
use callgate_layout::schema::Head;
use callgate_layout::sys::limits;

use crate::shares::Kept;
use files::Unfinished;
use folder::Folder;
use names::Kind;
use trailer::Trailer;
use trouble::{Trouble, flaw};

pub(crate) use names::BusName;

/// The directory in which shared memory has names.
pub(crate) const DIRECTORY: &str = "/dev/shm";

/// How long another process may have the lock: a broker that was killed has it until the kernel has ended its process.
const ENDING: Duration = Duration::from_secs(1);

/// The files of one bus.
#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
    /// How many bytes all files of the bus may have together.
    most: u64,
}

/// The form in which a version is to be returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Sealed memory, into which the file is copied.
    Copied,
    /// The file itself, which has no seals.
    InPlace,
}

/// A version that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kept: Kept,
    /// The value lies at the beginning of this file, which is open for reading.
    pub(crate) file: OwnedFd,
}

impl Store {
    /// Returns the store of a bus in this directory, whose files together may have `most` bytes. Nothing is read or written yet.
    pub(crate) fn new(directory: impl Into<PathBuf>, bus: BusName, most: u64) -> Store {
        Store {
            folder: Folder::new(directory.into(), bus),
            most,
        }
    }

    /// Removes files that an earlier broker has left unfinished.
    pub(crate) fn sweep(&self) -> Result<(), Failure> {
        // A bus without persistent shares needs no lock.
        match self.folder.read()?.is_empty() {
            true => Ok(()),
            false => self.folder.alone(Duration::ZERO).map(drop),
        }
    }

    /// Whether a tag has a file. Nobody has looked at its content. This takes no time.
    pub(crate) fn has(&self, tag: &str) -> bool {
        fs::symlink_metadata(self.folder.path(tag)).is_ok()
    }

    /// Saves a version of a share, and replaces the one before. `value` is sealed memory. Returns the name under which the version is
    /// saved: it differs from the given one if the broker did not know the version before ([`follow`]).
    pub(crate) fn save(&self, kept: &Kept, value: BorrowedFd<'_>) -> Result<VersionName, Failure> {
        let _alone = self.folder.alone(ENDING)?;
        let mut kept = kept.clone();
        if let Some(before) = self.kept(&self.folder.path(&kept.tag)) {
            kept.name = follow(&before, &kept)?;
        }
        let size = kept.len.saturating_add(trailer::length(&kept));
        self.check_limit(&kept.tag, size)?;
        self.write(&kept, size, value)?;
        Ok(kept.name)
    }

    fn write(&self, kept: &Kept, size: u64, value: BorrowedFd<'_>) -> Result<(), Failure> {
        let failed = |error: io::Error| self.not_saved(&kept.tag, size, &error);
        let path = self.folder.unfinished(&kept.tag);
        let unfinished = Unfinished::make(path, size).map_err(failed)?;
        let value = value.try_clone_to_owned().map(File::from).map_err(failed)?;
        let written = files::copy(&value, unfinished.file(), kept.len);
        let trailer = Trailer {
            checksum: written.map_err(failed)?,
            kept: kept.clone(),
            bus: self.folder.bus,
        };
        let written = files::append(&trailer::encode(&trailer), unfinished.file(), kept.len);
        written.map_err(failed)?;
        unfinished
            .name(&self.folder.path(&kept.tag))
            .map_err(failed)
    }

    /// Returns the saved version of a share, checked in full. A damaged or foreign file is removed, and the result is `None`. At most
    /// `room` bytes are copied.
    pub(crate) fn find(&self, tag: &str, way: Way, room: u64) -> Result<Option<Found>, Failure> {
        let path = self.folder.path(tag);
        if !self.has(tag) {
            return Ok(None);
        }
        let _alone = self.folder.alone(ENDING)?;
        match self.look(&path, tag, (way, room)) {
            Ok(found) => Ok(found),
            Err(Trouble::Flaw(what)) => {
                discard(&path, tag, &what);
                Ok(None)
            }
            Err(Trouble::TooLarge(failure)) => Err(failure),
            Err(Trouble::System(error)) => {
                let why = limits::explain(&error);
                let what = format!("the persistent share {tag} could not be read: {why}");
                Err(Failure::new(code(&error), what))
            }
        }
    }

    fn look(
        &self,
        path: &Path,
        tag: &str,
        (way, room): (Way, u64),
    ) -> Result<Option<Found>, Trouble> {
        let Some((file, size)) = files::open(path)? else {
            return Ok(None);
        };
        let Trailer {
            kept,
            bus,
            checksum,
        } = trailer::read(&file, size)?;
        if bus != self.folder.bus || *kept.tag != *tag {
            return flaw(format!("it is the share {} of some bus", kept.tag));
        }
        if !is_typed(&kept) {
            return flaw("nobody can read of which type its value is");
        }
        // Checked before the value is read, because a process of the same user can have put a file of any size there.
        self.check_length(&kept, (way, room))?;
        let (file, hash) = match way {
            Way::Copied => files::into_memory(&file, kept.len)?,
            Way::InPlace => {
                let hash = files::hash(&file, kept.len)?;
                (file.into(), hash)
            }
        };
        match hash == checksum {
            true => Ok(Some(Found { kept, file })),
            false => flaw("the checksum of its value is wrong"),
        }
    }

    fn check_length(&self, kept: &Kept, (way, room): (Way, u64)) -> Result<(), Trouble> {
        let why = match way {
            _ if kept.len > self.most => format!(
                "more than the {} MiB that the bus may keep; remove it (callgate share rm {}), or raise persistent_mib",
                self.most >> 20,
                kept.tag
            ),
            Way::Copied if kept.len > room => format!(
                "and all plugins of this bus together may have {} MiB more of shares; let some go, or raise bus_share_mib",
                room >> 20
            ),
            _ => return Ok(()),
        };
        let what = format!(
            "the persistent share {} has {} bytes, {why}",
            kept.tag, kept.len
        );
        Err(Trouble::TooLarge(Failure::new(Code::Overloaded, what)))
    }

    /// Removes the file of a share. Returns whether there was one. Processes that have it mapped keep their memory.
    pub(crate) fn remove(&self, tag: &str) -> Result<bool, Failure> {
        let path = self.folder.path(tag);
        if !self.has(tag) {
            return Ok(false);
        }
        let _alone = self.folder.alone(ENDING)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => {
                let what = format!("{} cannot be removed: {error}", path.display());
                Err(Failure::new(Code::System, what))
            }
        }
    }

    /// Lists what is saved, in the order of the tags. Of each file only the trailer is read.
    pub(crate) fn list(&self) -> io::Result<Vec<Kept>> {
        let shares = self.folder.entries()?.into_iter();
        let shares = shares.filter(|(kind, _)| *kind == Kind::Share);
        let mut kept: Vec<Kept> = shares
            .filter_map(|(_, entry)| self.kept(&entry.path()))
            .collect();
        kept.sort_by(|one, other| one.tag.cmp(&other.tag));
        Ok(kept)
    }

    /// What a file contains, if it is in order.
    fn kept(&self, path: &Path) -> Option<Kept> {
        // Errors are ignored here: [`Store::find`] reports them and removes the file.
        let (file, size) = files::open(path).ok()??;
        let Trailer { kept, bus, .. } = trailer::read(&file, size).ok()?;
        (bus == self.folder.bus && self.folder.path(&kept.tag) == path).then_some(kept)
    }

    /// Fails if a file of so many bytes would exceed the bus's limit together with the others.
    fn check_limit(&self, tag: &str, size: u64) -> Result<(), Failure> {
        let entries = self.folder.read()?;
        let path = self.folder.path(tag);
        let others = entries.iter().filter(|(_, entry)| entry.path() != path);
        let sizes = others.filter_map(|(_, entry)| Some(entry.metadata().ok()?.len()));
        let used = sizes.fold(0_u64, u64::saturating_add);
        if used.saturating_add(size) <= self.most {
            return Ok(());
        }
        let what = format!(
            "the persistent share {tag} needs {size} bytes, and of the {} MiB that the bus may keep the others \
             have {used} bytes; remove some (callgate share ls, callgate share rm TAG), or raise persistent_mib",
            self.most >> 20
        );
        Err(Failure::new(Code::Overloaded, what))
    }

    fn not_saved(&self, tag: &str, size: u64, error: &io::Error) -> Failure {
        let directory = self.folder.directory.display();
        let why = match error.kind() {
            io::ErrorKind::StorageFull => {
                format!(
                    "{directory} has no {size} bytes left (df -h {directory}; in a container, docker run --shm-size)"
                )
            }
            _ => limits::explain(error),
        };
        let what = format!("the persistent share {tag} could not be written: {why}");
        Failure::new(code(error), what)
    }
}

/// The name of a version that replaces another one. If nobody used the share, the broker that publishes on it has not read the file, and
/// has given the version number 1 of a new incarnation; the numbers of the file go on all the same.
fn follow(before: &Kept, new: &Kept) -> Result<VersionName, Failure> {
    let is_first = new.name.number == 1;
    if before.name.incarnation == new.name.incarnation || !is_first {
        return Ok(new.name);
    }
    let kind = |kept: &Kept| {
        let head = Head::of(&kept.schema).ok();
        (kept.form, head.map(|head| head.fingerprint))
    };
    if kind(before) != kind(new) {
        let what = format!(
            "the share {} is kept as {} by {}, and a new version of {} is of another type: each version of a share has \
             the type of the first one; remove it before (callgate share rm {0})",
            new.tag, before.signature, before.maker, new.signature
        );
        return Err(Failure::new(Code::ShareTypeMismatch, what));
    }
    Ok(VersionName {
        incarnation: before.name.incarnation,
        number: before.name.number + 1,
    })
}

/// Whether a file says which type its value has.
fn is_typed(kept: &Kept) -> bool {
    let head = Head::of(&kept.schema).ok();
    let is_one = head.is_some_and(|head| head.params == Some(1));
    is_one && !kept.signature.contains(char::is_control)
}

/// The error code for programs: `OVERLOADED` where room is missing, otherwise `SYSTEM`.
fn code(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::Overloaded,
        _ => Code::System,
    }
}

/// Removes a file that no broker can use, and logs why.
fn discard(path: &Path, tag: &str, what: &str) {
    let (tag, path_shown) = (crate::shown::shown(tag), path.display());
    match fs::remove_file(path) {
        Ok(()) => tracing::warn!("{path_shown}, of the share {tag}, is removed: {what}"),
        Err(error) => {
            tracing::warn!(
                "{path_shown} is not used for the share {tag}: {what}. It cannot be removed: {error}"
            );
        }
    }
}

#[cfg(test)]
mod tests;
