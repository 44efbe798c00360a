//! The life of memory in the shell, one for outboxes, extents, rings of events and versions of shares: made, sealed, handed over,
//! let go; of cells, what is the same. The bus says when ([`Effect`](crate::effect::Effect)).
//!
//! The broker allocates none of it. It sets the size, so its own `RLIMIT_FSIZE` must allow that; who
//! writes an extent allocates it, and its memory cgroup is charged. An outbox is two dozen pages.
//!
//! An outbox has one description, which both sides are sent and the broker closes when its reader has
//! mapped it. An extent has one for each, and is kept in view until nobody else holds it
//! ([`watches`](super::watches), [`held`](super::held)), because it stays charged until then. So is a ring, of
//! which the broker keeps the description for its readers: they come and go while it is written. So has a version, as long as
//! it is the newest one; it is sealed against all writers, the one that made it included.
//! What a cell lies in has one description, which the broker keeps for its readers.

mod closing;
mod file;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{
    Failure, FeedToPlugin, MemoryId, MemoryToPlugin, Role, SourceToPlugin, ToPlugin,
};
use callgate_layout::sys::memfd;

pub(super) use closing::Closing;
pub(super) use file::{Flaw, Freeing, Memory, check_allocated};

use file::seal_allocated;

use super::failures::no_memory;
use super::{Outcome, Reactor};
use crate::bus::protocol;
use crate::id::PluginId;
use crate::memory::AnyMemory;

impl Reactor {
    /// Makes memory, and sends it to its writer.
    pub(super) fn make(&mut self, to: PluginId, memory: MemoryId, len: u32, now: Instant) {
        let made = match memory {
            // The last descriptors are not for links.
            MemoryId::Outbox { .. } => self.check_link_room(1).and_then(|()| {
                let made = Memory::shared("callgate-outbox", len);
                made.map_err(|error| no_memory("a link's outbox", &error))
            }),
            MemoryId::Extent { .. } => {
                let made = self.make_watched("callgate-extent", memory.into(), len.into());
                made.map_err(|error| no_memory("an extent", &error))
            }
        };
        let role = Role::Writer;
        let map = MemoryToPlugin::Map { memory, role, len };
        self.hand_out_made(to, (memory.into(), made), (map.into(), None), now);
    }

    /// Makes a ring of events, and sends it to its source.
    pub(super) fn make_ring(
        &mut self,
        to: PluginId,
        (ring, len): (u64, u32),
        record: SourceToPlugin,
        now: Instant,
    ) {
        let memory = AnyMemory::Ring(ring);
        // As long as it is of use, the broker has a descriptor or two of it.
        let made = self.check_ring_room(2).and_then(|()| {
            let made = self.make_watched("callgate-events", memory, len.into());
            made.map_err(|error| no_memory("a ring of events", &error))
        });
        self.hand_out_made(to, (memory, made), (record.into(), None), now);
    }

    /// Sends memory that was made to its writer, perhaps with another descriptor behind it; or tells the bus that it could not be.
    pub(super) fn hand_out_made(
        &mut self,
        to: PluginId,
        (memory, made): (AnyMemory, Result<(Memory, Arc<OwnedFd>), Failure>),
        (record, other): (ToPlugin, Option<Arc<OwnedFd>>),
        now: Instant,
    ) {
        match made {
            Ok((held, writer)) => {
                self.memory.insert(memory, held);
                let descriptors = [writer].into_iter().chain(other).collect();
                self.send(to, record, descriptors, now);
            }
            Err(failure) => self.bus.memory_not_made(to, memory, failure, now),
        }
    }

    pub(super) fn make_watched(
        &mut self,
        name: &str,
        memory: AnyMemory,
        len: u64,
    ) -> io::Result<(Memory, Arc<OwnedFd>)> {
        self.start_memory_helper()?;
        let registry = self.poll.registry();
        Memory::watched(name, len, |file| self.watches.add(registry, file, memory))
    }

    /// Makes memory with these bytes that nobody can change.
    pub(super) fn make_copied(
        &mut self,
        name: &str,
        memory: AnyMemory,
        bytes: &[u8],
    ) -> io::Result<Memory> {
        self.start_memory_helper()?;
        let registry = self.poll.registry();
        Memory::copied(name, bytes, |file| self.watches.add(registry, file, memory))
    }

    /// Closes descriptors of memory, of which one may be the last.
    pub(super) fn close_memory<T: Send + 'static>(&mut self, files: T, freeing: Freeing) {
        if freeing == Freeing::Slow && self.memory_helper.is_some() {
            self.held.closing.begin();
            self.help_with_memory(move || {
                drop(files);
                Outcome::new(|reactor, _| reactor.held.closing.end())
            });
        }
    }

    /// Closes memory to further writers, whose writer has mapped it.
    pub(super) fn seal(&mut self, writer: PluginId, memory: AnyMemory, now: Instant) {
        let Some(held) = self.memory.get_mut(&memory) else {
            return;
        };
        if held.is_unsent() {
            return self.doomed.push_back((writer, unsent(memory)));
        }
        let own = match held.watch {
            // Only a lease needs it afterwards.
            Some(_) => held.own.take(),
            None => held.own.clone(),
        };
        let (Some(own), len) = (own, held.len) else {
            return;
        };
        if memory.is_outbox() {
            // It was just made, and is too small for the kernel to wait long for who writes.
            let sealed = memfd::seal_writer(own.as_fd()).map_err(Flaw::Sealed);
            return self.sealed(writer, (memory, len), sealed, now);
        }
        let is_for_good = matches!(memory, AnyMemory::Version(_));
        if is_for_good && memfd::is_sealed_for_good(own.as_fd()) {
            // By its maker. What is left to look at lies in the kernel's own tables: no writer delays that.
            let looked_at = check_allocated(&own, len);
            return self.sealed(writer, (memory, len), looked_at, now);
        }
        let sealing = self.way_back.once("callgate-seal", move || {
            let sealed = seal_allocated(&own, len, is_for_good);
            drop(own);
            Outcome::new(move |reactor, now| reactor.sealed(writer, (memory, len), sealed, now))
        });
        if let Err(error) = sealing {
            let failure = no_memory("a thread that seals memory", &error);
            self.bus.memory_given_up(writer, memory, failure, now);
        }
    }

    fn sealed(
        &mut self,
        writer: PluginId,
        (memory, len): (AnyMemory, u64),
        sealed: Result<(), Flaw>,
        now: Instant,
    ) {
        let noun = memory.noun();
        let what = match sealed {
            Ok(()) => return self.bus.memory_sealed(memory, now),
            Err(flaw) if matches!(memory, AnyMemory::Version(_)) => {
                // It may be a mistake, and nothing else of the plugin's hangs on it.
                let failure = Failure::new(Code::Protocol, flaw.of_share(len));
                return self.bus.memory_given_up(writer, memory, failure, now);
            }
            Err(Flaw::Sealed(error)) => {
                format!("it sealed its {noun} before the broker did ({error})")
            }
            Err(Flaw::Missing(allocated)) => format!(
                "it acknowledged memory ({noun}) of {len} bytes of which it allocated {allocated}"
            ),
        };
        self.doomed.push_back((writer, protocol(&what)));
    }

    /// Sends an extent to its reader.
    pub(super) fn hand_over(&mut self, to: PluginId, memory: MemoryId, now: Instant) {
        if let Some(held) = self.memory.get_mut(&memory.into())
            && let Some(reader) = held.take_reader()
        {
            let (role, len) = (Role::Reader, held.len as u32);
            let map = MemoryToPlugin::Map { memory, role, len };
            self.send(to, map, vec![reader], now);
        }
    }

    /// Sends a ring to a plugin that is to follow it, with the doorbell and the process of its source.
    pub(super) fn follow(
        &mut self,
        to: PluginId,
        (ring, sender): (u64, PluginId),
        record: FeedToPlugin,
        now: Instant,
    ) {
        let held = self.memory.get(&AnyMemory::Ring(ring));
        let reader = held.and_then(Memory::reader_file);
        let session = self.sessions.get(&sender);
        let pages = session.and_then(|session| session.pages.as_ref());
        if let (Some(reader), Some(session), Some(pages)) = (reader, session, pages) {
            let doorbell = pages.doorbell.file.clone();
            let descriptors = vec![reader, doorbell, session.process.clone()];
            self.send(to, record, descriptors, now);
        }
    }

    /// A reader says that it has mapped memory of a link.
    pub(super) fn read(&mut self, reader: PluginId, memory: MemoryId) {
        let memory = AnyMemory::from(memory);
        if self.memory.get(&memory).is_some_and(Memory::is_unsent) {
            return self.doomed.push_back((reader, unsent(memory)));
        }
        if memory.is_outbox() {
            // Both sides have it, and nobody is told when it is gone.
            self.memory.remove(&memory);
        }
    }

    /// Takes a descriptor out of the queues of these plugins, where it was not sent yet.
    fn discard(&mut self, descriptor: &Arc<OwnedFd>, plugins: [PluginId; 2]) {
        for plugin in plugins {
            if let Some(session) = self.sessions.get_mut(&plugin) {
                let records = session.outgoing.discard(descriptor);
                self.bus.unsent(plugin, records);
            }
        }
    }

    /// Memory is of no more use: it leaves the queues. Where it is charged, it is looked at until it
    /// is free.
    pub(super) fn let_go(
        &mut self,
        memory: AnyMemory,
        (users, serial): ([PluginId; 2], Option<u64>),
        now: Instant,
    ) {
        if let AnyMemory::Version(version) = memory {
            self.forget_returned(version);
        }
        let held = self.memory.remove(&memory);
        let unsent = held.as_ref().and_then(|held| held.unsent.upgrade());
        if let Some(unsent) = &unsent {
            self.discard(unsent, users);
        }
        let Some(serial) = serial else {
            if let AnyMemory::Version(_) = memory {
                // A file that was looked for in vain: this may be the last descriptor of much memory.
                self.close_memory((held, unsent), Freeing::Slow);
            }
            return;
        };
        match held {
            Some(held) if !held.is_gone => self.await_end(serial, (held, unsent), now),
            // It was never made, or is gone already.
            _ => self.bus.extents_freed(&[serial], now),
        }
    }

    /// Has the bus told when nobody holds an extent any more that is of no more use.
    fn await_end(
        &mut self,
        serial: u64,
        (held, unsent): (Memory, Option<Arc<OwnedFd>>),
        now: Instant,
    ) {
        let Memory {
            own,
            reader,
            watch,
            freeing,
            ..
        } = held;
        match (watch, own) {
            (Some(watch), own) => {
                self.watches.let_go(watch, serial);
                // Whoever closes the last one frees the memory. Those of a version were closed when it was superseded.
                if own.is_some() || reader.is_some() || unsent.is_some() {
                    self.close_memory((own, reader, unsent), freeing);
                }
            }
            (None, Some(own)) => {
                drop((reader, unsent));
                self.keep_held(serial, own, now);
            }
            (None, None) => {
                self.close_memory((reader, unsent), freeing);
                self.bus.extents_freed(&[serial], now);
            }
        }
    }
}

fn unsent(memory: AnyMemory) -> Failure {
    let noun = memory.noun();
    protocol(&format!(
        "it acknowledged memory ({noun}) that it was not sent yet"
    ))
}
