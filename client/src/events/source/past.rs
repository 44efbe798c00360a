//! The history with which a new ring begins: the last events, read back from a ring that has them.
//!
//! A JSON ring that begins after a ring of archives has them converted. That runs code of the program's types, so
//! it is done without the source's lock. More events may be sent meanwhile; those are read back as well.

use std::collections::VecDeque;

use callgate_layout::Encoding;
use callgate_layout::events::{Kind, RingWriter};
use callgate_layout::view::WriteView;

use super::Convert;
use super::event::not_offered;
use super::sending::Sending;
use crate::base::buffers::{Scratch, no_memory};
use crate::base::error::Result;

/// A run of events that were read back from a ring, without a gap.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The number after the last one.
    next: u64,
    events: VecDeque<PastEvent>,
}

#[derive(Debug)]
struct PastEvent {
    kind: Kind,
    time: u64,
    payload: Vec<u8>,
    /// Whether it still has to be converted.
    is_foreign: bool,
}

impl Past {
    /// Copies what was sent since the last call, but no more than the last `history` events. Returns whether any of
    /// them has to be converted to this encoding.
    pub(super) fn read(&mut self, sending: &Sending, encoding: Encoding, history: u64) -> bool {
        let rings = || sending.rings.iter().rev();
        let same = rings().find(|ring| ring.encoding == encoding);
        let Some(ring) = same.or_else(|| rings().find(|ring| ring.encoding == Encoding::Archive))
        else {
            return false;
        };
        let (_, oldest) = ring.writer.last(history);
        if self.next < oldest {
            self.events.clear();
            self.next = oldest;
        }
        let (mut at, _) = ring.writer.last(sending.next - self.next);
        let is_foreign = ring.encoding != encoding;
        let before = self.next;
        let mut payload = Vec::new();
        while let Some((kind, time, next)) = ring.writer.read_back(at, &mut payload) {
            self.events.push_back(PastEvent {
                kind,
                time,
                payload: std::mem::take(&mut payload),
                is_foreign,
            });
            self.next += 1;
            at = next;
        }
        while self.events.len() as u64 > history {
            self.events.pop_front();
        }
        is_foreign && self.next > before
    }

    /// Rewrites archives as JSON.
    pub(super) fn convert(&mut self, convert: Option<Convert>, most: usize) {
        let (mut archive, mut text) = (Scratch::take(), Scratch::take());
        for event in self.events.iter_mut().filter(|event| event.is_foreign) {
            let made = aligned(&event.payload, &mut archive)
                .and_then(|()| convert.ok_or_else(|| not_offered("JSON")))
                .and_then(|convert| convert(&archive, &mut text, most));
            (event.kind, event.payload) = match made {
                Ok(()) => (Kind::Event, text.to_vec()),
                Err(why) => (Kind::Unfit, why.message().as_bytes().to_vec()),
            };
            event.is_foreign = false;
        }
    }

    /// Removes all events.
    pub(super) fn clear(&mut self) {
        self.events.clear();
    }

    /// Makes a ring that begins with these events.
    pub(super) fn begin(self, memory: WriteView, next: u64) -> RingWriter {
        let first = next.saturating_sub(self.events.len() as u64);
        let mut writer = RingWriter::new(memory, first);
        for PastEvent {
            kind,
            time,
            payload,
            ..
        } in self.events
        {
            let len = payload.len();
            // Forgets as few events as necessary, so that the rest of the history stays.
            let needed = writer.needed(len);
            if writer.has_room(len) || writer.forget(needed, needed) {
                writer.push(kind, time, &payload);
                writer.publish();
            }
        }
        writer
    }
}

/// Copies an archive to where its first byte is aligned to 16.
fn aligned(archive: &[u8], into: &mut Scratch) -> Result<()> {
    into.clear();
    into.extend(archive).map_err(|why| no_memory(why, "event"))
}

#[cfg(test)]
mod tests {
    use callgate_layout::events::ring_len;
    use callgate_layout::sys::mapping::Mapping;
    use callgate_layout::sys::memfd;

    use super::*;

    /// Of a history that was longer than its new ring one event was left, and of another one the newest were not there.
    #[test]
    fn of_a_long_history_the_new_ring_has_the_last_events() {
        const LEN: usize = 10_000;
        let len = ring_len(64 << 10) as usize;
        let file = memfd::create("test", len).unwrap();
        let memory = WriteView::new(Mapping::writable(file, len).unwrap()).unwrap();
        let event = |number: u64| PastEvent {
            kind: Kind::Event,
            time: number,
            payload: vec![number as u8; LEN],
            is_foreign: false,
        };
        let past = Past {
            next: 40,
            events: (20..40).map(event).collect(),
        };
        let writer = past.begin(memory, 40);
        let (mut at, first) = writer.last(u64::MAX);
        // Six have room: of these it is left open whether the oldest is still there.
        assert!((34..=35).contains(&first), "{first}");
        let mut payload = Vec::new();
        for number in first..40 {
            let (_, time, next) = writer.read_back(at, &mut payload).unwrap();
            assert_eq!((time, payload.len()), (number, LEN));
            assert!(payload.iter().all(|byte| u64::from(*byte) == number));
            (at, payload) = (next, Vec::new());
        }
        assert!(writer.read_back(at, &mut payload).is_none());
    }
}
