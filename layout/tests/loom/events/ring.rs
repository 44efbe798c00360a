//! EVENT-PUBLISHED and OLDEST-MOVED: a ring that is read while it is written.

use callgate_layout::events::{Kind, RingReader, RingWriter, Taken, shown};
use loom::thread;

use super::{Place, Source, memory, write};
use crate::bench::check;

/// A ring with four events, and a listener that has taken none.
fn full() -> (RingWriter, Place) {
    let memory = memory();
    let ring = memory.as_read().clone();
    let mut writer = RingWriter::new(memory, 0);
    (0..4).for_each(|number| write(&mut writer, number));
    let reader = RingReader::new(ring, 0, 0).unwrap();
    (writer, Place::at(reader))
}

/// Writes over the oldest event.
fn write_over(writer: &mut RingWriter, number: u64) {
    let needed = writer.needed(8);
    assert!(writer.forget(needed, needed));
    write(writer, number);
}

/// The sender publishes, and the listener finds whole events.
#[test]
fn what_is_published_is_whole() {
    check(None, || {
        let source = Source::new(Vec::new());
        let mut place = Place::new(&source);
        let sender = thread::spawn(move || {
            let mut writer = source.writer.lock().unwrap();
            (0..2).for_each(|number| write(&mut writer, number));
        });
        place.drain();
        sender.join().unwrap();
        place.drain();
        assert_eq!(place.taken, 2);
    });
}

/// A batch is published at once.
#[test]
fn a_batch_is_published_whole() {
    check(None, || {
        let source = Source::new(Vec::new());
        let mut place = Place::new(&source);
        let sender = thread::spawn(move || {
            let mut writer = source.writer.lock().unwrap();
            for number in 0..2_u64 {
                let payload = number.to_ne_bytes();
                writer.push(Kind::Event, number, &payload);
            }
            writer.publish();
        });
        place.drain();
        assert!(place.taken != 1);
        sender.join().unwrap();
        place.drain();
        assert_eq!(place.taken, 2);
    });
}

/// The sender writes over the event that the listener copies: it is taken whole, or lost.
#[test]
fn a_torn_copy_is_never_an_event() {
    check(None, || {
        let (mut writer, mut place) = full();
        let sender = thread::spawn(move || write_over(&mut writer, 4));
        place.take();
        sender.join().unwrap();
        place.drain();
        assert_eq!(place.count, 5);
        assert!(place.taken >= 4);
    });
}

/// The same all the way to the head that the listener sees. At most two preemptions.
#[test]
fn who_was_overtaken_goes_on_with_whole_events() {
    check(Some(2), || {
        let (mut writer, mut place) = full();
        let sender = thread::spawn(move || write_over(&mut writer, 4));
        place.drain();
        sender.join().unwrap();
        place.drain();
        assert_eq!(place.count, 5);
        assert!(place.taken >= 4);
    });
}

/// The sender writes over the oldest event while a reader that was overtaken reads its number. At most three preemptions.
#[test]
fn who_is_overtaken_twice_counts_what_it_lost() {
    check(Some(3), || {
        let (mut writer, mut place) = full();
        let sender = thread::spawn(move || {
            write_over(&mut writer, 4);
            write_over(&mut writer, 5);
        });
        place.take();
        sender.join().unwrap();
        place.drain();
        assert_eq!(place.count, 6);
        assert!(place.taken >= 4);
    });
}

/// A reader has read an old head, and then finds that `oldest` lies beyond that: the head that it reads then does not.
#[test]
fn no_oldest_event_lies_beyond_the_head() {
    check(None, || {
        let source = Source::new(Vec::new());
        let mut place = Place::new(&source);
        write(&mut source.writer.lock().unwrap(), 0);
        let sender = thread::spawn(move || {
            let mut writer = source.writer.lock().unwrap();
            (1..4).for_each(|number| writer.push(Kind::Event, number, &number.to_ne_bytes()));
            writer.publish();
            let needed = writer.needed(8);
            assert!(writer.forget(needed, 64));
        });
        place.take();
        sender.join().unwrap();
        place.drain();
        assert_eq!(place.count, 4);
    });
}

/// What was published before the ring was closed is taken before it is found closed.
#[test]
fn what_was_sent_before_the_end_is_taken() {
    check(None, || {
        let source = Source::new(Vec::new());
        let mut place = Place::new(&source);
        let sender = thread::spawn(move || {
            let mut writer = source.writer.lock().unwrap();
            write(&mut writer, 0);
            writer.close();
        });
        for _ in 0..3 {
            if place.take() == Taken::Closed {
                assert_eq!(place.taken, 1);
            }
        }
        sender.join().unwrap();
        place.drain();
        assert_eq!(place.take(), Taken::Closed);
        assert_eq!(place.taken, 1);
    });
}

/// The number that `shown` returns is no older than the end that it returns.
#[test]
fn what_is_shown_of_a_ring_goes_together() {
    check(None, || {
        let source = Source::new(Vec::new());
        let ring = source.ring.clone();
        let sender = thread::spawn(move || write(&mut source.writer.lock().unwrap(), 0));
        let (head, next) = shown(&ring);
        assert!(next >= head / 32);
        sender.join().unwrap();
        assert_eq!(shown(&ring), (32, 1));
    });
}
