//! Extents that one side cannot use, or does not acknowledge in time.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, LinkEnd, ToPlugin};

use super::{ALLOCATING, ExtentId, Stage, overloaded};
use crate::bus::{Bus, Weight};
use crate::registry::PluginId;

impl Bus {
    /// Forgets an extent that this side acknowledges late; says whether it is one.
    pub(super) fn was_late(&mut self, from: PluginId, own: LinkEnd, id: ExtentId) -> bool {
        let stage = self.extents.get(&id).map(|extent| extent.stage);
        if stage != Some(Stage::Late(own.side)) {
            return false;
        }
        if let Some(users) = self.users(id) {
            self.let_go(id, users);
        }
        if own != id.0 {
            let (end, number) = (own, id.1);
            self.send(from, ToPlugin::PeerExtentGone { end, number });
        }
        true
    }

    /// A side cannot use an extent: one of its own, or one of its peer's.
    pub(in crate::bus) fn extent_unusable(
        &mut self,
        from: PluginId,
        (end, own, number): (LinkEnd, bool, u8),
        failure: &Failure,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let id = match own {
            true => (end, number),
            false => (end.other(), number),
        };
        let awaited = match own {
            true => Stage::Writer,
            false => Stage::Reader,
        };
        let Some(_) = self.advance(from, end, id, (awaited, awaited))? else {
            return self.acknowledged(from);
        };
        let weight = self.acknowledged(from)?;
        let Some(users) = self.users(id) else {
            return Ok(weight);
        };
        // The reader was not sent it where it is the writer that failed.
        self.let_go(id, if own { [from, from] } else { users });
        if own {
            self.end_turn(id, now);
        } else {
            let (writer, reader) = (users[0], self.label_of(from));
            let message = format!(
                "{reader} cannot use the memory for this payload: {}",
                failure.message
            );
            self.refuse_extent(writer, id, Failure::new(Code::System, message));
        }
        Ok(weight)
    }

    /// Refuses an extent to its writer because it waits for room in vain, or because one side keeps
    /// it waiting.
    pub(in crate::bus) fn extent_is_late(&mut self, id: ExtentId, now: Instant) {
        let (Some([writer, _]), Some(extent)) = (self.users(id), self.extents.get_mut(&id)) else {
            return;
        };
        let side = match extent.stage {
            Stage::Waiting => {
                // Others may have had more than their turns.
                self.waiting.retain(|other| *other != id);
                if let Err(short) = self.begin_extent(id, now, false) {
                    self.extent_failed(writer, id, overloaded(short));
                }
                return;
            }
            Stage::Writer => id.0.side,
            Stage::Reader => id.0.other().side,
            Stage::Sealing => {
                let time = self.step.saturating_mul(ALLOCATING);
                return self.late_within(writer, "let its extent be sealed", time);
            }
            Stage::Ready | Stage::Late(_) => return,
        };
        extent.stage = Stage::Late(side);
        let failure = self.does_not_map(id, side);
        self.refuse_extent(writer, id, failure);
    }

    pub(super) fn does_not_map(&self, id: ExtentId, side: u8) -> Failure {
        let plugin = self.links.get(&id.0.link).map(|link| link.plugin(side));
        let plugin = plugin.map_or_else(String::new, |plugin| self.label_of(plugin));
        let time = match side == id.0.side {
            true => self.step.saturating_mul(ALLOCATING),
            false => self.step,
        };
        let message = format!(
            "{plugin} did not map the memory for this payload within {time:?}; it may be stopped \
             or too busy"
        );
        Failure::new(Code::Timeout, message)
    }
}
