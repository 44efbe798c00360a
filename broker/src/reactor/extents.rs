//! The memory of extents: made, sealed, looked at, handed out, and kept in view until nobody else
//! holds it.
//!
//! The broker allocates none of it. It sets the size, so its own `RLIMIT_FSIZE` must allow that; the
//! writer allocates, and its memory cgroup is charged.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Instant;

use callgate_layout::control::{Failure, LinkEnd, ToPlugin};
use callgate_layout::sys::memfd;
use nix::sys::inotify::WatchDescriptor;

use super::effects::no_memory;
use super::{Outcome, Reactor};
use crate::bus::{ExtentId, protocol};
use crate::registry::PluginId;

/// An extent, as the broker has it.
#[derive(Debug)]
pub(super) struct Memory {
    len: u32,
    /// The broker's own description, which nobody else gets; `None` once it is sealed and watched.
    own: Option<Arc<OwnedFd>>,
    /// The reader's, until it is sent. Opened before the writer has any, who could take away the
    /// permission to open the file.
    reader: Option<Arc<OwnedFd>>,
    /// What was handed out last, while it waits in a queue.
    unsent: Weak<OwnedFd>,
    /// What says when the memory is gone. Without one, the broker asks for leases on its own.
    watch: Option<WatchDescriptor>,
    /// Whether it is gone already, though the extent is not let go of yet.
    pub(super) is_gone: bool,
}

/// What is wrong with an extent that its writer says it has allocated.
#[derive(Debug)]
enum Flaw {
    /// It could not be sealed: the writer has forbidden that.
    Sealed(io::Error),
    /// Only so many bytes are there.
    Missing(u64),
}

impl Memory {
    /// Makes an extent without memory, which `watch` is told of; also the writer's descriptor.
    fn new(
        len: u32,
        watch: impl FnOnce(&OwnedFd) -> Option<WatchDescriptor>,
    ) -> io::Result<(Memory, Arc<OwnedFd>)> {
        let made = memfd::create("callgate-extent", len as usize)?;
        // The description that this made does not count where a lease is asked for, so nobody gets it.
        let open = |writable| memfd::reopen(made.as_fd(), writable).map(Arc::new);
        let (own, writer, reader) = (open(true)?, open(true)?, open(false)?);
        let memory = Memory {
            len,
            own: Some(own),
            reader: Some(reader),
            unsent: Arc::downgrade(&writer),
            watch: watch(&made),
            is_gone: false,
        };
        Ok((memory, writer))
    }

    /// Whether what was handed out last has not left its queue. A plugin that could have it counted
    /// as used and returned would fill the queues with what nobody is charged for.
    fn is_unsent(&self) -> bool {
        self.unsent.strong_count() > 0
    }
}

/// Closes an extent to further writers, and then looks whether all of it is allocated: before, its
/// writer could still free some.
///
/// The kernel makes this wait for whoever writes or allocates at the moment. A hostile writer can make
/// that last as long as it lives (by writing from memory whose pages never come), so each extent is sealed
/// on a thread of its own: the writer's session ends when its time is up, and the thread with it.
fn seal(own: &OwnedFd, len: u32) -> Result<(), Flaw> {
    memfd::seal_writer(own.as_fd()).map_err(Flaw::Sealed)?;
    let allocated = memfd::allocated(own.as_fd()).map_err(Flaw::Sealed)?;
    match allocated < u64::from(len) {
        true => Err(Flaw::Missing(allocated)),
        false => Ok(()),
    }
}

impl Reactor {
    pub(super) fn new_extent(&mut self, to: PluginId, id: ExtentId, len: u32, now: Instant) {
        let started = self.start_memory_helper();
        let registry = self.poll.registry();
        let watch = |file: &OwnedFd| self.watches.add(registry, file, id);
        match started.and_then(|()| Memory::new(len, watch)) {
            Ok((memory, writer)) => {
                self.extents.insert(id, memory);
                let (end, number) = id;
                let record = ToPlugin::NewExtent { end, number, len };
                self.send(to, &record, vec![writer], now);
            }
            Err(error) => self
                .bus
                .extent_failed(to, id, no_memory("an extent", &error)),
        }
    }

    pub(super) fn seal_extent(&mut self, owner: PluginId, id: ExtentId) {
        let Some(memory) = self.extents.get_mut(&id) else {
            return;
        };
        if memory.is_unsent() {
            return self.doomed.push_back((owner, unsent()));
        }
        let len = memory.len;
        // Only a lease needs it afterwards.
        let own = match memory.watch {
            Some(_) => memory.own.take(),
            None => memory.own.clone(),
        };
        let Some(own) = own else {
            return;
        };
        let sealing = self.way_back.once("callgate-seal", move || {
            let sealed = seal(&own, len);
            drop(own);
            Outcome::new(move |reactor, now| reactor.extent_sealed(owner, (id, len), sealed, now))
        });
        if let Err(error) = sealing {
            let failure = no_memory("a thread that seals an extent", &error);
            self.bus.extent_given_up(owner, id, failure);
        }
    }

    fn extent_sealed(
        &mut self,
        owner: PluginId,
        (id, len): (ExtentId, u32),
        sealed: Result<(), Flaw>,
        now: Instant,
    ) {
        let what = match sealed {
            Ok(()) => return self.bus.extent_sealed(id, now),
            Err(Flaw::Sealed(error)) => {
                format!("it sealed its extent before the broker did ({error})")
            }
            Err(Flaw::Missing(allocated)) => format!(
                "it acknowledged an extent of {len} bytes of which it allocated {allocated}"
            ),
        };
        self.doomed.push_back((owner, protocol(&what)));
    }

    pub(super) fn peer_extent(
        &mut self,
        to: PluginId,
        end: LinkEnd,
        (number, len): (u8, u32),
        now: Instant,
    ) {
        let memory = self.extents.get_mut(&(end.other(), number));
        if let Some(memory) = memory
            && let Some(reader) = memory.reader.take()
        {
            memory.unsent = Arc::downgrade(&reader);
            let record = ToPlugin::PeerExtent { end, number, len };
            self.send(to, &record, vec![reader], now);
        }
    }

    /// A reader says that it has mapped an extent.
    pub(super) fn extent_read(&mut self, reader: PluginId, id: ExtentId) {
        if self.extents.get(&id).is_some_and(Memory::is_unsent) {
            self.doomed.push_back((reader, unsent()));
        }
    }

    /// Takes a descriptor out of the queues of these plugins, where it was not sent yet.
    pub(super) fn discard(&mut self, descriptor: &Arc<OwnedFd>, plugins: [PluginId; 2]) {
        for plugin in plugins {
            if let Some(session) = self.sessions.get_mut(&plugin) {
                let records = session.outgoing.discard(descriptor);
                self.bus.unsent(plugin, records);
            }
        }
    }

    /// An extent is of no more use: it leaves the queues, and is looked at until it is free.
    pub(super) fn let_go_extent(
        &mut self,
        id: ExtentId,
        serial: u64,
        plugins: [PluginId; 2],
        now: Instant,
    ) {
        let Some(memory) = self.extents.remove(&id) else {
            // It was never made.
            return self.bus.extents_freed(&[serial], now);
        };
        let unsent = memory.unsent.upgrade();
        if let Some(unsent) = &unsent {
            self.discard(unsent, plugins);
        }
        match (memory.watch, memory.own) {
            (Some(_), _) if memory.is_gone => self.bus.extents_freed(&[serial], now),
            (Some(watch), own) => {
                self.watches.let_go(watch, serial);
                // Whoever closes the last one frees the memory.
                let last = (own, memory.reader, unsent);
                self.help_with_memory(move || {
                    drop(last);
                    Outcome::new(|_, _| {})
                });
            }
            (None, Some(own)) => {
                drop((memory.reader, unsent));
                self.keep_held(serial, own, now);
            }
            (None, None) => self.bus.extents_freed(&[serial], now),
        }
    }
}

fn unsent() -> Failure {
    protocol("it acknowledged an extent that it was not sent yet")
}
