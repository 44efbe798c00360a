//! One ring of a source, with its listeners.

use callgate_layout::events::{Kind, RingWriter};
use callgate_layout::{Encoding, clock};

use super::event::Encoded;
use crate::events::listeners::Listeners;

/// `oldest` moves by this part of the capacity at a time. It moves rarely, so that it stays in the caches of the
/// feeds that read it.
const STEPS: u64 = 16;

/// The text that listeners get for an event whose JSON is longer than a quarter of the ring.
const TOO_LONG: &[u8] =
    b"the event's JSON is longer than a quarter of the ring in which it travels";

/// The number of a membership, and that of a ring in it.
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
    /// The bytes of an event for this ring; `None` if it was not written in this ring's encoding.
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

    /// Makes room for a payload. Returns whether there is room: a `lossless` source makes none while a listener
    /// that bounds is in the way. Events that are not published yet cannot make room.
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
        // If records are long, the first one that can stay may begin beyond a step, and beyond the position that a
        // lying listener claims; that harms nobody else.
        bound >= needed && self.writer.forget(needed, step.min(bound))
    }
}
