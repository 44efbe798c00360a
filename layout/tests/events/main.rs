//! What a sender writes into its ring, its listeners read: through two maps of one memory file, as two processes have them.

#![cfg(not(callgate_loom))]
#![allow(clippy::unwrap_used)]

mod list;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;

use callgate_layout::buffer::Buffer;
use callgate_layout::events::cursor::{self, Seen, Waiter};
use callgate_layout::events::{
    self, Kind, MAX_CAPACITY, MIN_CAPACITY, RING_HEADER, RingReader, RingWriter, TWIN_FACTOR, Taken,
};
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN, Status};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};

use list::List;

/// Bytes of a record before its payload.
const HEADER: usize = 24;

/// Memory as its writer and as its reader maps it, and as a file.
fn shared(len: usize) -> (WriteView, ReadView, File) {
    let file = memfd::create("events", len).unwrap();
    let inbox = Mapping::read_only(file.try_clone().unwrap(), len).unwrap();
    let outbox = Mapping::writable(file.try_clone().unwrap(), len).unwrap();
    let outbox = WriteView::new(outbox).unwrap();
    (outbox, ReadView::new(inbox), file.into())
}

fn ring(capacity: u32, first: u64) -> (RingWriter, ReadView, File) {
    let (outbox, inbox, file) = shared(events::ring_len(capacity) as usize);
    (RingWriter::new(outbox, first), inbox, file)
}

fn bytes(file: &File, at: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at as u64).unwrap();
    bytes
}

fn word(file: &File, at: usize) -> u64 {
    u64::from_le_bytes(bytes(file, at, 8).try_into().unwrap())
}

/// Another implementation reads these bytes: whoever changes them changes the version of the protocol.
#[test]
fn a_ring_has_the_bytes_that_are_promised() {
    let (mut writer, _, file) = ring(MIN_CAPACITY, 5);
    let mut page = [0; 256];
    page[8] = 5;
    assert_eq!(bytes(&file, 0, 256), page);
    writer.push(Kind::Event, 0x1122_3344_5566_7788, b"callgate!");
    assert_eq!(word(&file, 0), 0, "what is not published is not seen");
    writer.push(Kind::Unfit, 3, b"");
    writer.publish();
    assert_eq!(
        [0, 8, 64, 128].map(|at| word(&file, at)),
        [40 + 24, 7, 0, 0]
    );
    let first = [
        &[9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0][..],
        &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
        b"callgate!\0\0\0\0\0\0\0",
        &[0, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(bytes(&file, 4096, 64), first.concat());
    writer.starve();
    writer.starve();
    writer.sated();
    writer.close();
    assert_eq!(word(&file, 128), 1 | 1 << 32);
    assert!(writer.forget(1, 40));
    assert_eq!(
        (word(&file, 64), writer.oldest(), writer.head()),
        (40, 40, 64)
    );
}

/// The same of what listeners write.
#[test]
fn cursors_have_the_bytes_that_are_promised() {
    let (page, inbox, file) = shared(STATUS_LEN);
    let status = Status::new(page);
    for (index, line) in [(0, 69_632), (1, 69_696), (1023, 135_104)] {
        let own = status.cursor(index);
        own.handled(0x1_0000_0008, 3);
        own.count_lost(7);
        own.count_lost(1);
        own.leave();
        let words = || [0, 8, 16, 24, 32, 40, 48, 56].map(|at| word(&file, line + at));
        assert_eq!(words(), [0x1_0000_0008, 3, 1 << 32, 8, 2, 0, 0, 0]);
        let seen = Seen {
            position: 0x1_0000_0008,
            next: 3,
            has_left: true,
            lost: 8,
            times: 2,
        };
        assert_eq!(cursor::read(&inbox, index), seen);
        for (waiter, value) in [
            (Waiter::Feed, 1),
            (Waiter::Bell(1), 2),
            (Waiter::Bell(63), 64),
        ] {
            own.set_waiter(waiter);
            assert_eq!(bytes(&file, line + 16, 4), [value, 0, 0, 0]);
            assert_eq!(cursor::waiter(&inbox, index), waiter);
        }
        own.clear();
        assert_eq!(words(), [0; 8]);
        assert_eq!(cursor::waiter(&inbox, index), Waiter::Nobody);
    }
    assert_eq!(STATUS_LEN, 135_168);
}

/// The same of the words by which both wait.
#[test]
fn words_have_the_bytes_that_are_promised() {
    let (page, _, file) = shared(DOORBELL_LEN);
    let bell = Doorbell::new(page);
    for (word, at) in [(0, 4096), (1, 4104), (8191, 69_624)] {
        bell.arm(word);
        bell.touch_room(word);
        bell.wake_room(word);
        assert_eq!(bytes(&file, at, 8), [1, 0, 0, 0, 2, 0, 0, 0]);
        assert!(events::is_armed(&bell, word) && bell.room(word) == 2);
        bell.disarm(word);
        assert!(!events::is_armed(&bell, word));
        assert_eq!(bytes(&file, at, 8), [0, 0, 0, 0, 2, 0, 0, 0]);
    }
    for (feed, at) in [(0, 69_632), (1, 69_636), (1023, 73_724)] {
        bell.ring_feed(feed);
        assert_eq!(
            (bytes(&file, at, 4), bell.feed_value(feed)),
            (vec![1, 0, 0, 0], 1)
        );
    }
    assert_eq!(DOORBELL_LEN, 73_728);
}

/// A length that the broker or a peer claims is a ring's, or it is not.
#[test]
fn a_ring_has_few_lengths() {
    let largest = MAX_CAPACITY * TWIN_FACTOR;
    for capacity in [MIN_CAPACITY, MIN_CAPACITY * 2, MAX_CAPACITY, largest] {
        assert_eq!(
            events::capacity_of(events::ring_len(capacity)),
            Some(capacity)
        );
    }
    let wrong = [
        0,
        1,
        4095,
        4096,
        4096 + 65_535,
        4096 + 65_544,
        4096 + 3 * 65_536,
        4096 + 32_768,
    ];
    for len in wrong.into_iter().chain([4096 + 2 * largest, u32::MAX]) {
        assert_eq!(events::capacity_of(len), None, "{len}");
    }
    let (_, inbox, _) = ring(MIN_CAPACITY, 0);
    for (position, is_one) in [(0, true), (8, true), (4, false), (u64::MAX - 7, false)] {
        assert_eq!(
            RingReader::new(inbox.clone(), position, 0).is_some(),
            is_one
        );
    }
    let (_, no_ring, _) = shared(8192);
    assert!(RingReader::new(no_ring, 0, 0).is_none());
}

/// A payload that its number tells.
fn payload(number: u64, len: usize) -> Vec<u8> {
    let byte = |at: usize| (number.wrapping_mul(31) as usize + at * 7 + at / 256) as u8;
    (0..len).map(byte).collect()
}

/// Payloads that the processor copies by an instruction of its own, across the ring's end.
#[test]
fn long_events_are_whole() {
    let (mut writer, inbox, file) = ring(4 << 20, 0);
    let mut model = List {
        all: Vec::new(),
        published: 0,
        oldest: 0,
        first: 0,
    };
    let (mut reader, mut at) = (RingReader::new(inbox, 0, 0).unwrap(), 0);
    let mut buffer = Buffer::new();
    for round in 0..40 {
        let len = [(1 << 20) - HEADER, 300_001, 262_147, 513][round % 4];
        model.send(&mut writer, len, 0, true);
        model.check(&mut reader, &mut at, &mut buffer);
        // Up to the next record there are zeros, also where others were before.
        let (from, to) = (
            model.all[round].0 as usize + HEADER + len,
            model.start(round + 1) as usize,
        );
        for at in from..to {
            assert_eq!(bytes(&file, RING_HEADER + at % (4 << 20), 1), [0]);
        }
    }
}

/// A sender that waits for nobody, and listeners of which one is slow: each event is whole or counted as lost.
#[test]
fn what_is_overwritten_while_it_is_read_is_never_shown() {
    const EVENTS: u64 = 100_000;
    let (mut writer, inbox, _) = ring(MIN_CAPACITY, 0);
    let len = |number: u64| (number * number % 2003) as usize;
    let listen = |pause: u64| {
        let (mut reader, mut buffer) =
            (RingReader::new(inbox.clone(), 0, 0).unwrap(), Buffer::new());
        let (mut had, mut lost) = (0, 0);
        loop {
            match reader.take(&mut buffer) {
                Taken::Event { number, time, kind } => {
                    assert_eq!((number, time, kind), (had + lost, !number, Kind::Event));
                    assert!(buffer[..] == vec![number as u8; len(number)]);
                    had += 1;
                    if number.is_multiple_of(pause) {
                        thread::yield_now();
                    }
                }
                Taken::Lost(count) => lost += count,
                Taken::Nothing | Taken::Again => thread::yield_now(),
                Taken::Closed => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(had + lost, EVENTS);
    };
    thread::scope(|scope| {
        scope.spawn(|| listen(1));
        scope.spawn(|| listen(1000));
        for number in 0..EVENTS {
            let len = len(number);
            if !writer.has_room(len) {
                let needed = writer.needed(len);
                let step = writer.capacity() / 16;
                assert!(writer.forget(needed, needed.next_multiple_of(step) + 2048));
            }
            writer.push(Kind::Event, !number, &vec![number as u8; len]);
            writer.publish();
            if number.is_multiple_of(100) {
                thread::yield_now();
            }
        }
        writer.close();
    });
}
