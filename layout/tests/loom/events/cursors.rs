//! CURSOR-OR-STARVING and EVENT-HANDLED: a sender that waits for those who listen.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use super::*;
use crate::bench::check;

/// A source whose ring has so many events, and the one that listens to it.
fn source(events: u64) -> (Arc<Listener>, Arc<Source>) {
    let listener = Listener::new();
    let source = Source::heard_by(std::slice::from_ref(&listener), By::Dispatcher);
    let mut writer = source.writer.lock().unwrap();
    (0..events).for_each(|number| write(&mut writer, number));
    drop(writer);
    (listener, source)
}

impl Source {
    /// Waits until a look at the listener's cursor finds that it may go on, as the client does: without the lock, while
    /// it sleeps.
    fn wait_for(&self, may_go_on: impl Fn(&RingWriter, cursor::Seen) -> bool, without: Without) {
        loop {
            let room = self.bell.room(WORD);
            let writer = self.writer.lock().unwrap();
            writer.starve();
            let seen = cursor::read(&self.feeds[0].listener.seen, 0);
            if without != Without::SecondLook && may_go_on(&writer, seen) {
                return writer.sated();
            }
            drop(writer);
            self.queue.wait(|| self.bell.room(WORD) == room);
            let writer = self.writer.lock().unwrap();
            writer.sated();
            if without == Without::SecondLook {
                return;
            }
        }
    }

    /// Sends an event when the listener has handled what it is written over.
    fn send_when_there_is_room(&self, number: u64, without: Without) {
        let has_room = |writer: &RingWriter, seen: cursor::Seen| seen.position >= writer.needed(8);
        self.wait_for(has_room, without);
        let mut writer = self.writer.lock().unwrap();
        let needed = writer.needed(8);
        assert!(writer.forget(needed, needed));
        write(&mut writer, number);
    }

    /// Waits until the listener has handled everything up to here, or has left.
    fn flush(&self, head: u64) {
        let is_done = |_: &RingWriter, seen: cursor::Seen| seen.position >= head || seen.has_left;
        self.wait_for(is_done, Without::Nothing);
    }
}

/// Takes so many events, handles each, and looks whether the sender starves before it turns to something else.
fn listen(listener: &Listener, source: &Source, events: u64, effects: &AtomicU64) -> Place {
    let (mut place, cursor) = (Place::new(source), listener.status.cursor(0));
    for _ in 0..events {
        assert_eq!(place.take(), Taken::Event);
        effects.store(place.count, Ordering::Relaxed);
        cursor.handled(place.reader.position(), place.reader.number());
        if place.reader.seems_starving() {
            source.ring_room();
        }
    }
    if place.reader.is_starving() {
        source.ring_room();
    }
    place
}

/// The ring is full, and the listener handles one event.
fn waits_for_room(without: Without) {
    let (listener, source) = source(4);
    let sender = thread::spawn({
        let source = source.clone();
        move || source.send_when_there_is_room(4, without)
    });
    let mut place = listen(&listener, &source, 1, &AtomicU64::new(0));
    sender.join().unwrap();
    place.drain();
    assert_eq!((place.taken, place.count), (5, 5));
}

/// A sender that waits overwrites nothing that is not handled, and does not wait longer than that.
#[test]
fn no_cursor_is_slept_through_by_who_waits_for_room() {
    check(None, || waits_for_room(Without::Nothing));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_second_look_a_cursor_is_slept_through() {
    check(None, || waits_for_room(Without::SecondLook));
}

/// After `flush` the sender sees what the handlers did.
#[test]
fn what_was_handled_is_seen_after_a_flush() {
    check(None, || {
        let (listener, source) = source(1);
        let effects = Arc::new(AtomicU64::new(0));
        let sender = thread::spawn({
            let (source, effects) = (source.clone(), effects.clone());
            move || {
                source.flush(32);
                assert_eq!(effects.load(Ordering::Relaxed), 1);
            }
        });
        listen(&listener, &source, 1, &effects);
        sender.join().unwrap();
    });
}

/// The sender does not wait for a listener that has left, and sees what that listener did before.
#[test]
fn who_has_left_is_not_waited_for() {
    check(None, || {
        let (listener, source) = source(1);
        let effects = Arc::new(AtomicU64::new(0));
        let sender = thread::spawn({
            let (source, effects) = (source.clone(), effects.clone());
            move || {
                source.flush(32);
                assert_eq!(effects.load(Ordering::Relaxed), 1);
            }
        });
        let place = Place::new(&source);
        effects.store(1, Ordering::Relaxed);
        listener.status.cursor(0).leave();
        if place.reader.is_starving() {
            source.ring_room();
        }
        sender.join().unwrap();
    });
}

/// One thread of the sender waits for room, and another one until everything is handled. At most two preemptions.
#[test]
fn neither_of_two_who_wait_for_cursors_sleeps_through_them() {
    check(Some(2), || {
        let (listener, source) = source(4);
        let sender = thread::spawn({
            let source = source.clone();
            move || source.send_when_there_is_room(4, Without::Nothing)
        });
        let flusher = thread::spawn({
            let source = source.clone();
            move || source.flush(64)
        });
        let mut place = listen(&listener, &source, 2, &AtomicU64::new(0));
        sender.join().unwrap();
        flusher.join().unwrap();
        place.drain();
        assert_eq!((place.taken, place.count), (5, 5));
    });
}

/// A thread that rings in any case, as when a listener has gone, needs no fence.
#[test]
fn what_a_sender_is_rung_for_is_seen() {
    check(None, || {
        let (_, source) = source(0);
        let has_gone = Arc::new(AtomicU64::new(0));
        let control = thread::spawn({
            let (source, has_gone) = (source.clone(), has_gone.clone());
            move || {
                has_gone.store(1, Ordering::Relaxed);
                source.ring_room();
            }
        });
        source.wait_for(
            |_, _| has_gone.load(Ordering::Relaxed) == 1,
            Without::Nothing,
        );
        control.join().unwrap();
    });
}
