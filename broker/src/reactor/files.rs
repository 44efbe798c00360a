//! The files of persistent shares: what the bus wants done with them is done on a thread of their own, one thing after the other.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::Failure;
use callgate_layout::sys::memfd;

use super::failures::no_memory;
use super::memory::Memory;
use super::{Outcome, Reactor};
use crate::bus::Bus;
use crate::helper::Helper;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::persistent::{Found, Store, Way};
use crate::shares::Kept;

/// The files of a bus, and who works on them.
#[derive(Debug)]
pub(super) struct Files {
    /// `None` where the bus has no name to keep any under.
    store: Option<Arc<Store>>,
    /// `None` until there is something to do.
    helper: Option<Helper<Outcome>>,
}

impl Files {
    /// The files of the store, if there is one, as the bus is told.
    pub(super) fn new(store: Option<Store>, bus: &mut Bus) -> Files {
        let files = Files {
            store: store.map(Arc::new),
            helper: None,
        };
        bus.keep_files(files.keeps());
        files
    }

    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.store.clone()
    }

    /// Why this broker keeps nothing, if it is so.
    fn keeps(&self) -> Result<(), String> {
        match self.store {
            Some(_) => Ok(()),
            None => Err(
                "its broker has neither a socket nor a name to keep it under; give it one (Builder::persistent_name)"
                    .into(),
            ),
        }
    }

    /// Lets another broker have them, after what is under way.
    pub(super) fn close(&mut self) {
        self.helper = None;
        self.store = None;
    }
}

/// A share and the version that is looked for, by the numbers that they are to have.
#[derive(Clone, Debug)]
struct Wanted {
    version: u64,
    share: u64,
    tag: Arc<str>,
}

impl Reactor {
    /// Works on the files, after all that was asked for before.
    fn with_files(
        &mut self,
        job: impl FnOnce(&Store) -> Outcome + Send + 'static,
    ) -> Result<(), Failure> {
        let why = self.files.keeps();
        let Some(store) = self.files.store() else {
            let message = format!(
                "there is no persistent share: {}",
                why.err().unwrap_or_default()
            );
            return Err(Failure::new(Code::InvalidArgument, message));
        };
        let helper = match self.files.helper.take() {
            Some(helper) => helper,
            None => {
                let started = self.way_back.helper("callgate-files");
                started.map_err(|error| no_memory("a thread for persistent shares", &error))?
            }
        };
        self.files.helper.insert(helper).run(move || job(&store));
        Ok(())
    }

    /// Keeps a version in a file, and tells the bus.
    pub(super) fn save(&mut self, version: u64, kept: Kept, now: Instant) {
        let memory = self.memory.get(&AnyMemory::Version(version));
        let Some(file) = memory.and_then(Memory::reader_file) else {
            let failure = Failure::new(Code::System, "the memory of a share is gone");
            return self.bus.version_saved(version, Err(failure), now);
        };
        let queued = self.with_files(move |store| {
            let saved = store.save(&kept, file.as_fd());
            drop(file);
            Outcome::new(move |reactor, now| reactor.bus.version_saved(version, saved, now))
        });
        if let Err(failure) = queued {
            self.bus.version_saved(version, Err(failure), now);
        }
    }

    /// Looks for the file of a tag, and tells the bus.
    pub(super) fn load(
        &mut self,
        (version, share): (u64, u64),
        tag: Arc<str>,
        way: Way,
        now: Instant,
    ) {
        let wanted = Wanted {
            version,
            share,
            tag,
        };
        // Most tags have none, and whoever makes those does not wait for the files of others.
        let has_file = self
            .files
            .store
            .as_ref()
            .map(|store| store.has(&wanted.tag));
        if has_file != Some(true) {
            return self.tell_loaded(&wanted, Ok(None), now);
        }
        let theirs = wanted.clone();
        let queued = self.with_files(move |store| {
            let found = store.find(&theirs.tag, way);
            Outcome::new(move |reactor, now| reactor.loaded(&theirs, found, way, now))
        });
        if let Err(failure) = queued {
            self.tell_loaded(&wanted, Err(failure), now);
        }
    }

    fn loaded(
        &mut self,
        wanted: &Wanted,
        found: Result<Option<Found>, Failure>,
        way: Way,
        now: Instant,
    ) {
        let kept = found.and_then(|found| {
            let Some(Found { kept, file }) = found else {
                return Ok(None);
            };
            let in_place = way == Way::InPlace;
            self.keep_loaded(wanted, kept.len, file, in_place)?;
            Ok(Some((kept, in_place)))
        });
        self.tell_loaded(wanted, kept, now);
    }

    fn tell_loaded(
        &mut self,
        wanted: &Wanted,
        found: Result<Option<(Kept, bool)>, Failure>,
        now: Instant,
    ) {
        let numbers = (wanted.version, wanted.share);
        self.bus.version_loaded(numbers, &wanted.tag, found, now);
    }

    /// Keeps what was found as the memory of a version.
    fn keep_loaded(
        &mut self,
        wanted: &Wanted,
        len: u64,
        file: OwnedFd,
        in_place: bool,
    ) -> Result<(), Failure> {
        let numbers = (wanted.version, wanted.share, len);
        match in_place {
            true => self.keep_in_place(numbers, file),
            false => {
                let own = memfd::reopen(file.as_fd(), false);
                let own = own.map_err(|error| no_memory("a descriptor of a share", &error))?;
                self.keep_found(numbers, [file, own])
            }
        }
    }

    /// Keeps the file itself. It stays when nobody has it any more, so nobody waits for that.
    fn keep_in_place(
        &mut self,
        (version, share, len): (u64, u64, u64),
        file: OwnedFd,
    ) -> Result<(), Failure> {
        self.make_share_page(share, 1)?;
        let started = self.start_memory_helper();
        started.map_err(|error| no_memory("a thread for memory", &error))?;
        let memory = Memory::found(len, file, None, None);
        self.memory.insert(AnyMemory::Version(version), memory);
        Ok(())
    }

    /// Removes the file of a tag, and tells the bus.
    pub(super) fn remove_file(
        &mut self,
        (from, request): (PluginId, u32),
        tag: Arc<str>,
        now: Instant,
    ) {
        let theirs = tag.clone();
        let queued = self.with_files(move |store| {
            let removed = store.remove(&theirs);
            Outcome::new(move |reactor, now| {
                reactor
                    .bus
                    .file_removed((from, request), &theirs, removed, now);
            })
        });
        if let Err(failure) = queued {
            self.bus
                .file_removed((from, request), &tag, Err(failure), now);
        }
    }
}
