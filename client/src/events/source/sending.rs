//! What a source's lock guards: its rings, and its places in memberships.

use std::sync::Arc;

use callgate_layout::Encoding;

use super::event::Encoded;
use super::ring::{Ring, RingKey};
use crate::base::error::Error;
use crate::events::listeners::Sleeper;
use crate::link::topic_words::TopicWord;

/// There are rings of archives.
pub(super) const ARCHIVE: u32 = 1;
/// There are rings of JSON.
pub(super) const JSON: u32 = 2;
/// The source has ended.
pub(super) const ENDED: u32 = 4;

/// The place of a source in one membership.
#[derive(Debug)]
pub(super) struct Placement {
    /// The membership's number.
    pub(super) of: u64,
    pub(super) word: Arc<TopicWord>,
}

#[derive(Debug, Default)]
pub(super) struct Sending {
    /// The number of the next event.
    pub(super) next: u64,
    /// The rings, sorted by membership, the oldest first.
    pub(super) rings: Vec<Ring>,
    /// Sorted by membership, the oldest first.
    pub(super) placements: Vec<Placement>,
    /// Why nothing can be sent any more; `None` while it can.
    pub(super) ended: Option<Error>,
    /// Whether the broker announces the end: see
    /// [`Source::leave_the_end_to_the_broker`](super::Source::leave_the_end_to_the_broker).
    pub(super) ends_unsaid: bool,
}

/// Why an event was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A ring needs an encoding in which the event was not written.
    Missing,
    /// A listener that bounds is in the way: in that ring, of a payload of that length.
    Blocked(RingKey, usize),
}

impl Sending {
    /// The encodings that are wanted, as bits, for senders that look without the lock.
    pub(super) fn wanted(&self) -> u32 {
        if self.ended.is_some() {
            return ENDED;
        }
        let bit = |ring: &Ring| match ring.encoding {
            Encoding::Archive => ARCHIVE,
            Encoding::Json => JSON,
        };
        self.rings.iter().fold(0, |wanted, ring| wanted | bit(ring))
    }

    /// Writes an event in all rings, or in none. No listener sees it before [`Sending::publish`].
    #[inline]
    pub(super) fn write(
        &mut self,
        event: &Encoded<'_>,
        time: u64,
        lossless: bool,
    ) -> Result<(), Stop> {
        if self.rings.is_empty() {
            // The last listener has gone since the event was encoded.
            return Ok(());
        }
        for ring in &mut self.rings {
            let (_, payload) = ring.payload(event).ok_or(Stop::Missing)?;
            if !ring.make_room(payload.len(), lossless) {
                return Err(Stop::Blocked(ring.key, payload.len()));
            }
        }
        for ring in &mut self.rings {
            if let Some((kind, payload)) = ring.payload(event) {
                ring.writer.push(kind, time, payload);
            }
        }
        self.next += 1;
        Ok(())
    }

    /// Publishes what was written.
    #[inline]
    pub(super) fn publish(&mut self) {
        for ring in &mut self.rings {
            ring.writer.publish();
        }
    }

    /// The listeners that sleep and have to be woken after a write. If none sleeps, this costs a fence and a load
    /// for each membership.
    #[inline]
    pub(super) fn sleepers(&self) -> Vec<Sleeper> {
        let mut found = Vec::new();
        for placement in &self.placements {
            if placement.word.is_armed() {
                self.find_sleepers(placement, &mut found);
            }
        }
        found
    }

    #[cold]
    fn find_sleepers(&self, placement: &Placement, found: &mut Vec<Sleeper>) {
        placement.word.disarm();
        let rings = self.rings.iter();
        let its = rings.filter(|ring| ring.key.of == placement.of);
        its.for_each(|ring| ring.listeners.sleepers(found));
    }

    pub(super) fn ring(&mut self, key: RingKey) -> Option<&mut Ring> {
        self.rings.iter_mut().find(|ring| ring.key == key)
    }

    /// The topic word in a membership.
    pub(super) fn word(&self, of: u64) -> Option<Arc<TopicWord>> {
        let placement = self
            .placements
            .iter()
            .find(|placement| placement.of == of)?;
        Some(placement.word.clone())
    }
}
