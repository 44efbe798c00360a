//! ARMED-OR-PARKED: listeners that sleep until there are events.

use std::sync::Arc;

use callgate_layout::bells::KeptBell;
use callgate_layout::events::about_to_sleep;
use callgate_layout::events::cursor::Waiter;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::*;
use crate::bench::check;

/// A plugin's dispatcher, with a feed of each of these sources; takes so many events, and sleeps in between.
fn dispatch(listener: &Listener, sources: &[Arc<Source>], events: u64, without: Without) {
    let mut places: Vec<Place> = sources.iter().map(|source| Place::new(source)).collect();
    loop {
        places.iter_mut().for_each(Place::drain);
        if places.iter().map(|place| place.taken).sum::<u64>() == events {
            return;
        }
        let seen = listener.status.park(&listener.bell);
        sources.iter().for_each(|source| source.bell.arm(WORD));
        all_armed();
        let is_news = places.iter().any(|place| place.reader.has_news());
        if without == Without::SecondLook || !is_news {
            listener.queue.wait(|| listener.bell.value() == seen);
        }
        listener.status.awake();
    }
}

/// A thread of a listener's own takes so many events of a source, and sleeps on the feed word in between.
fn pull(listener: &Listener, source: &Source, events: u64, without: Without) {
    let (mut place, cursor) = (Place::new(source), listener.status.cursor(0));
    loop {
        place.drain();
        if place.taken == events {
            return;
        }
        let seen = listener.bell.feed_value(0);
        cursor.set_waiter(Waiter::Feed);
        about_to_sleep();
        source.bell.arm(WORD);
        all_armed();
        if without == Without::SecondLook || !place.reader.has_news() {
            listener.queue.wait(|| listener.bell.feed_value(0) == seen);
        }
        cursor.set_waiter(Waiter::Nobody);
    }
}

/// The same of two sources, asleep on a bell that it keeps.
fn pull_two(listener: &Listener, sources: &[Arc<Source>; 2], events: u64) {
    let mut places = [&sources[0], &sources[1]].map(|source| Place::new(source));
    let cursors = [0, 1].map(|index| listener.status.cursor(index));
    let bell = KeptBell::take(&listener.bells).unwrap();
    loop {
        places.iter_mut().for_each(Place::drain);
        if places.iter().map(|place| place.taken).sum::<u64>() == events {
            return;
        }
        let seen = bell.value();
        for cursor in &cursors {
            cursor.set_waiter(Waiter::Bell(bell.number()));
        }
        about_to_sleep();
        sources.iter().for_each(|source| source.bell.arm(WORD));
        all_armed();
        if !places.iter().any(|place| place.reader.has_news()) {
            listener.queue.wait(|| bell.value() == seen);
        }
        for cursor in &cursors {
            cursor.set_waiter(Waiter::Nobody);
        }
    }
}

/// `events` events, and one listener. The word was armed by a listener that is awake by now.
fn one(by: By, events: u64, without: Without) {
    let listener = Listener::new();
    let source = Source::heard_by(std::slice::from_ref(&listener), by);
    source.bell.arm(WORD);
    let sender = thread::spawn({
        let source = source.clone();
        move || (0..events).for_each(|number| source.send(number))
    });
    match by {
        By::Dispatcher => dispatch(&listener, &[source], events, without),
        By::Pulled => pull(&listener, &source, events, without),
    }
    sender.join().unwrap();
}

/// Two events, and two listeners.
fn two(by: By) {
    let listeners = [Listener::new(), Listener::new()];
    let source = Source::heard_by(&listeners, by);
    let listen = move |listener: &Listener, source: &Arc<Source>| match by {
        By::Dispatcher => dispatch(listener, std::slice::from_ref(source), 2, Without::Nothing),
        By::Pulled => pull(listener, source, 2, Without::Nothing),
    };
    let [first, second] = listeners;
    let other = thread::spawn({
        let source = source.clone();
        move || listen(&second, &source)
    });
    let sender = thread::spawn({
        let source = source.clone();
        move || (0..2).for_each(|number| source.send(number))
    });
    listen(&first, &source);
    other.join().unwrap();
    sender.join().unwrap();
}

/// An event of each of two sources, and one listener.
fn of_two_sources(by: By) {
    let listener = Listener::new();
    let sources = [0, 1].map(|cursor| {
        let listener = listener.clone();
        Source::new(vec![Feed {
            listener,
            cursor,
            by,
        }])
    });
    let senders = sources
        .clone()
        .map(|source| thread::spawn(move || source.send(0)));
    match by {
        By::Dispatcher => dispatch(&listener, &sources, 2, Without::Nothing),
        By::Pulled => pull_two(&listener, &sources, 2),
    }
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn no_event_is_slept_through_by_a_dispatcher() {
    check(None, || one(By::Dispatcher, 1, Without::Nothing));
}

#[test]
fn no_event_is_slept_through_by_who_pulls() {
    check(None, || one(By::Pulled, 1, Without::Nothing));
}

/// At most three preemptions.
#[test]
fn no_second_event_is_slept_through() {
    check(Some(3), || one(By::Dispatcher, 2, Without::Nothing));
    check(Some(3), || one(By::Pulled, 2, Without::Nothing));
}

/// At most two preemptions.
#[test]
fn no_event_is_slept_through_by_two_dispatchers() {
    check(Some(2), || two(By::Dispatcher));
}

/// At most two preemptions.
#[test]
fn no_event_is_slept_through_by_two_who_pull() {
    check(Some(2), || two(By::Pulled));
}

/// At most two preemptions.
#[test]
fn no_event_of_two_sources_is_slept_through_by_a_dispatcher() {
    check(Some(2), || of_two_sources(By::Dispatcher));
}

/// At most two preemptions.
#[test]
fn no_event_of_two_sources_is_slept_through_by_who_pulls() {
    check(Some(2), || of_two_sources(By::Pulled));
}

/// A source that ends wakes as for an event.
#[test]
fn the_end_of_a_source_is_not_slept_through() {
    check(None, || {
        let listener = Listener::new();
        let source = Source::heard_by(std::slice::from_ref(&listener), By::Dispatcher);
        let sender = thread::spawn({
            let source = source.clone();
            move || source.close()
        });
        let mut place = Place::new(&source);
        while place.take() != Taken::Closed {
            let seen = listener.status.park(&listener.bell);
            source.bell.arm(WORD);
            all_armed();
            if !place.reader.has_news() {
                listener.queue.wait(|| listener.bell.value() == seen);
            }
            listener.status.awake();
        }
        sender.join().unwrap();
    });
}

/// A thread that rings a feed word in any case needs no fence.
#[test]
fn what_a_feed_word_is_rung_for_is_seen() {
    check(None, || {
        let listener = Listener::new();
        let news = Arc::new(AtomicU32::new(0));
        let control = thread::spawn({
            let (listener, news) = (listener.clone(), news.clone());
            move || {
                news.store(1, Ordering::Relaxed);
                listener.bell.touch_feed(1);
                listener.queue.wake();
            }
        });
        loop {
            let seen = listener.bell.feed_value(1);
            about_to_sleep();
            if news.load(Ordering::Relaxed) == 1 {
                break;
            }
            listener.queue.wait(|| listener.bell.feed_value(1) == seen);
        }
        control.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_second_look_a_dispatcher_sleeps_through_an_event() {
    check(None, || one(By::Dispatcher, 1, Without::SecondLook));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_second_look_who_pulls_sleeps_through_an_event() {
    check(None, || one(By::Pulled, 1, Without::SecondLook));
}
