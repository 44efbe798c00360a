//! Persistent shares: their last versions in files of shared memory, which outlive plugins and brokers.
//!
//! | file | [`names`] |
//! |---|---|
//! | what stands in it | the value, then the [`trailer`] |
//! | how it is opened and copied | [`files`] |
//! | where it is, and who may work with it | [`folder`] |
//!
//! A version is written under a name of its own, in memory that is allocated before, and gets the name of its share when it is
//! complete: whoever is killed when, a share has its last complete version or none. Nothing is synced: what a power cut takes,
//! it takes whole.
//!
//! | who | does | what happens |
//! |---|---|---|
//! | broker | is killed while it writes | the unfinished file is removed by the next broker that takes the lock |
//! | broker | is killed between naming the file and telling anybody | the version is found later: it is complete, its maker had sealed it |
//! | two brokers | have the same name | the second one has no persistent shares until the first has ended |
//! | anybody | removes a file, or the lock | the share is made anew; the lock is taken again before the next step |
//! | the same user | cuts, changes, moves or replaces a file, with anything | it is found damaged or foreign, removed, and the share is made anew. Who forges all of it, checksums too, is believed: that is what a process of the same user can do |
//! | another user | makes a file of that name | it is not opened. The sticky bit of `/dev/shm` keeps it there: saving fails, and says whose it is |
//! | kernel | has no memory, or no room in `/dev/shm` | saving fails before anything is written |
//!
//! All of this can take as long as copying gigabytes does, so it runs on a helper thread.

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

/// Where shared memory has names.
pub(crate) const DIRECTORY: &str = "/dev/shm";

/// How long somebody else may have the lock: a broker that was killed has it until the kernel has ended it.
const ENDING: Duration = Duration::from_secs(1);

/// The files of one bus.
#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
    /// Bytes of all its files together.
    most: u64,
}

/// How a version is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In sealed memory, a copy of the file.
    Copied,
    /// The file itself, which has no seals.
    InPlace,
}

/// A version that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kept: Kept,
    /// For reading: the value lies at the beginning.
    pub(crate) file: OwnedFd,
}

impl Store {
    /// The files of a bus in this directory, which may have so many bytes. Nothing is done yet.
    pub(crate) fn new(directory: impl Into<PathBuf>, bus: BusName, most: u64) -> Store {
        Store {
            folder: Folder::new(directory.into(), bus),
            most,
        }
    }

    /// Removes what an earlier broker has left unfinished.
    pub(crate) fn sweep(&self) -> Result<(), Failure> {
        // A bus that keeps nothing needs no lock.
        match self.folder.read()?.is_empty() {
            true => Ok(()),
            false => self.folder.alone(Duration::ZERO).map(drop),
        }
    }

    /// Whether a tag has a file; what is in it, nobody has looked at. This takes no time.
    pub(crate) fn has(&self, tag: &str) -> bool {
        fs::symlink_metadata(self.folder.path(tag)).is_ok()
    }

    /// Keeps a version of a share in the place of the one before. `value` is sealed memory. Gives the version's name, which is another one
    /// where the share that is kept was not known ([`follow`]).
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

    /// The version of a share that is kept, checked in full. One that is damaged or foreign is removed, and there is none.
    /// So many bytes may be copied.
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
        // Before its bytes are read: a process of the same user can have put any file there.
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

    /// Keeps a share no longer; whether it was kept. Who has the file mapped has it still.
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

    /// What is kept, by tag. Of each file only the trailer is read.
    pub(crate) fn list(&self) -> io::Result<Vec<Kept>> {
        let shares = self.folder.entries()?.into_iter();
        let shares = shares.filter(|(kind, _)| *kind == Kind::Share);
        let mut kept: Vec<Kept> = shares
            .filter_map(|(_, entry)| self.kept(&entry.path()))
            .collect();
        kept.sort_by(|one, other| one.tag.cmp(&other.tag));
        Ok(kept)
    }

    /// What a file keeps, if it is in order.
    fn kept(&self, path: &Path) -> Option<Kept> {
        // Who looks for it will say what is wrong, and removes it.
        let (file, size) = files::open(path).ok()??;
        let Trailer { kept, bus, .. } = trailer::read(&file, size).ok()?;
        (bus == self.folder.bus && self.folder.path(&kept.tag) == path).then_some(kept)
    }

    /// Whether a share of so many bytes may be kept beside the others.
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

/// The name of a version in the place of the one before. Of a share that nobody used the broker that publishes on it has not read the file;
/// its numbers go on all the same.
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

/// Whether a file says of which type its value is.
fn is_typed(kept: &Kept) -> bool {
    let head = Head::of(&kept.schema).ok();
    let is_one = head.is_some_and(|head| head.params == Some(1));
    is_one && !kept.signature.contains(char::is_control)
}

/// What programs are to do about an error.
fn code(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::Overloaded,
        _ => Code::System,
    }
}

/// Removes a file that is of no use.
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
