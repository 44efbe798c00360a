//! The extents of links: made when a side wants one, acknowledged step by step, given back.
//!
//! ```text
//! stage     entered by                     left by
//! Writer    WantExtent, charged            ExtentMapped of the writer
//! Sealing   ExtentMapped                   the shell has closed it to further writers
//! Reader    PeerExtent to the reader       PeerExtentMapped of the reader
//! Ready     ExtentReady to the writer      ReturnExtent, or the end of the link
//! Late      a deadline has passed          the acknowledgement, or the end of the link
//! ```
//!
//! Where a side cannot use an extent, or does not acknowledge it in time, only that extent is
//! refused to its writer: link and sessions stay.
//!
//! ```text
//! event                        what happens
//! ExtentFailed of the writer   forgotten; the writer's library tells who waits for it
//! ExtentFailed of the reader   forgotten; ExtentRefused to the writer, which names the reader
//! no acknowledgement in time   ExtentRefused to the writer, and the stage is Late: the broker
//!                              closes its descriptor, but keeps charge and number, because the
//!                              one who is late may have the memory, and may acknowledge it yet
//! the late acknowledgement     forgotten; a reader is told PeerExtentGone
//! ```
//!
//! A number may be used again once it was given back or refused; while an extent of this number is
//! late, another one is refused.

use std::ops::RangeInclusive;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, LinkEnd, ToPlugin};
use callgate_layout::payload::{MAX_EXTENTS, is_extent_len};

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
    /// Refused to its writer because this side of the link did not acknowledge it in time.
    Late(u8),
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
        let late = self.extents.get(&id).map(|extent| extent.stage);
        if let Some(Stage::Late(side)) = late {
            let failure = self.does_not_map(id, side);
            self.refuse_extent(from, id, failure);
            return Ok(Weight::Charged);
        }
        if number >= MAX_EXTENTS || !is_extent_len(len) || self.extents.contains_key(&id) {
            return Err(protocol("it wanted an extent that cannot be"));
        }
        let mib = len >> 20;
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
        if self.was_late(from, own, id) {
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

    /// Forgets an extent that this side acknowledges late; says whether it is one.
    fn was_late(&mut self, from: PluginId, own: LinkEnd, id: ExtentId) -> bool {
        let stage = self.extents.get(&id).map(|extent| extent.stage);
        if stage != Some(Stage::Late(own.side)) {
            return false;
        }
        self.forget_extent(id);
        if own != id.0 {
            let (end, number) = (own, id.1);
            self.send(from, ToPlugin::PeerExtentGone { end, number });
        }
        true
    }

    /// A side cannot use an extent: one of its own, or one of its peer's.
    pub(super) fn extent_unusable(
        &mut self,
        from: PluginId,
        end: LinkEnd,
        (own, number): (bool, u8),
        failure: &Failure,
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
        self.close_extent(id);
        self.forget_extent(id);
        if !own && let Some(link) = self.links.get(&end.link) {
            let (writer, reader) = (link.plugin(id.0.side), self.label_of(from));
            let message = format!(
                "{reader} cannot use the memory for this payload: {}",
                failure.message
            );
            self.refuse_extent(writer, id, Failure::new(Code::System, message));
        }
        Ok(weight)
    }

    /// Closes the broker's descriptor of an extent whose link is still there.
    fn close_extent(&mut self, id: ExtentId) {
        if let Some(link) = self.links.get(&id.0.link) {
            let plugins = [link.plugin(0), link.plugin(1)];
            self.effects.push_back(Effect::ForgetExtent(id, plugins));
        }
    }

    /// The shell has closed an extent before a side that is late was sent it.
    pub(crate) fn extent_unsent(&mut self, id: ExtentId) {
        let stage = self.extents.get(&id).map(|extent| extent.stage);
        if matches!(stage, Some(Stage::Late(_))) {
            self.forget_extent(id);
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

    /// Refuses an extent to its writer because one side keeps it waiting.
    pub(super) fn extent_is_late(&mut self, id: ExtentId) {
        let (Some(link), Some(extent)) = (self.links.get(&id.0.link), self.extents.get_mut(&id))
        else {
            return;
        };
        let side = match extent.stage {
            Stage::Writer => id.0.side,
            Stage::Reader => id.0.other().side,
            Stage::Sealing | Stage::Ready | Stage::Late(_) => return,
        };
        extent.stage = Stage::Late(side);
        let writer = link.plugin(id.0.side);
        let failure = self.does_not_map(id, side);
        self.close_extent(id);
        self.refuse_extent(writer, id, failure);
    }

    fn does_not_map(&self, id: ExtentId, side: u8) -> Failure {
        let plugin = self.links.get(&id.0.link).map(|link| link.plugin(side));
        let plugin = plugin.map_or_else(String::new, |plugin| self.label_of(plugin));
        let step = self.step;
        let message = format!(
            "{plugin} did not map the memory for this payload within {step:?}; it may be stopped \
             or too busy"
        );
        Failure::new(Code::Timeout, message)
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
