//! Extents that one side does not answer for in time.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, MemoryId, MemoryToPlugin, Role};

use super::{ALLOCATING, overloaded};
use crate::bus::Bus;
use crate::id::PluginId;
use crate::stages::Stage;

impl Bus {
    /// Lets go of an extent for which who has this role answers late; says whether it is one.
    pub(in crate::bus) fn was_late(
        &mut self,
        from: PluginId,
        memory: MemoryId,
        role: Role,
    ) -> bool {
        if self.extent_stage(memory).copied() != Some(Stage::Late(role)) {
            return false;
        }
        if let Some(users) = self.users(memory) {
            self.let_go(memory, users);
        }
        if role == Role::Reader {
            self.send(from, MemoryToPlugin::Unmap { memory });
        }
        true
    }

    /// Refuses an extent to its writer because it waits for room in vain, or because one side keeps
    /// it waiting.
    pub(in crate::bus) fn extent_is_late(&mut self, memory: MemoryId, now: Instant) {
        let (Some([writer, _]), Some(stage)) = (self.users(memory), self.extent_stage(memory))
        else {
            return;
        };
        match *stage {
            Stage::Waiting => {
                // Others may have had more than their turns.
                self.waiting.retain(|other| *other != memory);
                if let Err(short) = self.begin_extent(memory, now, false) {
                    self.extent_not_made(writer, memory, overloaded(short));
                }
            }
            Stage::Sealing => {
                let time = self.step.saturating_mul(ALLOCATING);
                self.late_within(writer, "let its extent be sealed", time);
            }
            _ => {
                if let Some(role) = stage.awaited() {
                    *stage = Stage::Late(role);
                    let failure = self.does_not_map(memory, role);
                    self.refuse_extent(writer, memory, failure);
                }
            }
        }
    }

    pub(super) fn does_not_map(&self, memory: MemoryId, role: Role) -> Failure {
        let end = memory.end(role);
        let plugin = self.links.get(&end.link).map(|link| link.plugin(end.side));
        let plugin = plugin.map_or_else(String::new, |plugin| self.label_of(plugin));
        let time = match role {
            Role::Writer => self.step.saturating_mul(ALLOCATING),
            Role::Reader => self.step,
        };
        let message = format!(
            "{plugin} did not map the memory for this payload within {time:?}; it may be stopped \
             or too busy"
        );
        Failure::new(Code::Timeout, message)
    }
}
