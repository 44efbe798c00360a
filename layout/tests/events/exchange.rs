//! Cases that the property tests would reach too seldom, and both sides working at the same time.

use std::thread;

use callgate_layout::events::{Kind, RingReader, Run, Taken};

use super::{payload, ring, send, take};

/// A record can continue at the ring's beginning after each of its sixteen-byte pieces.
#[test]
fn a_record_goes_on_at_the_beginning_after_any_of_its_pieces() {
    for len in [0_usize, 1, 7, 8, 9, 33, 240] {
        for before in (0..=16 + len.div_ceil(16) * 16).step_by(16) {
            let (shared, mut writer) = ring(1024, 0);
            let mut reader = RingReader::new(shared.readable(), 0, 0).unwrap();
            // Fillers up to so many bytes before the end of the ring.
            let (mut left, mut number) = (1024 - before, 0);
            while left > 0 {
                let record = if left > 256 { 128 } else { left };
                let filler = payload(number, record - 16);
                send(&mut writer, &filler);
                assert_eq!(take(&mut reader), (number, filler));
                (left, number) = (left - record, number + 1);
            }
            assert_eq!(writer.head() as usize, 1024 - before);
            send(&mut writer, &payload(number, len));
            let at = writer.last(1);
            assert_eq!(at, (1024 - before as u64, number));
            let mut back = Vec::new();
            let (kind, _, next) = writer.read_back(at.0, &mut back).unwrap();
            assert_eq!((kind, next), (Kind::Event, writer.head()));
            assert_eq!(back, payload(number, len));
            assert_eq!(take(&mut reader), (number, payload(number, len)));
        }
    }
}

/// Long payloads, which the processor's own instruction copies, arrive unchanged.
#[test]
fn long_payloads_come_through_as_they_were() {
    let capacity = 4 << 20;
    let (shared, mut writer) = ring(capacity, 0);
    let mut reader = RingReader::new(shared.readable(), 0, 0).unwrap();
    for number in 0..9 {
        let len = writer.most() - 3 * number as usize;
        send(&mut writer, &payload(number, len));
        assert_eq!(take(&mut reader), (number, payload(number, len)));
    }
}

/// A sender makes room, and is killed before it publishes what it wrote there. The newest published record always
/// stays: otherwise a reader that is behind could not tell how many events it has lost, and would look for ever.
#[test]
fn who_was_overtaken_by_a_sender_that_died_knows_what_it_has_lost() {
    let (shared, mut writer) = ring(1024, 50);
    let mut reader = RingReader::new(shared.readable(), 0, 50).unwrap();
    for number in 0..4 {
        send(&mut writer, &payload(number, 240));
    }
    // As much as it may write in one batch.
    while writer.has_room(240) || writer.forget(writer.needed(240), u64::MAX) {
        writer.push(Kind::Event, 0, &payload(9, 240));
    }
    drop(writer);
    let mut run = Run::default();
    assert_eq!(reader.take(&mut run), Taken::Lost(3));
    assert_eq!(run.payload().len(), 0, "nothing is left of what was torn");
    assert_eq!(take(&mut reader), (53, payload(3, 240)));
    assert_eq!(reader.take(&mut run), Taken::Nothing);
    assert!(!reader.has_news());
}

/// Events that were published before the ring was closed are taken first.
#[test]
fn a_closed_ring_is_drained_before_it_is_found_closed() {
    let (shared, mut writer) = ring(1024, 0);
    let mut reader = RingReader::new(shared.readable(), 0, 0).unwrap();
    send(&mut writer, b"last");
    writer.close();
    assert_eq!(take(&mut reader), (0, b"last".to_vec()));
    assert!(reader.has_news());
    assert_eq!(reader.take(&mut Run::default()), Taken::Closed);
}

/// A sender that does not wait, and readers of different speeds: each event is whole or lost, and counted once.
fn overwrite(capacity: usize, events: u64) {
    let (shared, mut writer) = ring(capacity, 0);
    let most = writer.most() as u64 + 1;
    // The largest events follow each other, so that many continue at the beginning.
    let event = move |number: u64| payload(number, (most - 1 - number * 37 % most) as usize);
    let readers = [0, 1, 7].map(|pause| {
        let mut reader = RingReader::new(shared.readable(), 0, 0).unwrap();
        thread::spawn(move || {
            let (mut run, mut next) = (Run::default(), 0);
            loop {
                match reader.take(&mut run) {
                    Taken::Event => {
                        assert_eq!((reader.number() - 1, run.time()), (next, next));
                        assert!(run.payload() == event(next), "event {next} is torn");
                        next += 1;
                        (0..pause).for_each(|_| thread::yield_now());
                    }
                    Taken::Lost(lost) => next += lost,
                    Taken::Nothing | Taken::Again => thread::yield_now(),
                    Taken::Closed => return next,
                    other => panic!("{other:?}"),
                }
            }
        })
    });
    for number in 0..events {
        let payload = event(number);
        let needed = writer.needed(payload.len());
        if !writer.has_room(payload.len()) {
            assert!(writer.forget(needed, needed + capacity as u64 / 4));
        }
        writer.push(Kind::Event, number, &payload);
        writer.publish();
        if number % 64 == 0 {
            thread::yield_now();
        }
    }
    writer.close();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), events);
    }
}

#[test]
fn what_is_overwritten_meanwhile_is_lost_and_never_torn() {
    overwrite(1024, 30_000);
}

/// The same for events that the processor's own instruction copies, in both directions.
#[test]
fn what_is_overwritten_meanwhile_is_never_torn_where_it_is_long() {
    overwrite(64 << 10, 1000);
    overwrite(2 << 20, 40);
}
