//! The files of persistent shares. The bus's effects on them are carried out on a thread of their own, one after the other, in the order
//! that the [`queue`] decides.

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

/// The files of a bus, and the thread that works on them.
pub(super) struct Files {
    /// `None` if the bus has neither a socket nor a name, so that its files would have no name.
    store: Option<Arc<Store>>,
    /// `None` until there is work.
    helper: Option<Helper<Outcome>>,
    queue: Queue<Job, Load>,
    /// Whether the thread is at work. The next task begins when it has finished.
    is_busy: bool,
}

impl Files {
    /// Creates this from the store, if there is one, and tells the bus whether it can keep persistent shares.
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

    /// Fails with the reason if this broker keeps no persistent shares.
    fn keeps(&self) -> Result<(), String> {
        match self.store {
            Some(_) => Ok(()),
            None => Err(
                "its broker has neither a socket nor a name to keep it under; give it one (Builder::persistent_name)"
                    .into(),
            ),
        }
    }

    /// Gives the files up for another broker, after the saving and removing that is queued.
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

/// The tag whose file is loaded, and the numbers that its version and its share will get.
#[derive(Clone, Debug)]
struct Wanted {
    version: u64,
    share: u64,
    tag: Arc<str>,
}

/// A load that is to be done.
#[derive(Clone, Debug)]
struct Load {
    wanted: Wanted,
    way: Way,
}

impl Reactor {
    /// Queues a task that saves or removes, behind those that were queued before.
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

    /// Starts the thread that works on the files, if it does not run yet.
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

    /// Begins with the next task, if the thread is idle.
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

    /// Saves a version in a file; then the bus is told the result.
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

    /// Looks for the file of a tag; then the bus is told the result.
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
        // Most tags have no file. This is found here at once, so that plugins that make such shares do not wait behind the files of others.
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

    /// Keeps the loaded file or copy as the memory of a version.
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

    /// Keeps the file itself as the memory of a version. Nobody waits for the end of this memory, because the file stays when no process
    /// uses it.
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

    /// Removes the file of a tag; then the bus is told the result.
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

/// Loads a file, of which at most `room` bytes may be copied.
fn find(load: Load, store: &Store, room: u64) -> Outcome {
    let found = store.find(&load.wanted.tag, load.way, room);
    Outcome::new(move |reactor, now| reactor.loaded(&load.wanted, found, load.way, now))
}
