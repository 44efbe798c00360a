//! What a library sees of its own dispatcher from another thread, and the records that report this and a farewell to
//! the broker.

#![cfg(not(callgate_loom))]
#![allow(clippy::unwrap_used)]

use callgate_layout::control::{Pulse, SessionToBroker, ToBroker};
use callgate_layout::envelope::{Call, CallKind, Cell, Chain, Place};
use callgate_layout::ring::{self, Published, RingReader, RingWriter};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};
use callgate_layout::{Encoding, Geometry};

const G: Geometry = Geometry::DEFAULT;

/// An outbox as its writer and as its reader maps it.
fn shared() -> (WriteView, ReadView) {
    let len = G.total_len();
    let file = memfd::create("watching", len).unwrap();
    let inbox = Mapping::read_only(file.try_clone().unwrap(), len).unwrap();
    let outbox = Mapping::writable(file, len).unwrap();
    (WriteView::new(outbox).unwrap(), ReadView::new(inbox))
}

fn nested(slot: u8, deadline: u32) -> Call {
    Call {
        gate: 700,
        slot,
        kind: CallKind::Action,
        encoding: Encoding::Archive,
        place: Place::Inline,
        length: 4,
        deadline,
        chain: Some(Chain {
            id: 1 << 63,
            depth: 1,
        }),
    }
}

/// A thread that only looks which calls are in a ring does not affect their order.
#[test]
fn a_ring_shows_its_calls_to_whoever_looks() {
    let (outbox, inbox) = shared();
    let (writer, mut reader) = (RingWriter::new(G), RingReader::new(G));
    assert_eq!(ring::published(&inbox, G), []);
    let rounds = 2 * G.entries() + 5;
    for number in 1..=rounds {
        let slot = (number % 3) as u8;
        let sent = nested(slot, 100 + number);
        writer.publish(&outbox, &sent, &mut Cell::default());
        let shown = ring::published(&inbox, G);
        assert_eq!(shown.len() as u32, number.min(G.entries()));
        let last = Published {
            number,
            slot,
            deadline: 100 + number,
        };
        assert_eq!(ring::latest(shown.iter().copied()), Some(last));
        let others = shown.iter().filter(|other| other.slot != slot);
        let before = ring::latest(others.copied()).map_or(0, |other| other.number);
        assert_eq!(before, number - 1);
        assert!(reader.take(&inbox, &mut Cell::default()).is_some());
    }
    let numbered = |number| Published {
        number,
        slot: 0,
        deadline: 0,
    };
    let around = [u32::MAX, 2, 1, u32::MAX - 1].map(numbered);
    assert_eq!(ring::latest(around.into_iter()), Some(numbered(2)));
    assert_eq!(ring::latest([].into_iter()), None);
}

#[test]
fn a_pulse_and_last_words_survive_the_wire() {
    let pulse = Pulse {
        turns_ended: u64::MAX,
        is_waiting: true,
        busy_for: 1,
    };
    let farewell = SessionToBroker::Farewell {
        message: "the child was killed".to_owned(),
        context: r#"{"signal":9}"#.to_owned(),
    };
    for record in [SessionToBroker::Pulse { request: 7, pulse }, farewell] {
        let record = ToBroker::from(record);
        assert_eq!(ToBroker::decode(&record.encode().unwrap()), Ok(record));
    }
}
