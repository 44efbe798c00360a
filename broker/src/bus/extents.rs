//! What only extents have of the life of memory (`memory.rs`): plugins ask for them, wait for room and are charged, and each can be refused
//! without ending its link.
//!
//! ```text
//! stage     entered by                         left by
//! Waiting   `Want`; not charged yet            its turn to allocate, and a charge that came free; or its time is
//!                                              over: then it is refused if it cannot be charged
//! Writer    `Map` to its writer; charged       `Mapped` of the writer, which has allocated it; or `Failed`
//! Sealing   `Mapped` of the writer             the shell has sealed it and found all of it allocated; it is
//!                                              handed over at once
//! Reader    `Map` to its reader                `Mapped` of the reader
//! Ready     `Ready` to the writer              `Return`, or the end of the link
//! (held)    let go, still charged              the shell has found that nobody holds the memory
//! ```
//!
//! Only a few writers allocate at a time, in turn, so that they do not take all processors. Each has as long as it needs, but after 100 ms
//! the next one may begin as well, and no writer waits for its turn for more than two seconds.
//!
//! In the last stage, an extent has no number any more and belongs to no link; how long it stays charged is described in
//! [`charges`](super::charges).
//!
//! Where one of the two plugins cannot use an extent, only that extent is refused to its writer: the link and the sessions stay.
//!
//! ```text
//! event                        what happens
//! `Failed` of the writer       let go; the writer's library tells its callers that wait for it
//! `Failed` of the reader       let go; `Refused` to the writer, which names the reader
//! a plugin does not answer     nothing: the extent keeps its charge and number until the answer comes or the
//!                              link ends. Each caller that waits for it has a deadline of its own
//! cannot be sealed in time     the writer's session ends: only the writer can keep the kernel from sealing
//! ```
//!
//! So a reader that is stopped for longer than a step ends no call that has more time than that. And because a writer's library asks for
//! one extent of a link at a time, such a reader makes the writer's charge grow by one extent only.
//!
//! A number may be used again once its extent was returned or refused.

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

/// How long an extent may wait until returned memory is free. Longer than an honest peer takes to unmap it on a busy machine; shorter than
/// most callers wait, who are then told the reason.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many extents of the whole bus may wait at once.
const MAX_WAITING: usize = 256;
/// How long an allocation keeps other writers waiting: longer than one takes where nothing disturbs it.
const TURN: Duration = Duration::from_millis(100);
/// An extent must be sealed within so many step times. The kernel does not seal while a process allocates or writes in it.
const SEALING: u32 = 5;

/// An extent in some stage.
#[derive(Debug)]
pub(super) struct Extent {
    len: u32,
    stage: Stage,
    /// `None` while the extent waits.
    charged: Option<Charged>,
}

impl Bus {
    /// The stage of an extent, if there is one of this number.
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
            // This can happen to an honest provider: it answers a caller that did not wait for the link to be up.
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

    /// Has an extent made now, or later where waiting may help; otherwise refuses it.
    fn begin_or_wait(&mut self, from: PluginId, memory: MemoryId, now: Instant) {
        // Limited, because all that wait are looked through whenever memory comes free.
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

    /// Charges an extent that waits and has the shell make it, unless (with `takes_turns`) too many writers are allocating.
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
        // The extent no longer waits, so its deadline for waiting goes.
        self.deadlines.set(Awaited::Memory(memory.into()), None);
        self.ask(to, Effect::Make { to, memory, len });
        Ok(())
    }

    /// The shell reports that nobody holds the memory of these numbers any more: extents that wait may take its place.
    pub(crate) fn extents_freed(&mut self, serials: &[u64], now: Instant) {
        for serial in serials {
            self.charges.freed(*serial);
            self.shares.freed(*serial);
        }
        self.begin_waiting(now);
    }

    /// Begins the extents that wait and can be charged now.
    pub(super) fn begin_waiting(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.waiting) {
            if self.begin_extent(id, now, true).is_err() {
                self.waiting.push(id);
            }
        }
        self.await_turns();
    }

    /// A writer has allocated its extent, or failed to: the next one may begin.
    fn end_turn(&mut self, memory: MemoryId, now: Instant) {
        self.allocating.retain(|(other, _)| *other != memory);
        self.begin_waiting(now);
    }

    /// If extents wait, sets a deadline for the end of the next turn.
    fn await_turns(&mut self) {
        let ends = self.allocating.iter().map(|(_, until)| *until);
        let next = ends.min().filter(|_| !self.waiting.is_empty());
        self.deadlines.set(Awaited::Turn, next);
    }

    /// The writer has allocated and mapped an extent; the shell seals it now.
    pub(super) fn extent_allocated(&mut self, memory: MemoryId, now: Instant) {
        let due = now + self.sealing_time();
        self.deadlines
            .set(Awaited::Memory(memory.into()), Some(due));
        self.end_turn(memory, now);
    }

    /// An extent is sealed, and all of it is allocated: sends it to its reader.
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

    /// The reader has mapped an extent: the writer may use it from now on.
    pub(super) fn extent_ready(&mut self, memory: MemoryId) {
        if let Some([writer, _]) = self.users(memory) {
            self.send(writer, MemoryToPlugin::Ready { memory });
        }
    }

    /// The time of an extent is over. One that waits begins now or is refused; the writer of one that cannot be sealed loses its session.
    pub(super) fn extent_is_late(&mut self, memory: MemoryId, now: Instant) {
        let (Some([writer, _]), Some(stage)) = (self.users(memory), self.extent_stage(memory))
        else {
            return;
        };
        match *stage {
            Stage::Waiting => {
                // Begun without regard to turns: other writers may have had more than theirs.
                self.waiting.retain(|other| *other != memory);
                if let Err(short) = self.begin_extent(memory, now, false) {
                    self.extent_not_made(writer, memory, overloaded(short));
                }
            }
            Stage::Sealing => {
                let time = self.sealing_time();
                self.late_within(writer, "let its extent be sealed", time);
            }
            // These stages have no deadline.
            Stage::Writer | Stage::Sealed | Stage::Reader | Stage::Ready => {}
        }
    }

    /// How long sealing some memory may take.
    pub(super) fn sealing_time(&self) -> Duration {
        self.step.saturating_mul(SEALING)
    }

    /// A plugin says that it cannot use an extent.
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
                // The reader was not sent the extent.
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

    /// The shell could not make an extent.
    pub(super) fn extent_not_made(&mut self, to: PluginId, memory: MemoryId, failure: Failure) {
        self.forget_extent(memory);
        self.refuse_extent(to, memory, failure);
    }

    /// The shell could not seal an extent that its writer has mapped.
    pub(super) fn extent_given_up(&mut self, to: PluginId, memory: MemoryId, failure: Failure) {
        self.let_go(memory, [to, to]);
        self.refuse_extent(to, memory, failure);
    }

    fn refuse_extent(&mut self, to: PluginId, memory: MemoryId, failure: Failure) {
        self.send(to, MemoryToPlugin::Refused { memory, failure });
    }

    /// Removes an extent, and returns what is charged for it.
    pub(super) fn forget_extent(&mut self, memory: MemoryId) -> Option<Charged> {
        self.deadlines.set(Awaited::Memory(memory.into()), None);
        self.waiting.retain(|other| *other != memory);
        self.extents.remove(&memory)?.charged
    }

    /// The extents of a link, those of both sides.
    pub(super) fn extents_of(&self, link: u64) -> impl Iterator<Item = MemoryId> {
        self.extents.range(of_link(link)).map(|(id, _)| *id)
    }

    /// Bytes of all extents on a link, those of both sides together.
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
