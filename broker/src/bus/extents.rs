//! What only extents have of the life of memory (`memory.rs`): they are wanted, wait for room, are
//! charged, and are refused alone.
//!
//! ```text
//! stage     entered by                     left by
//! Waiting   Want, not charged yet          its turn to allocate, and a charge that came free; or
//!                                          its time is up: refused where it cannot be charged
//! Writer    Map to its writer, charged     Mapped of the writer, which has allocated it; or
//!                                          Failed, which it could not
//! Sealing   Mapped of the writer           the shell has closed it to further writers, and then
//!                                          found all of it allocated; it is handed over at once
//! Reader    Map to its reader              Mapped of the reader
//! Ready     Ready to the writer            Return, or the end of the link
//! (held)    let go, still charged          the shell has found that nobody holds the memory
//! ```
//!
//! A few writers allocate at a time, in turn, so that they do not take all processors: each for as long
//! as it needs, but no longer than 100 ms before it is the next one's turn, and nobody waits for its turn
//! for more than two seconds.
//!
//! What has left the last stage has no number any more and belongs to no link; how it stays charged
//! stands in [`charges`](super::charges).
//!
//! Where a side cannot use an extent, only that extent is refused to its writer: link and sessions stay.
//!
//! ```text
//! event                        what happens
//! Failed of the writer         let go; the writer's library tells who waits for it
//! Failed of the reader         let go; Refused to the writer, which names the reader
//! a side does not answer       nothing: the extent keeps charge and number until the answer comes or the
//!                              link ends. Each caller that waits for it has a deadline of its own
//! cannot be sealed in time     the writer's session ends: only it can keep the kernel from sealing
//! ```
//!
//! So a reader that is stopped for longer than a step ends no call that has more time than that, and as
//! a writer's library wants one extent of a link at a time, such a reader lets the writer's charge grow by one.
//!
//! A number may be used again once it was given back or refused.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, LinkEnd, MemoryId, MemoryToPlugin, Role};
use callgate_layout::payload::{MAX_EXTENTS, is_extent_len};

use super::charges::{Charged, Short};
use super::{Awaited, Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::stages::Stage;

/// How long an extent may wait until what was returned is free: longer than an honest peer takes to
/// unmap it on a busy machine, shorter than most callers wait, who are then told why.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most extents of the whole bus that wait.
const MAX_WAITING: usize = 256;
/// How long an allocation keeps others waiting: longer than one takes where nobody is in its way.
const TURN: Duration = Duration::from_millis(100);
/// In how many of a step's times an extent must be sealed: the kernel waits for who is allocating or
/// writing in it.
const SEALING: u32 = 5;

/// An extent in some stage.
#[derive(Debug)]
pub(super) struct Extent {
    len: u32,
    stage: Stage,
    /// `None` as long as it waits.
    charged: Option<Charged>,
}

impl Bus {
    /// How far an extent is, if there is one.
    pub(super) fn extent_stage(&mut self, memory: MemoryId) -> Option<&mut Stage> {
        let extent = self.extents.get_mut(&memory)?;
        Some(&mut extent.stage)
    }

    pub(super) fn want_extent(
        &mut self,
        from: PluginId,
        memory: MemoryId,
        len: u32,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let MemoryId::Extent { end, number } = memory else {
            return Err(protocol("it wanted an outbox, which comes with its link"));
        };
        match self.own_link(from, end)? {
            None => return Ok(Weight::Charged),
            // A caller that does not wait for its link makes an honest provider answer early.
            Some(link) if !link.is_up() => {
                let failure = Failure::new(Code::NotReady, "the link is not set up yet");
                self.refuse_extent(from, memory, failure);
                return Ok(Weight::Charged);
            }
            Some(_) => {}
        }
        if number >= MAX_EXTENTS || !is_extent_len(len) || self.extents.contains_key(&memory) {
            return Err(protocol("it wanted an extent that cannot be"));
        }
        let extent = Extent {
            len,
            stage: Stage::Waiting,
            charged: None,
        };
        self.extents.insert(memory, extent);
        self.begin_or_wait(from, memory, now);
        Ok(Weight::Charged)
    }

    /// Has an extent made now or, where that may help, later; else it is refused.
    fn begin_or_wait(&mut self, from: PluginId, memory: MemoryId, now: Instant) {
        // All that wait are looked through whenever something comes free.
        let may_wait = self.waiting.len() < MAX_WAITING;
        match self.begin_extent(memory, now, may_wait) {
            Ok(()) => {}
            Err(short) if short.may_pass && may_wait => {
                self.waiting.push(memory);
                let due = Some(now + PATIENCE);
                self.deadlines.set(Awaited::Memory(memory.into()), due);
                self.await_turns();
            }
            Err(short) => self.extent_not_made(from, memory, overloaded(short)),
        }
    }

    /// Charges an extent that waits, and has it made; perhaps only when its turn has come.
    fn begin_extent(
        &mut self,
        memory: MemoryId,
        now: Instant,
        takes_turns: bool,
    ) -> Result<(), Short> {
        self.allocating.retain(|(_, until)| *until > now);
        if takes_turns && self.allocating.len() >= self.turns {
            let (why, may_pass) = ("other plugins allocate memory".into(), true);
            return Err(Short { why, may_pass });
        }
        let (Some(users), Some(extent)) = (self.users(memory), self.extents.get_mut(&memory))
        else {
            return Ok(());
        };
        let Some(member) = self.members.get(&users[0]) else {
            return Ok(());
        };
        let charged = self.charges.charge(&member.extents, users, extent.len)?;
        extent.charged = Some(charged);
        extent.stage = Stage::Writer;
        let (to, len) = (users[0], extent.len);
        self.allocating.push((memory, now + TURN));
        // It waits no longer.
        self.deadlines.set(Awaited::Memory(memory.into()), None);
        self.ask(to, Effect::Make { to, memory, len });
        Ok(())
    }

    /// Nobody holds any more what is numbered so: others may have its place.
    pub(crate) fn extents_freed(&mut self, serials: &[u64], now: Instant) {
        for serial in serials {
            self.charges.freed(*serial);
            self.shares.freed(*serial);
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
    fn end_turn(&mut self, memory: MemoryId, now: Instant) {
        self.allocating.retain(|(other, _)| *other != memory);
        self.begin_waiting(now);
    }

    /// Arranges to look when the next turn is over at the latest, if anybody waits.
    fn await_turns(&mut self) {
        let ends = self.allocating.iter().map(|(_, until)| *until);
        let next = ends.min().filter(|_| !self.waiting.is_empty());
        self.deadlines.set(Awaited::Turn, next);
    }

    /// The writer has allocated and mapped an extent, which is sealed now.
    pub(super) fn extent_allocated(&mut self, memory: MemoryId, now: Instant) {
        let due = now + self.sealing_time();
        self.deadlines
            .set(Awaited::Memory(memory.into()), Some(due));
        self.end_turn(memory, now);
    }

    /// An extent is sealed, and all of it is allocated: its reader gets it.
    pub(super) fn extent_sealed(&mut self, memory: MemoryId) {
        let Some([_, reader]) = self.users(memory) else {
            return;
        };
        let stage = self.extent_stage(memory);
        if stage.is_some_and(|stage| stage.sealed() && stage.hand_over()) {
            self.deadlines.set(Awaited::Memory(memory.into()), None);
            self.ask(reader, Effect::HandOver(reader, memory));
        }
    }

    /// The reader has mapped an extent: its writer may use it.
    pub(super) fn extent_ready(&mut self, memory: MemoryId) {
        if let Some([writer, _]) = self.users(memory) {
            self.send(writer, MemoryToPlugin::Ready { memory });
        }
    }

    /// Refuses an extent to its writer because it waits for room in vain, or ends the session of a
    /// writer that keeps it from being sealed.
    pub(super) fn extent_is_late(&mut self, memory: MemoryId, now: Instant) {
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
                let time = self.sealing_time();
                self.late_within(writer, "let its extent be sealed", time);
            }
            // Those have no deadline.
            Stage::Writer | Stage::Sealed | Stage::Reader | Stage::Ready => {}
        }
    }

    /// How long the kernel may keep the broker from sealing memory.
    pub(super) fn sealing_time(&self) -> Duration {
        self.step.saturating_mul(SEALING)
    }

    /// A side says that it cannot use an extent.
    pub(super) fn extent_failed(
        &mut self,
        from: PluginId,
        (memory, role): (MemoryId, Role),
        failure: &Failure,
        now: Instant,
    ) {
        let Some(users) = self.users(memory) else {
            return;
        };
        match role {
            Role::Writer => {
                // The reader was not sent it.
                self.let_go(memory, [from, from]);
                self.end_turn(memory, now);
            }
            Role::Reader => {
                self.let_go(memory, users);
                let (writer, reader) = (users[0], self.label_of(from));
                let message = format!(
                    "{reader} cannot use the memory for this payload: {}",
                    failure.message
                );
                self.refuse_extent(writer, memory, Failure::new(Code::System, message));
            }
        }
    }

    /// An extent could not be made: nobody has it.
    pub(super) fn extent_not_made(&mut self, to: PluginId, memory: MemoryId, failure: Failure) {
        self.forget_extent(memory);
        self.refuse_extent(to, memory, failure);
    }

    /// The shell gives up an extent that its writer has.
    pub(super) fn extent_given_up(&mut self, to: PluginId, memory: MemoryId, failure: Failure) {
        self.let_go(memory, [to, to]);
        self.refuse_extent(to, memory, failure);
    }

    fn refuse_extent(&mut self, to: PluginId, memory: MemoryId, failure: Failure) {
        self.send(to, MemoryToPlugin::Refused { memory, failure });
    }

    /// Gives an extent's number up, and what is charged for it.
    pub(super) fn forget_extent(&mut self, memory: MemoryId) -> Option<Charged> {
        self.deadlines.set(Awaited::Memory(memory.into()), None);
        self.waiting.retain(|other| *other != memory);
        self.extents.remove(&memory)?.charged
    }

    /// The extents of a link, of both sides.
    pub(super) fn extents_of(&self, link: u64) -> impl Iterator<Item = MemoryId> {
        self.extents.range(of_link(link)).map(|(id, _)| *id)
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
fn of_link(link: u64) -> RangeInclusive<MemoryId> {
    let id = |side, number| MemoryId::Extent {
        end: LinkEnd { link, side },
        number,
    };
    id(0, u8::MIN)..=id(u8::MAX, u8::MAX)
}
