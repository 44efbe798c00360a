//! Rings of events: memory that one source writes, and that is sent to each plugin whose feed reads it.
//!
//! ```text
//! stage     entered by                                  left by
//! Writer    `MakeRing` to the source, charged           its `RingMade` or `RingFailed`
//! Sealing   `RingMade`                                  the shell has sealed it and found all of it allocated
//! Sealed    the same; each feed of it is sent `Follow`  the end of its last feed, unless it keeps the history
//! (held)    let go, still charged                       the shell has found that nobody holds it
//! ```
//!
//! A source has one ring for archives and one for JSON, each for as long as a feed reads it. The ring in which it keeps its history is made
//! at the offer, and stays. A ring is charged like an extent, in whole MiB, to the plugin that writes it. A ring that is no longer needed
//! is kept until its source has answered, so that a source never has more than one ring under way for each encoding.

use std::collections::BTreeSet;
use std::time::Instant;

use callgate_layout::control::{Failure, Role, SourceToPlugin};
use callgate_layout::events::{TWIN_FACTOR, ring_len};
use callgate_layout::{Code, Encoding};

use super::charges::Charged;
use super::{Awaited, Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::stages::{OutOfOrder, Stage};

/// A ring in some stage.
#[derive(Debug)]
pub(super) struct Ring {
    source: u64,
    sender: PluginId,
    encoding: Encoding,
    len: u32,
    stage: Stage,
    charged: Charged,
    /// The feeds that read the ring, or wait for it.
    feeds: BTreeSet<u64>,
}

impl Ring {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    fn is_ready(&self) -> bool {
        self.stage == Stage::Sealed
    }
}

impl Bus {
    /// The ring of a source for an encoding; has one made if there is none.
    pub(super) fn need_ring(&mut self, source: u64, encoding: Encoding) -> Result<u64, Failure> {
        let gone = || Failure::new(Code::ProviderGone, "the source has ended");
        let of = self.topics.source_mut(source).ok_or_else(gone)?;
        if let Some(ring) = *of.ring_mut(encoding) {
            return Ok(ring);
        }
        let (sender, request) = (of.plugin, of.wanted.request);
        let capacity = match encoding {
            Encoding::Archive => of.wanted.capacity,
            Encoding::Json => of.wanted.capacity * TWIN_FACTOR,
        };
        let len = ring_len(capacity);
        let member = self.members.get(&sender).ok_or_else(gone)?;
        let charged = self.charges.charge_ring(&member.extents, sender, len);
        let charged = charged.map_err(|short| {
            let message = format!(
                "{} cannot have memory for its events: {}",
                self.label_of(sender),
                short.why
            );
            Failure::new(Code::Overloaded, message)
        })?;
        let ring = self.topics.number();
        if let Some(of) = self.topics.source_mut(source) {
            *of.ring_mut(encoding) = Some(ring);
        }
        let made = Ring {
            source,
            sender,
            encoding,
            len,
            stage: Stage::Writer,
            charged,
            feeds: BTreeSet::new(),
        };
        self.rings.insert(ring, made);
        let record = SourceToPlugin::MakeRing {
            request,
            ring,
            encoding,
            len,
        };
        let effect = Effect::MakeRing {
            to: sender,
            ring,
            len,
            record,
        };
        self.ask(sender, effect);
        Ok(ring)
    }

    /// Whether there is a ring of this number, sealed and allocated in full.
    pub(crate) fn has_ring(&self, ring: u64) -> bool {
        self.rings.get(&ring).is_some_and(Ring::is_ready)
    }

    /// Adds a feed to a ring. Returns whether the ring is ready; otherwise the feed waits for it.
    pub(super) fn read_ring(&mut self, ring: u64, feed: u64) -> bool {
        let Some(ring) = self.rings.get_mut(&ring) else {
            return false;
        };
        ring.feeds.insert(feed);
        ring.is_ready()
    }

    /// A feed of a ring has ended: the ring goes with its last feed.
    pub(super) fn leave_ring(&mut self, ring: u64, feed: u64) {
        if let Some(ring) = self.rings.get_mut(&ring) {
            ring.feeds.remove(&feed);
        }
        self.drop_unused_ring(ring);
    }

    /// The ring that a plugin names, if the plugin writes it; an error if another does or there never was one. `None` if it has ended
    /// meanwhile: the plugin's record and the broker's have crossed.
    fn own_ring(&mut self, from: PluginId, ring: u64) -> Result<Option<&mut Ring>, Failure> {
        if !self.topics.was_given(ring) {
            return Err(protocol("it named a ring that there never was"));
        }
        match self.rings.get_mut(&ring) {
            Some(ring) if ring.sender != from => {
                Err(protocol("it named a ring that is not its own"))
            }
            ring => Ok(ring),
        }
    }

    /// A source has allocated and mapped a ring; the shell seals it now.
    pub(super) fn ring_made(
        &mut self,
        from: PluginId,
        ring: u64,
        now: Instant,
    ) -> Result<Weight, Failure> {
        if let Some(made) = self.own_ring(from, ring)? {
            made.stage.mapped(Role::Writer).map_err(not_awaited)?;
            let memory = AnyMemory::Ring(ring);
            self.effects.push_back(Effect::Seal(from, memory));
            let due = now + self.sealing_time();
            self.deadlines.set(Awaited::Memory(memory), Some(due));
        }
        self.acknowledged(from)
    }

    /// A source cannot allocate or map a ring.
    pub(super) fn ring_failed(
        &mut self,
        from: PluginId,
        ring: u64,
        failure: &Failure,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let Some(failed) = self.own_ring(from, ring)? else {
            return self.acknowledged(from);
        };
        failed.stage.may_fail(Role::Writer).map_err(not_awaited)?;
        let weight = self.acknowledged(from)?;
        let code = Code::from_u16(failure.code).unwrap_or(Code::System);
        let message = format!(
            "{} cannot have memory for its events: {}",
            self.label_of(from),
            failure.message
        );
        self.lose_ring(ring, &Failure::new(code, message), true, now);
        Ok(weight)
    }

    /// A ring is sealed, and all of it is allocated: sends it to the plugins whose feeds wait for it.
    pub(super) fn ring_sealed(&mut self, ring: u64, now: Instant) {
        let Some(sealed) = self.rings.get_mut(&ring) else {
            return;
        };
        if !sealed.stage.sealed() {
            return;
        }
        let feeds = sealed.feeds.clone();
        let memory = AnyMemory::Ring(ring);
        self.deadlines.set(Awaited::Memory(memory), None);
        for feed in feeds {
            self.follow(feed, now);
        }
        self.drop_unused_ring(ring);
    }

    /// The shell could not make a ring.
    pub(super) fn ring_not_made(&mut self, ring: u64, failure: &Failure, now: Instant) {
        self.lose_ring(ring, failure, false, now);
    }

    /// The shell could not seal a ring that its source has mapped.
    pub(super) fn ring_given_up(&mut self, ring: u64, failure: &Failure, now: Instant) {
        let Some(sender) = self.rings.get(&ring).map(|ring| ring.sender) else {
            return;
        };
        self.lose_ring(ring, failure, true, now);
        self.send(sender, SourceToPlugin::DropRing { ring });
    }

    /// The time for sealing a ring is over: only its source can keep the kernel from that, so its session ends.
    pub(super) fn ring_is_late(&mut self, ring: u64) {
        if let Some(ring) = self.rings.get(&ring) {
            let (sender, time) = (ring.sender, self.sealing_time());
            self.late_within(sender, "let its ring of events be sealed", time);
        }
    }

    /// Removes a ring that could not be set up, and ends its feeds, which are tried again later.
    fn lose_ring(&mut self, number: u64, failure: &Failure, was_made: bool, now: Instant) {
        let Some(ring) = self.take_ring(number) else {
            return;
        };
        let feeds = ring.feeds.clone();
        if was_made {
            self.let_ring_go(number, ring);
        }
        for feed in feeds {
            self.feed_failed(feed, Some(failure), now);
        }
    }

    /// Lets a ring go that no feed reads and that keeps no history.
    fn drop_unused_ring(&mut self, number: u64) {
        let Some(ring) = self.rings.get(&number) else {
            return;
        };
        let source = self.topics.source(ring.source);
        let keeps = source.and_then(|source| source.history_in()) == Some(ring.encoding);
        if keeps || !ring.feeds.is_empty() || !ring.is_ready() {
            return;
        }
        let sender = ring.sender;
        if let Some(ring) = self.take_ring(number) {
            self.tell(sender, SourceToPlugin::DropRing { ring: number });
            self.let_ring_go(number, ring);
        }
    }

    /// Lets the rings of a source go that has ended.
    pub(super) fn let_rings_go(&mut self, rings: [Option<u64>; 2]) {
        for number in rings.into_iter().flatten() {
            if let Some(ring) = self.take_ring(number) {
                self.let_ring_go(number, ring);
            }
        }
    }

    fn take_ring(&mut self, number: u64) -> Option<Ring> {
        let memory = AnyMemory::Ring(number);
        self.deadlines.set(Awaited::Memory(memory), None);
        let ring = self.rings.remove(&number)?;
        if let Some(source) = self.topics.source_mut(ring.source) {
            *source.ring_mut(ring.encoding) = None;
        }
        Some(ring)
    }

    /// Has the shell let a ring go, and keeps it charged until nobody holds it.
    fn let_ring_go(&mut self, number: u64, ring: Ring) {
        let users = [ring.sender; 2];
        let serial = self.charges.keep(users, ring.charged);
        self.effects.push_back(Effect::LetGo {
            memory: AnyMemory::Ring(number),
            users,
            serial: Some(serial),
        });
    }
}

fn not_awaited(_: OutOfOrder) -> Failure {
    protocol("it acknowledged a ring of events that was not awaited")
}
