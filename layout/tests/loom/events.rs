//! EVENT-PUBLISHED and OLDEST-MOVED: a ring of events that is written over while it is read.

mod waking;

use std::iter::{once, repeat_n};

use callgate_layout::buffer::Buffer;
use callgate_layout::events::{Kind, RingReader, RingWriter, Taken};
use callgate_layout::view::{ReadView, Use, WriteView};
use loom::thread;

use crate::bench::check;

/// Bytes of a record with one word of payload.
const RECORD: u64 = 32;

/// A ring by the byte table in `events`, with room for four records.
fn memory() -> WriteView {
    let end = repeat_n(Use::Wide, 2).chain(repeat_n(Use::Data, 6));
    let oldest = once(Use::Wide).chain(repeat_n(Use::Data, 7));
    let page = end.chain(oldest).chain(once(Use::Narrow));
    WriteView::heap(page.chain(repeat_n(Use::Overwritten, 16)))
}

/// A ring in which so many events are published.
fn ring(events: u64) -> (RingWriter, ReadView) {
    let memory = memory();
    let view = memory.as_read().clone();
    let mut writer = RingWriter::new(memory, 0);
    push(&mut writer, events);
    writer.publish();
    (writer, view)
}

fn payload(number: u64) -> u64 {
    2000 + number
}

/// Writes events for which there is room.
fn push(writer: &mut RingWriter, events: u64) {
    for _ in 0..events {
        let number = writer.next();
        writer.push(Kind::Event, 1000 + number, &payload(number).to_ne_bytes());
    }
}

/// Sends one event, and writes over the oldest one where there is no room.
fn send(writer: &mut RingWriter) {
    if !writer.has_room(8) {
        let needed = writer.needed(8);
        assert!(writer.forget(needed, needed));
    }
    push(writer, 1);
    writer.publish();
}

/// A listener that checks what it takes.
struct Listener {
    reader: RingReader,
    buffer: Buffer,
    /// Events that it has had, or knows to be lost.
    next: u64,
}

impl Listener {
    fn new(ring: ReadView) -> Listener {
        Listener {
            reader: RingReader::new(ring, 0, 0).unwrap(),
            buffer: Buffer::new(),
            next: 0,
        }
    }

    fn take(&mut self) -> Taken {
        let taken = self.reader.take(&mut self.buffer);
        match taken {
            Taken::Event { kind, number, time } => {
                assert_eq!((kind, number), (Kind::Event, self.next));
                assert_eq!(time, 1000 + number);
                assert_eq!(self.buffer[..], payload(number).to_ne_bytes());
                self.next += 1;
            }
            Taken::Lost(lost) => self.next += lost,
            Taken::Nothing | Taken::Again | Taken::Closed => {}
            Taken::Broken(why) => panic!("{why}"),
            Taken::OutOfMemory(why) => panic!("{why}"),
        }
        assert_eq!(self.next, self.reader.number());
        // Each record is as long as the next one.
        assert_eq!(self.next * RECORD, self.reader.position());
        taken
    }

    /// Takes what there is.
    fn take_all(&mut self) {
        while self.take() != Taken::Nothing {}
    }
}

/// The sender does something, while a listener looks so many times; then the listener takes what is left.
fn beside(
    (mut writer, view): (RingWriter, ReadView),
    looks: usize,
    act: impl Fn(&mut RingWriter) + Send + 'static,
) {
    let sender = thread::spawn(move || {
        act(&mut writer);
        writer
    });
    let mut listener = Listener::new(view);
    for _ in 0..looks {
        listener.take();
    }
    let writer = sender.join().unwrap();
    listener.take_all();
    assert_eq!(listener.next, writer.next());
}

/// The head is stored after the record, and read before it.
#[test]
fn an_event_is_seen_whole() {
    check(None, || beside(ring(0), 2, send));
}

/// Several are published by one head, and no head says that a record is there which is not.
#[test]
fn events_of_a_batch_are_seen_whole() {
    check(None, || {
        beside(ring(0), 2, |writer| {
            push(writer, 2);
            writer.publish();
            send(writer);
        });
    });
}

/// The sender stores *oldest* before it writes over a record, and the reader looks at it after it has copied: a copy of
/// which a part is of another record is never shown. Without either fence it is.
#[test]
fn no_copy_is_shown_that_was_written_over() {
    check(None, || beside(ring(4), 1, send));
}

/// A reader that was overtaken takes the number of the oldest record, which may be written over as well.
#[test]
fn the_number_of_what_was_lost_is_no_newer_record_s() {
    check(Some(2), || {
        beside(ring(4), 2, |writer| {
            send(writer);
            send(writer);
        });
    });
}

/// A reader has read an old head; *oldest* lies beyond that. The head that it reads then does not.
#[test]
fn no_oldest_record_lies_beyond_the_head() {
    check(None, || {
        beside(ring(1), 1, |writer| {
            push(writer, 3);
            writer.publish();
            let needed = writer.needed(8);
            assert!(writer.forget(needed, 2 * RECORD));
        });
    });
}

/// The sender forgets all it has, and then writes another event: *oldest* is where that lies before it is there.
#[test]
fn a_ring_of_which_all_was_forgotten_goes_on() {
    check(Some(3), || {
        beside(ring(4), 2, |writer| {
            assert!(writer.forget(writer.head(), writer.head()));
            send(writer);
        });
    });
}

/// What was published before the end is taken before it.
#[test]
fn every_event_is_taken_before_the_end() {
    check(None, || {
        let (mut writer, view) = ring(0);
        let sender = thread::spawn(move || {
            send(&mut writer);
            writer.close();
        });
        let mut listener = Listener::new(view);
        for _ in 0..2 {
            if listener.take() == Taken::Closed {
                assert_eq!(listener.next, 1);
            }
        }
        sender.join().unwrap();
        while listener.take() != Taken::Closed {}
        assert_eq!(listener.next, 1);
    });
}
