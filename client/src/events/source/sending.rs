//! What a source's lock guards: its rings, and where it has places.

use std::sync::Arc;

use callgate_layout::Encoding;

use super::event::Encoded;
use super::ring::{Ring, RingKey};
use crate::base::error::Error;
use crate::events::listeners::Sleeper;
use crate::link::topic_words::TopicWord;

/// Rings of archives are written.
pub(super) const ARCHIVE: u32 = 1;
/// Rings of JSON are written.
pub(super) const JSON: u32 = 2;
/// Nothing is sent any more.
pub(super) const ENDED: u32 = 4;

/// A place of the source in one membership.
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
    /// Those of older memberships first.
    pub(super) rings: Vec<Ring>,
    /// The oldest first.
    pub(super) placements: Vec<Placement>,
    /// Why nothing is sent any more, where that is so.
    pub(super) ended: Option<Error>,
    /// The broker is to say why nothing follows: see [`Source::leave_the_end_to_the_broker`](super::Source::leave_the_end_to_the_broker).
    pub(super) ends_unsaid: bool,
}

/// Why an event was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// There is a ring for which it was not encoded.
    Missing,
    /// Somebody who bounds is in the way: in that ring, of a payload of that length.
    Blocked(RingKey, usize),
}

impl Sending {
    /// Which encodings are to be written, as the source keeps it for those who look without its lock.
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

    /// Writes an event in all rings, or in none. Nobody sees it before [`Sending::publish`].
    #[inline]
    pub(super) fn write(
        &mut self,
        event: &Encoded<'_>,
        time: u64,
        lossless: bool,
    ) -> Result<(), Stop> {
        if self.rings.is_empty() {
            // The last listener has gone since this event was written.
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

    /// Shows what was written.
    #[inline]
    pub(super) fn publish(&mut self) {
        for ring in &mut self.rings {
            ring.writer.publish();
        }
    }

    /// Whoever sleeps and is to be woken because of what was written: one fence and one load for each membership, if nobody does.
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
