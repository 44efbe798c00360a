//! The extents of links: made when a side wants one, acknowledged step by step, given back.
//!
//! ```text
//! stage     entered by                     left by
//! Writer    WantExtent, charged            ExtentMapped of the writer
//! Sealing   ExtentMapped                   the shell has closed it to further writers
//! Reader    PeerExtent to the reader       PeerExtentMapped of the reader
//! Ready     ExtentReady to the writer      ReturnExtent, or the end of the link
//! ```
//!
//! Who does not acknowledge in time loses its session, as with links. A number may be used again
//! once it was given back.

use std::ops::RangeInclusive;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, LinkEnd, ToPlugin};
use callgate_layout::payload::{MAX_EXTENTS, charged_mib, is_extent_len};

use super::{Awaited, Bus, Weight, protocol};
use crate::effect::Effect;
use crate::quota::{Charge, Quota};
use crate::registry::PluginId;

/// An extent by its writer's end and its number there.
pub(crate) type ExtentId = (LinkEnd, u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Writer,
    Sealing,
    Reader,
    Ready,
}

/// An extent in some stage.
#[derive(Debug)]
pub(super) struct Extent {
    len: u32,
    stage: Stage,
    _charge: Charge,
}

impl Bus {
    pub(super) fn want_extent(
        &mut self,
        from: PluginId,
        (end, number): ExtentId,
        len: u32,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match self.own_link(from, end)? {
            None => return Ok(Weight::Charged),
            // A caller that does not wait for its link makes an honest provider answer early.
            Some(link) if !link.is_up() => {
                let failure = Failure::new(Code::NotReady, "the link is not set up yet");
                self.refuse_extent(from, (end, number), failure);
                return Ok(Weight::Charged);
            }
            Some(_) => {}
        }
        let id = (end, number);
        if number >= MAX_EXTENTS || !is_extent_len(len) || self.extents.contains_key(&id) {
            return Err(protocol("it wanted an extent that cannot be"));
        }
        let mib = charged_mib(len);
        let quota = self.members.get(&from).map(|member| &member.extents);
        let Some(charge) = quota.and_then(|quota| quota.charge_many(mib)) else {
            let limit = quota.map_or(0, Quota::limit);
            let message = format!(
                "{mib} MiB more would exceed the {limit} MiB that this plugin may have for large payloads"
            );
            self.refuse_extent(from, id, Failure::new(Code::Overloaded, message));
            return Ok(Weight::Charged);
        };
        let extent = Extent {
            len,
            stage: Stage::Writer,
            _charge: charge,
        };
        self.extents.insert(id, extent);
        self.deadlines
            .set(Awaited::Extent(end, number), Some(now + self.step));
        self.ask(from, Effect::NewExtent(from, id, len));
        Ok(Weight::Charged)
    }

    /// Moves an extent on if it is where it should be; `None` when its link is gone meanwhile.
    fn advance(
        &mut self,
        from: PluginId,
        own: LinkEnd,
        id: ExtentId,
        (stage, next): (Stage, Stage),
    ) -> Result<Option<u32>, Failure> {
        if self.own_link(from, own)?.is_none() {
            return Ok(None);
        }
        match self.extents.get_mut(&id) {
            Some(extent) if extent.stage == stage => {
                extent.stage = next;
                Ok(Some(extent.len))
            }
            _ => Err(protocol("it acknowledged an extent that was not awaited")),
        }
    }

    pub(super) fn extent_mapped(
        &mut self,
        from: PluginId,
        id: ExtentId,
    ) -> Result<Weight, Failure> {
        let Some(_) = self.advance(from, id.0, id, (Stage::Writer, Stage::Sealing))? else {
            return self.acknowledged(from);
        };
        self.effects.push_back(Effect::SealExtent(from, id));
        self.acknowledged(from)
    }

    /// The shell has closed an extent to further writers.
    pub(crate) fn extent_sealed(&mut self, id: ExtentId, now: Instant) {
        let (Some(link), Some(extent)) = (self.links.get(&id.0.link), self.extents.get_mut(&id))
        else {
            return;
        };
        extent.stage = Stage::Reader;
        let (end, len) = (id.0.other(), extent.len);
        let to = link.plugin(end.side);
        self.deadlines
            .set(Awaited::Extent(id.0, id.1), Some(now + self.step));
        let number = id.1;
        let effect = Effect::PeerExtent {
            to,
            end,
            number,
            len,
        };
        self.ask(to, effect);
    }

    pub(super) fn peer_extent_mapped(
        &mut self,
        from: PluginId,
        (end, number): ExtentId,
    ) -> Result<Weight, Failure> {
        let id = (end.other(), number);
        let Some(_) = self.advance(from, end, id, (Stage::Reader, Stage::Ready))? else {
            return self.acknowledged(from);
        };
        self.deadlines.set(Awaited::Extent(id.0, number), None);
        self.effects.push_back(Effect::ExtentRead(from, id));
        if let Some(link) = self.links.get(&end.link) {
            let writer = link.plugin(id.0.side);
            self.send(writer, ToPlugin::ExtentReady { end: id.0, number });
        }
        self.acknowledged(from)
    }

    pub(super) fn return_extent(
        &mut self,
        from: PluginId,
        id: ExtentId,
    ) -> Result<Weight, Failure> {
        if self
            .advance(from, id.0, id, (Stage::Ready, Stage::Ready))?
            .is_none()
        {
            return Ok(Weight::Charged);
        }
        self.extents.remove(&id);
        if let Some(link) = self.links.get(&id.0.link) {
            let end = id.0.other();
            let reader = link.plugin(end.side);
            self.send(reader, ToPlugin::PeerExtentGone { end, number: id.1 });
        }
        Ok(Weight::Charged)
    }

    /// The shell could not make an extent.
    pub(crate) fn extent_failed(&mut self, to: PluginId, id: ExtentId, failure: Failure) {
        self.forget_extent(id);
        self.refuse_extent(to, id, failure);
    }

    fn refuse_extent(&mut self, to: PluginId, (end, number): ExtentId, failure: Failure) {
        let refused = ToPlugin::ExtentRefused {
            end,
            number,
            failure,
        };
        self.send(to, refused);
    }

    /// Forgets the extents of a link that has ended.
    pub(super) fn drop_extents(&mut self, link: u64, plugins: [PluginId; 2]) {
        let ids: Vec<ExtentId> = self
            .extents
            .range(of_link(link))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.forget_extent(id);
            self.effects.push_back(Effect::ForgetExtent(id, plugins));
        }
    }

    fn forget_extent(&mut self, id: ExtentId) {
        self.extents.remove(&id);
        self.deadlines.set(Awaited::Extent(id.0, id.1), None);
    }

    /// Ends the session of whoever keeps an extent waiting.
    pub(super) fn extent_is_late(&mut self, id: ExtentId) {
        let (Some(link), Some(extent)) = (self.links.get(&id.0.link), self.extents.get(&id)) else {
            return;
        };
        let late = match extent.stage {
            Stage::Writer => Some((id.0.side, "map its extent")),
            Stage::Reader => Some((id.0.other().side, "map its peer's extent")),
            Stage::Sealing | Stage::Ready => None,
        };
        if let Some((side, what)) = late {
            let plugin = link.plugin(side);
            self.late(plugin, what);
        }
    }

    /// Bytes of extents on a link, both sides together.
    pub(crate) fn extent_bytes(&self, link: u64) -> u64 {
        let extents = self.extents.range(of_link(link));
        extents.map(|(_, extent)| u64::from(extent.len)).sum()
    }
}

/// The ids that extents of a link can have.
fn of_link(link: u64) -> RangeInclusive<ExtentId> {
    let end = |side| LinkEnd { link, side };
    (end(0), u8::MIN)..=(end(u8::MAX), u8::MAX)
}
