//! The life of memory in the shell, the same for outboxes, extents, rings of events and versions of shares: made, sealed, handed over, let
//! go. Cells share parts of it. The bus decides when each step happens ([`Effect`](crate::effect::Effect)).
//!
//! The broker allocates none of this memory. It sets the size, so its own `RLIMIT_FSIZE` must allow that. The plugin that writes an extent
//! allocates it, and that plugin's memory cgroup is charged. An outbox is two dozen pages.
//!
//! An outbox has one file description, which both plugins are sent, and which the broker closes when its reader has mapped it. An extent
//! has one description for each plugin. It stays charged until nobody else holds it, so the broker watches for that
//! ([`watches`](super::watches), [`held`](super::held)). The same goes for a ring, whose reader's description the broker keeps, because
//! readers come and go while the ring is written; and for a version, as long as it is the newest one. A version is sealed against all
//! writers, its maker included. A cell's memory has one description, which the broker keeps for its readers.

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
    /// Makes memory of a link, and sends it to its writer.
    pub(super) fn make(&mut self, to: PluginId, memory: MemoryId, len: u32, now: Instant) {
        let made = match memory {
            // The last free descriptors are kept for other things than links.
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
        // The broker has one or two descriptors of a ring for as long as it is used.
        let made = self.check_ring_room(2).and_then(|()| {
            let made = self.make_watched("callgate-events", memory, len.into());
            made.map_err(|error| no_memory("a ring of events", &error))
        });
        self.hand_out_made(to, (memory, made), (record.into(), None), now);
    }

    /// Sends new memory to its writer, with another descriptor behind it if there is one; or tells the bus that the memory could not be
    /// made.
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

    /// Makes sealed memory with these bytes.
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

    /// Closes descriptors of memory, of which one may be the last: on the helper thread if freeing the memory can take long.
    pub(super) fn close_memory<T: Send + 'static>(&mut self, files: T, freeing: Freeing) {
        if freeing == Freeing::Slow && self.memory_helper.is_some() {
            self.held.closing.begin();
            self.help_with_memory(move || {
                drop(files);
                Outcome::new(|reactor, _| reactor.held.closing.end())
            });
        }
    }

    /// Seals memory against further writers, after its writer has mapped it.
    pub(super) fn seal(&mut self, writer: PluginId, memory: AnyMemory, now: Instant) {
        let Some(held) = self.memory.get_mut(&memory) else {
            return;
        };
        if held.is_unsent() {
            return self.doomed.push_back((writer, unsent(memory)));
        }
        let own = match held.watch {
            // With a watch, the broker needs no descriptor of its own any more; asking for leases needs one.
            Some(_) => held.own.take(),
            None => held.own.clone(),
        };
        let (Some(own), len) = (own, held.len) else {
            return;
        };
        if memory.is_outbox() {
            // An outbox was just made and is small, so the kernel does not wait long for processes that write to it.
            let sealed = memfd::seal_writer(own.as_fd()).map_err(Flaw::Sealed);
            return self.sealed(writer, (memory, len), sealed, now);
        }
        let is_for_good = matches!(memory, AnyMemory::Version(_));
        if is_for_good && memfd::is_sealed_for_good(own.as_fd()) {
            // Its maker has sealed it. What is left to check is in the kernel's own tables, so no writer can delay it.
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
                // It may be a mistake, and nothing else of the plugin depends on it: the session goes on.
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

    /// Sends a ring to a plugin that will follow it, with the doorbell and the process of its source.
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
            // Both plugins have it now, and nobody has to be told when it is gone.
            self.memory.remove(&memory);
        }
    }

    /// Removes records with this descriptor from the queues of these plugins, if they were not sent yet.
    fn discard(&mut self, descriptor: &Arc<OwnedFd>, plugins: [PluginId; 2]) {
        for plugin in plugins {
            if let Some(session) = self.sessions.get_mut(&plugin) {
                let records = session.outgoing.discard(descriptor);
                self.bus.unsent(plugin, records);
            }
        }
    }

    /// The bus has no more use for memory: removes it from the queues. If it is charged under a serial number, the bus is told that number
    /// when nobody holds the memory any more.
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
                // The memory of a file that was loaded in vain. This may be the last descriptor of much memory.
                self.close_memory((held, unsent), Freeing::Slow);
            }
            return;
        };
        match held {
            Some(held) if !held.is_gone => self.await_end(serial, (held, unsent), now),
            // The memory was never made, or is gone already.
            _ => self.bus.extents_freed(&[serial], now),
        }
    }

    /// Has the bus told when nobody holds memory any more that was let go.
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
                // Closing the last descriptor frees the memory. Those of a version were closed when it was superseded.
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
