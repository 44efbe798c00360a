//! Rings of events whose sender lies.

use callgate_layout::events::{RING_HEADER, RingReader, Run, Taken};
use callgate_layout::hostile::poke;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::WriteView;

const CAPACITY: usize = 256;
/// The longest payload.
const MOST: usize = CAPACITY / 4 - 16;
/// The words that an input sets before the records: head, next, oldest, state.
const WORDS: [usize; 4] = [0, 8, 64, 128];

fn memory() -> Option<WriteView> {
    let len = RING_HEADER + CAPACITY;
    let file = memfd::create("fuzzed", len).ok()?;
    WriteView::new(Mapping::writable(file, len).ok()?)
}

/// The next word of an input, padded with zeros at its end.
fn word(input: &mut &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let (now, later) = input.split_at(input.len().min(8));
    bytes[..now.len()].copy_from_slice(now);
    *input = later;
    u64::from_le_bytes(bytes)
}

/// Takes events from a ring that is filled from the input: first where the listener begins, then the ring, and then
/// what changes between two looks.
pub(super) fn take(mut input: &[u8]) {
    let Some(ring) = memory() else {
        return;
    };
    let (position, number) = (word(&mut input), word(&mut input));
    let records = (RING_HEADER..RING_HEADER + CAPACITY).step_by(8);
    for at in WORDS.into_iter().chain(records) {
        poke(&ring, at, word(&mut input));
    }
    let Some(mut reader) = RingReader::new(ring.as_read().clone(), position, number) else {
        return;
    };
    let mut run = Run::default();
    // Each look takes at least one more record, or makes the reader skip some.
    for _ in 0..input.len() / 16 + 2 * CAPACITY / 16 {
        let before = (reader.position(), reader.number());
        let has_news = reader.has_news();
        let taken = reader.take(&mut run);
        assert_eq!(has_news, taken != Taken::Nothing);
        if !check(taken, &reader, before, run.payload().len()) {
            return;
        }
        if input.is_empty() {
            continue;
        }
        let at = word(&mut input) as usize % (WORDS.len() + CAPACITY / 8);
        let at = match WORDS.get(at) {
            Some(at) => *at,
            None => RING_HEADER + 8 * (at - WORDS.len()),
        };
        poke(&ring, at, word(&mut input));
    }
}

/// Whether more may be taken. Panics if the reader broke a rule.
fn check(taken: Taken, reader: &RingReader, before: (u64, u64), len: usize) -> bool {
    let (position, number) = (reader.position(), reader.number());
    match taken {
        Taken::Event => {
            assert!(len <= MOST);
            let record = (len as u64 + 16).next_multiple_of(16);
            assert_eq!((position, number), (before.0 + record, before.1 + 1));
            true
        }
        Taken::Lost(lost) => {
            assert!(lost > 0 && position > before.0);
            assert_eq!(number, before.1 + lost);
            true
        }
        Taken::Nothing | Taken::Again => {
            assert_eq!((position, number), before);
            true
        }
        Taken::Closed | Taken::Broken(_) | Taken::OutOfMemory(_) => false,
    }
}
