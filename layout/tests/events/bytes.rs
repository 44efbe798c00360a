//! The bytes of events, as ARCHITECTURE.md section 3 lists them: another library may read and write them.

use callgate_layout::events::cursor::{self, Seen, Waiter};
use callgate_layout::events::{
    Kind, MAX_CAPACITY, MIN_CAPACITY, RING_HEADER, RingWriter, TOPIC_WORDS, TWIN_FACTOR,
    capacity_of, is_armed, ring_len,
};
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN, Status};

use super::{Shared, ring};

fn words64(shared: &Shared, at: usize, count: usize) -> Vec<u64> {
    let bytes = shared.read(at, 8 * count);
    let words = bytes.as_chunks::<8>().0;
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

fn words32(shared: &Shared, at: usize, count: usize) -> Vec<u32> {
    let bytes = shared.read(at, 4 * count);
    let words = bytes.as_chunks::<4>().0;
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

#[test]
fn a_ring_has_the_bytes_that_are_written_down() {
    assert_eq!(RING_HEADER, 4096);
    let (shared, mut writer) = ring(1024, 7);
    assert_eq!(words64(&shared, 0, 2), [0, 7]);
    writer.push(Kind::Event, 0x1122_3344_5566_7788, b"an event");
    writer.push(Kind::Unfit, 9, b"not a number, nor a text");
    assert_eq!(words64(&shared, 0, 2), [0, 7], "before it is published");
    writer.publish();
    assert_eq!(words64(&shared, 0, 2), [80, 9]);
    let record = [
        &[8, 0, 0, 0, 7, 0, 0, 0][..],
        &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
        b"an event\0\0\0\0\0\0\0\0",
        &[24, 0, 0, 0x80, 8, 0, 0, 0],
        &[9, 0, 0, 0, 0, 0, 0, 0],
        b"not a number, nor a text\0\0\0\0\0\0\0\0",
    ];
    assert_eq!(shared.read(4096, 80), record.concat());
    assert_eq!(words64(&shared, 64, 1), [0]);
    assert!(writer.forget(1, 32));
    assert_eq!(words64(&shared, 64, 1), [32]);
    assert_eq!(words32(&shared, 128, 2), [0, 0]);
    writer.starve();
    writer.starve();
    writer.sated();
    assert_eq!(words32(&shared, 128, 2), [1, 0]);
    writer.close();
    assert_eq!(words32(&shared, 128, 2), [1, 1]);
}

#[test]
fn a_cursor_has_the_bytes_that_are_written_down() {
    let shared = Shared::new(STATUS_LEN);
    let (status, seen) = (Status::new(shared.writable()), shared.readable());
    let at = |index: usize| 69_632 + 64 * index;
    for index in [0, 1, 1023_u16] {
        let (cursor, line) = (status.cursor(index), at(usize::from(index)));
        cursor.handled(5 << 32 | 8, 3);
        cursor.count_lost(40);
        cursor.count_lost(u64::MAX);
        assert_eq!(words64(&shared, line, 2), [5 << 32 | 8, 3]);
        assert_eq!(words64(&shared, line + 24, 5), [u64::MAX, 2, 0, 0, 0]);
        for (waiter, word) in [
            (Waiter::Feed, 1),
            (Waiter::Bell(1), 2),
            (Waiter::Bell(63), 64),
            (Waiter::Nobody, 0),
        ] {
            cursor.set_waiter(waiter);
            assert_eq!(words32(&shared, line + 16, 2), [word, 0]);
            assert_eq!(cursor::waiter(&seen, index), waiter);
        }
        cursor.leave();
        assert_eq!(words32(&shared, line + 16, 2), [0, 1]);
        let expected = Seen {
            position: 5 << 32 | 8,
            next: 3,
            has_left: true,
            lost: u64::MAX,
            times: 2,
        };
        assert_eq!(cursor::read(&seen, index), expected);
        cursor.set_waiter(Waiter::Feed);
        cursor.clear();
        assert_eq!(shared.read(line, 64), [0; 64]);
        assert_eq!(cursor::read(&seen, index), Seen::default());
    }
}

/// An index comes from the broker, and a waiter from the listener: wrong values do no harm.
#[test]
fn a_cursor_that_cannot_be_does_no_harm() {
    let shared = Shared::new(STATUS_LEN);
    let status = Status::new(shared.writable());
    status.cursor(u16::MAX).handled(8, 1);
    assert_eq!(words64(&shared, STATUS_LEN - 64, 2), [8, 1]);
    assert_eq!(cursor::read(&shared.readable(), u16::MAX).position, 8);
    let page = shared.writable();
    for wrong in [65, 66, u32::MAX] {
        use std::os::unix::fs::FileExt;
        let at = 69_632 + 16;
        shared.file.write_all_at(&wrong.to_le_bytes(), at).unwrap();
        assert_eq!(cursor::waiter(page.as_read(), 0), Waiter::Feed);
    }
}

#[test]
fn topic_words_and_feed_words_lie_where_it_is_written_down() {
    let shared = Shared::new(DOORBELL_LEN);
    let bell = Doorbell::new(shared.writable());
    assert_eq!((DOORBELL_LEN, TOPIC_WORDS), (73_728, 8192));
    for word in [0, 1, 8191, u16::MAX] {
        let at = 4096 + 8 * usize::from(word % 8192);
        assert!(!is_armed(&bell, word));
        bell.arm(word);
        bell.arm(word);
        assert!(is_armed(&bell, word));
        assert_eq!(words32(&shared, at, 1), [1]);
        bell.disarm(word);
        assert!(!is_armed(&bell, word));
        let before = bell.room(word);
        bell.wake_room(word);
        assert_eq!(bell.room(word), before + 1);
        assert_eq!(words32(&shared, at, 2), [0, before + 1]);
    }
    for cursor in [0, 1, 1023, u16::MAX] {
        let at = 69_632 + 4 * usize::from(cursor % 1024);
        let before = bell.feed_value(cursor);
        bell.ring_feed(cursor);
        assert_eq!(bell.feed_value(cursor), before + 1);
        assert_eq!(words32(&shared, at, 1), [before + 1]);
    }
}

#[test]
fn only_lengths_of_rings_are_lengths_of_rings() {
    let most = MAX_CAPACITY * TWIN_FACTOR;
    for capacity in [MIN_CAPACITY, 2 * MIN_CAPACITY, MAX_CAPACITY, most] {
        let len = ring_len(capacity);
        assert_eq!(capacity_of(len), Some(capacity));
        for wrong in [len - 8, len - 1, len + 1, len + 8] {
            assert_eq!(capacity_of(wrong), None, "{wrong}");
        }
    }
    for wrong in [
        0,
        1,
        4095,
        4096,
        ring_len(MIN_CAPACITY / 2),
        ring_len(2 * most),
        u32::MAX,
    ] {
        assert_eq!(capacity_of(wrong), None, "{wrong}");
    }
    let (_, writer) = ring(MIN_CAPACITY as usize, 0);
    let sixteen = MIN_CAPACITY as usize / 4 - 16;
    assert_eq!(RingWriter::most(&writer), sixteen);
}
