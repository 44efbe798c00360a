//! The files of persistent shares: what the bus wants done with them is done on a thread of their own, one thing after the other; in which
//! order, the [`queue`] says.

mod queue;

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
use queue::{Next, Queue};

type Job = Box<dyn FnOnce(&Store) -> Outcome + Send>;

/// The files of a bus, and who works on them.
pub(super) struct Files {
    /// `None` where the bus has no name to keep any under.
    store: Option<Arc<Store>>,
    /// `None` until there is something to do.
    helper: Option<Helper<Outcome>>,
    queue: Queue<Job, Load>,
    /// Whether something is being done: the next thing is begun when that is over.
    is_busy: bool,
}

impl Files {
    /// The files of the store, if there is one, as the bus is told.
    pub(super) fn new(store: Option<Store>, bus: &mut Bus) -> Files {
        let files = Files {
            store: store.map(Arc::new),
            helper: None,
            queue: Queue::new(),
            is_busy: false,
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
        if let (Some(helper), Some(store)) = (self.helper.take(), self.store.take()) {
            for job in self.queue.take_jobs() {
                let store = store.clone();
                helper.run(move || job(&store));
            }
        }
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

/// A file that is to be loaded.
#[derive(Clone, Debug)]
struct Load {
    wanted: Wanted,
    way: Way,
}

impl Reactor {
    /// Saves or removes something, after all that was asked for before.
    fn with_files(
        &mut self,
        job: impl FnOnce(&Store) -> Outcome + Send + 'static,
        now: Instant,
    ) -> Result<(), Failure> {
        self.start_files()?;
        self.files.queue.push(Box::new(job));
        self.work_on_files(now);
        Ok(())
    }

    /// Whether there is a thread that works on the files, from now on.
    fn start_files(&mut self) -> Result<(), Failure> {
        if let Err(why) = self.files.keeps() {
            let message = format!("there is no persistent share: {why}");
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        if self.files.helper.is_none() {
            let started = self.way_back.helper("callgate-files");
            let helper =
                started.map_err(|error| no_memory("a thread for persistent shares", &error))?;
            self.files.helper = Some(helper);
        }
        Ok(())
    }

    /// Begins with what is next, if nothing is being done.
    fn work_on_files(&mut self, now: Instant) {
        while !self.files.is_busy {
            let Some(store) = self.files.store() else {
                return;
            };
            let bus = &self.bus;
            let waiting = |load: &Load| bus.waiting_for(&load.wanted.tag);
            let job: Job = match self.files.queue.next(waiting) {
                Some(Next::Job(job)) => job,
                Some(Next::Load(load)) => {
                    let room = bus.shares().bus.left() << 20;
                    Box::new(move |store| find(load, store, room))
                }
                Some(Next::Forgone(load)) => {
                    self.tell_loaded(&load.wanted, Ok(None), now);
                    continue;
                }
                None => return self.files.queue.keep(|plugin| bus.member(plugin).is_some()),
            };
            let Some(helper) = &self.files.helper else {
                return;
            };
            self.files.is_busy = true;
            helper.run(move || {
                let outcome = job(&store);
                Outcome::new(move |reactor, now| {
                    reactor.files.is_busy = false;
                    outcome.run(reactor, now);
                    reactor.work_on_files(now);
                })
            });
        }
    }

    /// Keeps a version in a file, and tells the bus.
    pub(super) fn save(&mut self, version: u64, kept: Kept, now: Instant) {
        let memory = self.memory.get(&AnyMemory::Version(version));
        let Some(file) = memory.and_then(Memory::reader_file) else {
            let failure = Failure::new(Code::System, "the memory of a share is gone");
            return self.bus.version_saved(version, Err(failure), now);
        };
        let save = move |store: &Store| {
            let saved = store.save(&kept, file.as_fd());
            drop(file);
            Outcome::new(move |reactor, now| reactor.bus.version_saved(version, saved, now))
        };
        let queued = self.with_files(save, now);
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
        match self.start_files() {
            Ok(()) => {
                self.files.queue.push_load(Load { wanted, way });
                self.work_on_files(now);
            }
            Err(failure) => self.tell_loaded(&wanted, Err(failure), now),
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
        let remove = move |store: &Store| {
            let removed = store.remove(&theirs);
            Outcome::new(move |reactor, now| {
                reactor
                    .bus
                    .file_removed((from, request), &theirs, removed, now);
            })
        };
        let queued = self.with_files(remove, now);
        if let Err(failure) = queued {
            self.bus
                .file_removed((from, request), &tag, Err(failure), now);
        }
    }
}

/// Looks for a file, of which so many bytes may be copied.
fn find(load: Load, store: &Store, room: u64) -> Outcome {
    let found = store.find(&load.wanted.tag, load.way, room);
    Outcome::new(move |reactor, now| reactor.loaded(&load.wanted, found, load.way, now))
}
