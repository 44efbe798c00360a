//! The extents of links: made when a side wants one, acknowledged step by step, given back.
//!
//! ```text
//! stage     entered by                     left by
//! Waiting   WantExtent, not charged yet    its turn to allocate, and a charge that came free; or
//!                                          its time is up: refused where it cannot be charged
//! Writer    NewExtent, charged             ExtentMapped of the writer, which has allocated it;
//!                                          or ExtentFailed, which it could not
//! Sealing   ExtentMapped                   the shell has closed it to further writers, and then
//!                                          found all of it allocated
//! Reader    PeerExtent to the reader       PeerExtentMapped of the reader
//! Ready     ExtentReady to the writer      ReturnExtent, or the end of the link
//! (held)    let go, still charged          the shell has found that nobody holds the memory
//! Late      a deadline has passed          the acknowledgement, or the end of the link
//! ```
//!
//! A few writers allocate at a time, in turn, so that they do not take all processors: each for as long
//! as it needs, but no longer than 100 ms before it is the next one's turn, and nobody waits for its turn
//! for more than two seconds.
//!
//! What has left the last stage has no number any more and belongs to no link; how it stays charged
//! stands in [`charges`](super::charges).
//!
//! Where a side cannot use an extent, or does not acknowledge it in time, only that extent is
//! refused to its writer: link and sessions stay.
//!
//! ```text
//! event                        what happens
//! ExtentFailed of the writer   let go; the writer's library tells who waits for it
//! ExtentFailed of the reader   let go; ExtentRefused to the writer, which names the reader
//! no acknowledgement in time   ExtentRefused to the writer, and the stage is Late: the extent
//!                              keeps charge and number, because the one who is late may have the
//!                              memory, and may acknowledge it yet
//! the late acknowledgement     let go; a reader is told PeerExtentGone
//! cannot be sealed in time     the writer's session ends: only it can keep the kernel from sealing
//! ```
//!
//! A number may be used again once it was given back or refused; while an extent of this number is
//! late, another one is refused.

mod late;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, LinkEnd, ToPlugin};
use callgate_layout::payload::{MAX_EXTENTS, is_extent_len};

use super::charges::{Charged, Short, Users};
use super::{Awaited, Bus, Weight, protocol};
use crate::effect::Effect;
use crate::registry::PluginId;

/// How long an extent may wait until what was returned is free: longer than an honest peer takes to
/// unmap it on a busy machine, shorter than most callers wait, who are then told why.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most extents of the whole bus that wait.
const MAX_WAITING: usize = 256;
/// How long an allocation keeps others waiting: longer than one takes where nobody is in its way.
const TURN: Duration = Duration::from_millis(100);
/// In how many of a step's times a writer must have allocated an extent: the kernel may have to make
/// room for it first.
const ALLOCATING: u32 = 5;

/// An extent by its writer's end and its number there.
pub(crate) type ExtentId = (LinkEnd, u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
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
    /// `None` as long as it waits.
    charged: Option<Charged>,
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
        let extent = Extent {
            len,
            stage: Stage::Waiting,
            charged: None,
        };
        self.extents.insert(id, extent);
        // All that wait are looked through whenever something comes free.
        let may_wait = self.waiting.len() < MAX_WAITING;
        match self.begin_extent(id, now, may_wait) {
            Ok(()) => {}
            Err(short) if short.may_pass && may_wait => {
                self.waiting.push(id);
                self.deadlines
                    .set(Awaited::Extent(end, number), Some(now + PATIENCE));
                self.await_turns();
            }
            Err(short) => self.extent_failed(from, id, overloaded(short)),
        }
        Ok(Weight::Charged)
    }

    /// Charges an extent that waits, and has it made; perhaps only when its turn has come.
    fn begin_extent(&mut self, id: ExtentId, now: Instant, takes_turns: bool) -> Result<(), Short> {
        self.allocating.retain(|(_, until)| *until > now);
        if takes_turns && self.allocating.len() >= self.turns {
            let (why, may_pass) = ("other plugins allocate memory".into(), true);
            return Err(Short { why, may_pass });
        }
        let (Some(users), Some(extent)) = (self.users(id), self.extents.get_mut(&id)) else {
            return Ok(());
        };
        let Some(member) = self.members.get(&users[0]) else {
            return Ok(());
        };
        let charged = self.charges.charge(&member.extents, users, extent.len)?;
        extent.charged = Some(charged);
        extent.stage = Stage::Writer;
        let len = extent.len;
        self.allocating.push((id, now + TURN));
        self.deadlines.set(
            Awaited::Extent(id.0, id.1),
            Some(now + self.step.saturating_mul(ALLOCATING)),
        );
        self.ask(users[0], Effect::NewExtent(users[0], id, len));
        Ok(())
    }

    /// Nobody holds any more what is numbered so: others may have its place.
    pub(crate) fn extents_freed(&mut self, serials: &[u64], now: Instant) {
        for serial in serials {
            self.charges.freed(*serial);
        }
        self.begin_waiting(now);
    }

    /// Begins those that wait and need not any more.
    pub(super) fn begin_waiting(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.waiting) {
            if self.begin_extent(id, now, true).is_err() {
                self.waiting.push(id);
            }
        }
        self.await_turns();
    }

    /// A writer has allocated, or could not: it is the next one's turn.
    fn end_turn(&mut self, id: ExtentId, now: Instant) {
        self.allocating.retain(|(other, _)| *other != id);
        self.begin_waiting(now);
    }

    /// Arranges to look when the next turn is over at the latest, if anybody waits.
    fn await_turns(&mut self) {
        let ends = self.allocating.iter().map(|(_, until)| *until);
        let next = ends.min().filter(|_| !self.waiting.is_empty());
        self.deadlines.set(Awaited::Turn, next);
    }

    /// The writer and the reader of an extent, while its link lives.
    fn users(&self, (end, _): ExtentId) -> Option<Users> {
        let link = self.links.get(&end.link)?;
        Some([link.plugin(end.side), link.plugin(end.other().side)])
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

    pub(super) fn extent_mapped(
        &mut self,
        from: PluginId,
        id: ExtentId,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let Some(_) = self.advance(from, id.0, id, (Stage::Writer, Stage::Sealing))? else {
            return self.acknowledged(from);
        };
        let due = now + self.step.saturating_mul(ALLOCATING);
        self.deadlines.set(Awaited::Extent(id.0, id.1), Some(due));
        self.end_turn(id, now);
        self.effects.push_back(Effect::SealExtent(from, id));
        self.acknowledged(from)
    }

    /// The shell has closed an extent to further writers, and all of it is allocated.
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
        if let Some(users) = self.users(id) {
            let (end, number) = (id.0.other(), id.1);
            self.send(users[1], ToPlugin::PeerExtentGone { end, number });
            self.let_go(id, users);
        }
        Ok(Weight::Charged)
    }

    /// An extent could not be made: nobody has it.
    pub(crate) fn extent_failed(&mut self, to: PluginId, id: ExtentId, failure: Failure) {
        self.forget_extent(id);
        self.refuse_extent(to, id, failure);
    }

    /// The shell gives up an extent that its writer has.
    pub(crate) fn extent_given_up(&mut self, to: PluginId, id: ExtentId, failure: Failure) {
        self.let_go(id, [to, to]);
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

    /// Forgets the extents of a link between these two that has ended.
    pub(super) fn drop_extents(&mut self, link: u64, plugins: [PluginId; 2]) {
        let ids: Vec<ExtentId> = self
            .extents
            .range(of_link(link))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let [a, b] = plugins;
            self.let_go(id, if id.0.side == 0 { [a, b] } else { [b, a] });
        }
    }

    /// Gives an extent's number up. Its memory stays charged until nobody holds it.
    fn let_go(&mut self, id: ExtentId, users: Users) {
        if let Some(charged) = self.forget_extent(id) {
            let serial = self.charges.keep(users, charged);
            self.effects
                .push_back(Effect::LetGoExtent(id, serial, users));
        }
    }

    fn forget_extent(&mut self, id: ExtentId) -> Option<Charged> {
        self.deadlines.set(Awaited::Extent(id.0, id.1), None);
        self.waiting.retain(|other| *other != id);
        self.extents.remove(&id)?.charged
    }

    /// Bytes of extents on a link, both sides together.
    pub(crate) fn extent_bytes(&self, link: u64) -> u64 {
        let extents = self.extents.range(of_link(link));
        let made = extents.filter(|(_, extent)| extent.charged.is_some());
        made.map(|(_, extent)| u64::from(extent.len)).sum()
    }
}

fn overloaded(short: Short) -> Failure {
    Failure::new(Code::Overloaded, short.why)
}

/// The ids that extents of a link can have.
fn of_link(link: u64) -> RangeInclusive<ExtentId> {
    let end = |side| LinkEnd { link, side };
    (end(0), u8::MIN)..=(end(u8::MAX), u8::MAX)
}
