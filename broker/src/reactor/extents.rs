//! The memory of extents: made, sealed, handed out.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::{Failure, LinkEnd, ToPlugin};
use callgate_layout::sys::memfd;

use super::Reactor;
use super::effects::no_memory;
use crate::bus::{ExtentId, protocol};
use crate::registry::PluginId;

impl Reactor {
    pub(super) fn new_extent(&mut self, to: PluginId, id: ExtentId, len: u32, now: Instant) {
        match memfd::create_allocated("callgate-extent", len as usize) {
            Ok(memory) => {
                let memory = Arc::new(memory);
                self.extents.insert(id, memory.clone());
                let (end, number) = id;
                self.send(
                    to,
                    &ToPlugin::NewExtent { end, number, len },
                    vec![memory],
                    now,
                );
            }
            Err(error) => self
                .bus
                .extent_failed(to, id, no_memory("an extent", &error)),
        }
    }

    pub(super) fn seal_extent(&mut self, owner: PluginId, id: ExtentId, now: Instant) {
        let Some(memory) = self.extents.get(&id) else {
            return;
        };
        // What a queue holds as well was not sent yet. A plugin that could have it counted as
        // used and returned would fill the broker's memory with what nobody is charged for.
        if Arc::strong_count(memory) > 1 {
            return self.doomed.push_back((owner, unsent()));
        }
        match memfd::seal_writer(memory.as_fd()) {
            Ok(()) => self.bus.extent_sealed(id, now),
            Err(error) => {
                let what = format!("it sealed its extent before the broker did ({error})");
                self.doomed.push_back((owner, protocol(&what)));
            }
        }
    }

    pub(super) fn peer_extent(
        &mut self,
        to: PluginId,
        end: LinkEnd,
        (number, len): (u8, u32),
        now: Instant,
    ) {
        if let Some(memory) = self.extents.get(&(end.other(), number)) {
            let memory = memory.clone();
            self.send(
                to,
                &ToPlugin::PeerExtent { end, number, len },
                vec![memory],
                now,
            );
        }
    }

    /// A reader says that it has mapped an extent: the broker needs it no more.
    pub(super) fn extent_read(&mut self, reader: PluginId, id: ExtentId) {
        if let Some(memory) = self.extents.remove(&id)
            && Arc::strong_count(&memory) > 1
        {
            self.doomed.push_back((reader, unsent()));
        }
    }

    /// An extent is of no more use: it leaves the queues, where it was not sent yet.
    pub(super) fn forget_extent(&mut self, id: ExtentId, plugins: [PluginId; 2]) {
        let Some(memory) = self.extents.remove(&id) else {
            return;
        };
        if self.discard(&memory, plugins) > 0 {
            self.bus.extent_unsent(id);
        }
    }

    /// Takes a descriptor out of the queues of these plugins; says of how many records.
    pub(super) fn discard(&mut self, descriptor: &Arc<OwnedFd>, plugins: [PluginId; 2]) -> u32 {
        let mut all = 0;
        for plugin in plugins {
            if Arc::strong_count(descriptor) > 1
                && let Some(session) = self.sessions.get_mut(&plugin)
            {
                let records = session.outgoing.discard(descriptor);
                self.bus.unsent(plugin, records);
                all += records;
            }
        }
        all
    }
}

fn unsent() -> Failure {
    protocol("it acknowledged an extent that it was not sent yet")
}
