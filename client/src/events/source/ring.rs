//! One ring of a source, and who listens to it.

use callgate_layout::events::{Kind, RingWriter};
use callgate_layout::{Encoding, clock};

use super::event::Encoded;
use crate::events::listeners::Listeners;

/// `oldest` moves by this part of the capacity at a time, so that feeds which look at it have it in their caches.
const STEPS: u64 = 16;

/// What is written for an event whose JSON is longer than a quarter of the ring.
const TOO_LONG: &[u8] =
    b"the event's JSON is longer than a quarter of the ring in which it travels";

/// Which ring of which membership: the numbers of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingKey {
    pub(crate) of: u64,
    pub(crate) ring: u64,
}

#[derive(Debug)]
pub(super) struct Ring {
    pub(super) key: RingKey,
    pub(super) encoding: Encoding,
    pub(super) writer: RingWriter,
    pub(super) listeners: Listeners,
}

impl Ring {
    /// What is written here of an event; `None` where it was not encoded for this ring.
    #[inline]
    pub(super) fn payload<'a>(&self, event: &Encoded<'a>) -> Option<(Kind, &'a [u8])> {
        match self.encoding {
            Encoding::Archive => Some((Kind::Event, event.archive?)),
            Encoding::Json => {
                let (kind, text) = event.json?;
                let fits = text.len() <= self.writer.most();
                Some(if fits {
                    (kind, text)
                } else {
                    (Kind::Unfit, TOO_LONG)
                })
            }
        }
    }

    /// Whether a payload of so many bytes can be written: makes room for it, unless somebody who bounds is in the way of a
    /// `lossless` source. What was not published yet cannot make room.
    #[inline]
    pub(super) fn make_room(&mut self, len: usize, lossless: bool) -> bool {
        self.writer.has_room(len) || self.move_oldest(len, lossless)
    }

    #[cold]
    fn move_oldest(&mut self, len: usize, lossless: bool) -> bool {
        let writer = &self.writer;
        let (needed, capacity) = (writer.needed(len), writer.capacity());
        let step = needed.next_multiple_of(capacity / STEPS);
        let mut bound = u64::MAX;
        if lossless && !self.listeners.is_empty() {
            bound = self.listeners.bound();
            if bound < step {
                bound = self.listeners.look(writer.extent(), clock::coarse_now());
            }
        }
        // Where records are long, the first one behind what is needed may begin later than a step, and later than what a liar
        // says: it is as far as nobody else can mind.
        bound >= needed && self.writer.forget(needed, step.min(bound))
    }
}
