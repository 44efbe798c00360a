//! A sender that writes nonsense into its ring, and listeners that write it into their cursors.

use std::sync::atomic::AtomicBool;

use callgate_layout::buffer::Buffer;
use callgate_layout::events::cursor::{self, Waiter};
use callgate_layout::events::{
    Kind, MIN_CAPACITY, RingReader, RingWriter, Taken, most_payload, ring_len,
};

use super::*;

const LEN: usize = ring_len(MIN_CAPACITY) as usize;
const CAPACITY: u64 = MIN_CAPACITY as u64;
/// Where the words of a ring lie.
const RING_WORDS: [usize; 5] = [0, 8, 64, 128, 132];

/// A ring with four events of eight bytes.
fn honest() -> Outbox {
    let outbox = Outbox::new(LEN);
    let mut writer = RingWriter::new(outbox.writer(), 0);
    for number in 0..4 {
        writer.push(Kind::Event, number, &number.to_le_bytes());
    }
    writer.publish();
    outbox
}

/// Takes what there is, at most so many times; what came last.
fn take_all(reader: &mut RingReader, looks: usize) -> Taken {
    let mut buffer = Buffer::new();
    let mut last = Taken::Nothing;
    for _ in 0..looks {
        let before = (reader.position(), reader.number());
        let _ = (reader.has_news(), reader.is_starving());
        last = reader.take(&mut buffer);
        let is_same = before == (reader.position(), reader.number());
        match last {
            Taken::Event { number, .. } => {
                assert!(buffer.len() <= most_payload(CAPACITY) && number == before.1);
                assert!(reader.position() > before.0);
            }
            // Each took bytes that are behind the reader now.
            Taken::Lost(lost) => assert!(lost > 0 && lost <= (reader.position() - before.0) / 24),
            _ => {
                assert!(is_same);
                break;
            }
        }
    }
    last
}

/// Words that no sender writes, and where.
const WRONG: &[(usize, u64)] = &[
    // A head that is no record's end, goes too far, or lies where no position is.
    (0, 129),
    (0, 120),
    (0, 1 << 40),
    (0, u64::MAX - 7),
    // An oldest record beyond the head, or none.
    (64, 136),
    (64, 1 << 63),
    (64, 9),
    // A record that is too long, goes beyond the head, has another kind or number.
    (4096, 1 << 31),
    (4096, 128),
    (4096, most_payload(CAPACITY) as u64 + 1),
    (4096, 2 << 32 | 8),
    (4104, 1),
    (4104, u64::MAX),
];

/// What is wrong with a ring ends the feed; and nothing else is taken for an event.
#[test]
fn what_no_sender_writes_is_broken() {
    for (at, word) in WRONG {
        let outbox = honest();
        outbox.write(*at, &word.to_le_bytes());
        let mut reader = RingReader::new(outbox.inbox.clone(), 0, 0).unwrap();
        let last = take_all(&mut reader, 10);
        assert!(
            matches!(last, Taken::Broken(_)),
            "{word:#x} at {at}: {last:?}"
        );
    }
    // The oldest record is the second one by its place, and another one by its number.
    for number in [0, 2, u64::MAX, 1 << 40] {
        let outbox = honest();
        outbox.write(64, &32_u64.to_le_bytes());
        outbox.write(4096 + 32 + 8, &u64::to_le_bytes(number));
        let mut reader = RingReader::new(outbox.inbox.clone(), 0, 0).unwrap();
        assert!(
            matches!(take_all(&mut reader, 10), Taken::Broken(_)),
            "{number}"
        );
    }
    // A head that goes back.
    let outbox = honest();
    let mut reader = RingReader::new(outbox.inbox.clone(), 0, 0).unwrap();
    assert_eq!(take_all(&mut reader, 10), Taken::Nothing);
    outbox.write(0, &96_u64.to_le_bytes());
    assert!(matches!(take_all(&mut reader, 1), Taken::Broken(_)));
}

/// More than the ring holds, of which each record is as it should be.
#[test]
fn more_records_than_fit_are_broken() {
    let outbox = honest();
    // The head moves on although *oldest* does not.
    let mut reader = RingReader::new(outbox.inbox.clone(), 0, 0).unwrap();
    outbox.write(0, &(CAPACITY + 32).to_le_bytes());
    assert!(matches!(take_all(&mut reader, 1), Taken::Broken(_)));
}

/// A wrong word in the page, or in any of the first records.
#[test]
fn one_wrong_word_in_a_ring_does_no_harm() {
    let outbox = honest();
    let mut honest = vec![0; LEN];
    outbox.file.read_exact_at(&mut honest, 0).unwrap();
    for at in RING_WORDS.into_iter().chain((4096..4096 + 136).step_by(4)) {
        for word in WORDS {
            outbox.write(at, &word.to_le_bytes());
            for position in [0, 32, 128, CAPACITY] {
                let mut reader = RingReader::new(outbox.inbox.clone(), position, position / 32);
                take_all(reader.as_mut().unwrap(), 100);
            }
        }
        outbox.write(at, &honest[at..at + 4]);
    }
}

/// A number near what the page's words usually are.
fn position() -> impl Strategy<Value = u64> {
    let near = |of: u64| (0..64_u64).prop_map(move |by| of.wrapping_add(by * 8).wrapping_sub(256));
    prop_oneof![
        near(256),
        near(CAPACITY),
        near(CAPACITY * 1000),
        near(u64::MAX / 2),
        any::<u64>()
    ]
}

proptest! {
    /// Nothing but nonsense.
    #[test]
    fn a_whole_ring_of_nonsense_does_no_harm(
        words in [position(), position(), position()],
        start in position(),
        number: u64,
        lengths in prop::collection::vec((0..70_u32, 0..3_u32), 64),
        bytes in prop::collection::vec(any::<u8>(), 4096),
    ) {
        let outbox = Outbox::new(LEN);
        for (at, word) in [0, 8, 64].into_iter().zip(words) {
            outbox.write(at, &word.to_le_bytes());
        }
        for at in (4096..LEN).step_by(4096) {
            outbox.write(at, &bytes);
        }
        // Some that look like records.
        for (nth, (len, kind)) in lengths.into_iter().enumerate() {
            outbox.write(4096 + nth * 32, &[len.to_le_bytes(), kind.to_le_bytes()].concat());
            outbox.write(4104 + nth * 32, &number.wrapping_add(nth as u64).to_le_bytes());
        }
        if let Some(mut reader) = RingReader::new(outbox.inbox, start, number) {
            take_all(&mut reader, 200);
        }
    }
}

/// Words that change between two looks at them.
#[test]
fn a_ring_that_changes_while_it_is_read_does_no_harm() {
    let (outbox, is_over) = (honest(), AtomicBool::new(false));
    let (mut taken, mut broken) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            while !is_over.load(Ordering::Relaxed) {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let places = [0, 64, 4096, 4100, 4104, 4128, 4132, 4136, 4160];
                let values = [0, 1, 2, 3, 8, 32, 64, 128, 160, CAPACITY, u64::MAX];
                let (place, value) = ((random >> 33) as usize, (random >> 45) as usize);
                let value = values[value % values.len()];
                outbox.write(places[place % places.len()], &value.to_le_bytes()[..4]);
            }
        });
        for look in 0..2_000_000 {
            let mut reader = RingReader::new(outbox.inbox.clone(), 0, 0).unwrap();
            match take_all(&mut reader, 8) {
                Taken::Broken(_) => broken += 1,
                _ => taken += reader.number(),
            }
            if look > 20_000 && taken > 100 && broken > 100 {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(taken > 0 && broken > 0, "{taken} {broken}");
}

/// What a listener's cursor says is one of few things; and a listener that claims an index or a word that cannot be gets
/// one of those that there are.
#[test]
fn cursors_and_words_of_nonsense_do_no_harm() {
    let (status, bell) = (Outbox::new(STATUS_LEN), Outbox::new(DOORBELL_LEN));
    let doorbell = Doorbell::new(bell.writer());
    for index in [0, 1, 1023, 1024, u16::MAX] {
        for word in WORDS {
            for at in (69_632..69_632 + 64).chain(135_104..135_168).step_by(4) {
                status.write(at, &word.to_le_bytes());
            }
            let seen = cursor::read(&status.inbox, index);
            assert_eq!(seen.has_left, seen.position != 0);
            if let Waiter::Bell(bell) = cursor::waiter(&status.inbox, index) {
                assert!((1..=63).contains(&bell));
            }
        }
        doorbell.arm(index);
        doorbell.wake_room(index);
        doorbell.ring_feed(index);
        assert!(callgate_layout::events::is_armed(&doorbell, index));
    }
}
