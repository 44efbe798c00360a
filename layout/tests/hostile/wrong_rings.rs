//! Wrong words in a ring: each ends the feed, and none is taken for an event. Also wrong words that listeners write.

use callgate_layout::events::cursor::{self, Waiter};
use callgate_layout::events::{
    self, Kind, MIN_CAPACITY, RingReader, Run, Taken, most_payload, ring_len,
};

use super::*;

const CAPACITY: u64 = MIN_CAPACITY as u64;
/// The bytes of a record with a payload of one word.
const RECORD: u64 = 32;

/// Wrong words, and their offsets.
const WRONG: [(usize, u64); 12] = [
    // A head that is not the end of a record, is too far, or is no position.
    (0, 136),
    (0, 112),
    (0, CAPACITY + RECORD),
    (0, 1 << 40),
    (0, u64::MAX - 15),
    // An oldest record after all others, or at no record's position.
    (64, 144),
    (64, 1 << 63),
    (64, 8),
    // A record that is too long, goes beyond the head, or has another number.
    (4096, u32::MAX as u64),
    (4096, 128),
    (4096, most_payload(CAPACITY) as u64 + 1),
    (4096, 1 << 32 | 8),
];

/// A ring with four events of eight bytes.
fn honest() -> Outbox {
    let outbox = Outbox::new(ring_len(MIN_CAPACITY) as usize);
    let mut writer = events::RingWriter::new(outbox.writer(), 0);
    for number in 0..4_u64 {
        writer.push(Kind::Event, number, &number.to_le_bytes());
    }
    writer.publish();
    outbox
}

fn reader(outbox: &Outbox) -> RingReader {
    RingReader::new(outbox.inbox.clone(), 0, 0).unwrap()
}

/// Takes all that there is, and returns the last result.
fn take_all(reader: &mut RingReader) -> Taken {
    let mut run = Run::default();
    for _ in 0..10 {
        let number = reader.number();
        match reader.take(&mut run) {
            Taken::Event => assert_eq!(number + 1, reader.number()),
            Taken::Lost(lost) => assert!(lost > 0),
            last => return last,
        }
    }
    panic!("it takes more than there is");
}

fn is_broken(reader: &mut RingReader) -> bool {
    matches!(take_all(reader), Taken::Broken(_))
}

/// If one of these words were accepted, a listener would get an event that was never sent, or would wait for ever.
#[test]
fn what_no_sender_writes_ends_the_feed() {
    for (at, word) in WRONG {
        let outbox = honest();
        outbox.write(at, &word.to_le_bytes());
        assert!(is_broken(&mut reader(&outbox)), "{word:#x} at {at}");
    }
    let outbox = honest();
    let mut reader = reader(&outbox);
    assert_eq!(take_all(&mut reader), Taken::Nothing);
    outbox.write(0, &(3 * RECORD).to_le_bytes());
    assert!(is_broken(&mut reader), "a head that goes back");
}

/// A sender cannot claim that 2^62 events were lost in 32 bytes: a program that adds up its lost events would
/// overflow.
#[test]
fn no_more_events_are_lost_than_there_was_room_for() {
    // `next`, the low half of the oldest record's number, and whether so many events can have come before it.
    for (next, number, can_be) in [
        (4, 0, false),
        (4, 1, true),
        (4, 2, true),
        (4, 3, false),
        (4, u32::MAX, false),
        (0, 1, false),
        (1 << 32 | 4, 1, false),
        (1 << 62 | 4, 1, false),
        (u64::MAX, 1, false),
    ] {
        let outbox = honest();
        outbox.write(64, &RECORD.to_le_bytes());
        outbox.write(8, &u64::to_le_bytes(next));
        let second = 4096 + RECORD as usize;
        outbox.write(second + 4, &u32::to_le_bytes(number));
        let mut reader = reader(&outbox);
        let taken = reader.take(&mut Run::default());
        match can_be {
            true => assert_eq!(taken, Taken::Lost(number.into())),
            false => assert!(matches!(taken, Taken::Broken(_)), "{number}: {taken:?}"),
        }
    }
}

/// A cursor is read as one of a few values. An index that is too large is wrapped to an existing cursor.
#[test]
fn cursors_and_words_of_nonsense_do_no_harm() {
    let (status, bell) = (Outbox::new(STATUS_LEN), Outbox::new(DOORBELL_LEN));
    let doorbell = Doorbell::new(bell.writer());
    for index in [0, 1023, 1024, 8192, u16::MAX] {
        for word in WORDS {
            for at in (69_632..69_632 + 64).chain(135_104..135_168).step_by(4) {
                status.write(at, &word.to_le_bytes());
            }
            let seen = cursor::read(&status.inbox, index);
            assert_eq!(seen.position, u64::from(word) << 32 | u64::from(word));
            assert_eq!(seen.has_left, word != 0);
            if let Waiter::Bell(bell) = cursor::waiter(&status.inbox, index) {
                assert!((1..=63).contains(&bell));
            }
        }
        doorbell.arm(index);
        doorbell.wake_room(index);
        doorbell.ring_feed(index);
        assert!(events::is_armed(&doorbell, index));
    }
}
