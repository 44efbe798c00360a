//! The life of memory on the bus, the same for outboxes and extents: made, mapped by its writer, sealed, handed over, mapped by its reader,
//! let go. The stages are in [`stages`](crate::stages), the records in `layout/src/control/memory.rs`.
//!
//! What follows from a step depends on the kind of memory: for an outbox it is the link's set-up ([`link`](crate::link)), for an extent
//! `extents.rs`.

use std::time::Instant;

use callgate_layout::control::{Failure, LinkEnd, MemoryId, MemoryToBroker, MemoryToPlugin, Role};

use super::charges::Users;
use super::{Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::stages::{OutOfOrder, Stage};

impl Bus {
    pub(super) fn memory_record(
        &mut self,
        from: PluginId,
        record: MemoryToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match record {
            MemoryToBroker::Want { memory, len } => self.want_extent(from, memory, len, now),
            MemoryToBroker::Mapped { memory, role } => self.mapped(from, (memory, role), now),
            MemoryToBroker::Failed {
                memory,
                role,
                failure,
            } => self.failed(from, (memory, role), &failure, now),
            MemoryToBroker::Return { memory } => self.returned(from, memory),
        }
    }

    /// Whether the link of some memory is there: otherwise a plugin's record about that memory has crossed with the link's end and decides
    /// nothing.
    fn is_decisive(
        &mut self,
        from: PluginId,
        (memory, role): (MemoryId, Role),
    ) -> Result<bool, Failure> {
        // The end is checked as it came: deriving the other end of an invalid one could give a valid one.
        self.check_end(memory.end(Role::Writer))?;
        Ok(self.own_link(from, memory.end(role))?.is_some())
    }

    fn mapped(
        &mut self,
        from: PluginId,
        (memory, role): (MemoryId, Role),
        now: Instant,
    ) -> Result<Weight, Failure> {
        if !self.is_decisive(from, (memory, role))? {
            return self.acknowledged(from);
        }
        let moved = match memory {
            MemoryId::Outbox { end } => {
                let link = self.links.get_mut(&end.link);
                link.map(|link| link.mapped(end.side, role, now))
            }
            MemoryId::Extent { .. } => {
                let stage = self.extent_stage(memory);
                stage.map(|stage| stage.mapped(role).map(|()| Vec::new()))
            }
        };
        let steps = moved.unwrap_or(Err(OutOfOrder));
        let steps = steps.map_err(|OutOfOrder| not_awaited(memory, role))?;
        self.effects.push_back(match role {
            Role::Writer => Effect::Seal(from, memory.into()),
            Role::Reader => Effect::Read(from, memory),
        });
        match (memory, role) {
            (MemoryId::Outbox { end }, _) => self.run(end.link, steps, now),
            (MemoryId::Extent { .. }, Role::Writer) => self.extent_allocated(memory, now),
            (MemoryId::Extent { .. }, Role::Reader) => self.extent_ready(memory),
        }
        self.acknowledged(from)
    }

    /// A plugin cannot use memory that it was sent.
    fn failed(
        &mut self,
        from: PluginId,
        (memory, role): (MemoryId, Role),
        failure: &Failure,
        now: Instant,
    ) -> Result<Weight, Failure> {
        if !self.is_decisive(from, (memory, role))? {
            return self.acknowledged(from);
        }
        let may = match memory {
            MemoryId::Outbox { end } => {
                let link = self.links.get(&end.link);
                link.map(|link| link.may_fail(end.side, role))
            }
            MemoryId::Extent { .. } => {
                let stage = self.extent_stage(memory);
                stage.map(|stage| stage.may_fail(role))
            }
        };
        let may = may.unwrap_or(Err(OutOfOrder));
        may.map_err(|OutOfOrder| not_awaited(memory, role))?;
        let weight = self.acknowledged(from)?;
        match memory {
            MemoryId::Outbox { end } => self.lose_link(from, end.link, failure, now),
            MemoryId::Extent { .. } => self.extent_failed(from, (memory, role), failure, now),
        }
        Ok(weight)
    }

    /// Called by the shell when it has sealed memory and found all of it allocated that must be.
    pub(crate) fn memory_sealed(&mut self, memory: AnyMemory, now: Instant) {
        match memory {
            AnyMemory::Link(MemoryId::Outbox { end }) => {
                if let Some(link) = self.links.get_mut(&end.link) {
                    let steps = link.sealed(end.side, now);
                    self.run(end.link, steps, now);
                }
            }
            AnyMemory::Link(memory) => self.extent_sealed(memory),
            AnyMemory::Ring(ring) => self.ring_sealed(ring, now),
            AnyMemory::Cell(memory) => self.cell_sealed(memory),
            AnyMemory::Version(version) => self.version_sealed(version, now),
        }
    }

    /// Called by the shell when it could not seal memory that its writer has mapped.
    pub(crate) fn memory_given_up(
        &mut self,
        to: PluginId,
        memory: AnyMemory,
        failure: Failure,
        now: Instant,
    ) {
        match memory {
            AnyMemory::Link(memory) => self.extent_given_up(to, memory, failure),
            AnyMemory::Ring(ring) => self.ring_given_up(ring, &failure, now),
            AnyMemory::Cell(memory) => self.cell_given_up(memory, failure),
            AnyMemory::Version(version) => self.version_not_sealed(version, &failure, now),
        }
    }

    /// The deadline of some memory has passed.
    pub(super) fn memory_is_late(&mut self, memory: AnyMemory, now: Instant) {
        match memory {
            AnyMemory::Link(memory) => self.extent_is_late(memory, now),
            AnyMemory::Ring(ring) => self.ring_is_late(ring),
            AnyMemory::Cell(memory) => self.cell_is_late(memory),
            AnyMemory::Version(version) => self.sealing_is_late(version, now),
        }
    }

    /// Called by the shell when it could not make memory; no plugin has it.
    pub(crate) fn memory_not_made(
        &mut self,
        to: PluginId,
        memory: AnyMemory,
        failure: Failure,
        now: Instant,
    ) {
        match memory {
            AnyMemory::Link(MemoryId::Outbox { end }) => self.try_later(end.link, &failure, now),
            AnyMemory::Link(memory) => self.extent_not_made(to, memory, failure),
            AnyMemory::Ring(ring) => self.ring_not_made(ring, &failure, now),
            AnyMemory::Cell(memory) => self.cell_not_made(memory, failure),
            AnyMemory::Version(version) => self.version_not_made(version, &failure, now),
        }
    }

    /// The writer returns an extent: it has no more use for it.
    fn returned(&mut self, from: PluginId, memory: MemoryId) -> Result<Weight, Failure> {
        if let MemoryId::Outbox { .. } = memory {
            return Err(protocol("it returned an outbox, which ends with its link"));
        }
        if self.is_decisive(from, (memory, Role::Writer))? {
            if self.extent_stage(memory).copied() != Some(Stage::Ready) {
                return Err(not_awaited(memory, Role::Writer));
            }
            if let Some(users) = self.users(memory) {
                self.send(users[1], MemoryToPlugin::Unmap { memory });
                self.let_go(memory, users);
            }
        }
        Ok(Weight::Charged)
    }

    /// The writer and the reader of memory, while its link lives.
    pub(super) fn users(&self, memory: MemoryId) -> Option<Users> {
        let (writer, reader) = (memory.end(Role::Writer), memory.end(Role::Reader));
        let link = self.links.get(&writer.link)?;
        Some([link.plugin(writer.side), link.plugin(reader.side)])
    }

    /// Has the shell let go of memory. What was charged for it stays charged until nobody holds it.
    pub(super) fn let_go(&mut self, memory: MemoryId, users: Users) {
        let serial = match memory {
            MemoryId::Outbox { .. } => None,
            MemoryId::Extent { .. } => match self.forget_extent(memory) {
                Some(charged) => Some(self.charges.keep(users, charged)),
                // The extent was waiting, and was never made.
                None => return,
            },
        };
        self.effects.push_back(Effect::LetGo {
            memory: memory.into(),
            users,
            serial,
        });
    }

    /// Lets go of all memory of a link between these two plugins, which has ended.
    pub(super) fn drop_memory(&mut self, link: u64, [a, b]: [PluginId; 2]) {
        let outboxes = [0, 1].map(|side| MemoryId::Outbox {
            end: LinkEnd { link, side },
        });
        let all: Vec<MemoryId> = self.extents_of(link).chain(outboxes).collect();
        for memory in all {
            let is_forth = memory.end(Role::Writer).side == 0;
            self.let_go(memory, if is_forth { [a, b] } else { [b, a] });
        }
    }
}

/// The failure that ends the session of a plugin that has answered about memory without being asked.
fn not_awaited(memory: MemoryId, role: Role) -> Failure {
    let what = match (memory, role) {
        (MemoryId::Outbox { .. }, Role::Writer) => "an outbox",
        (MemoryId::Outbox { .. }, Role::Reader) => "a peer's outbox",
        (MemoryId::Extent { .. }, _) => "an extent",
    };
    protocol(&format!("it acknowledged {what} that was not awaited"))
}
