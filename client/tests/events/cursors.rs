//! Cursors that one feed after the other uses.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callgate_client::{Code, Dispatch};

use super::scene::{Notes, PATIENCE, Scene, TOPIC, numbers};

/// When a subscription that has ended is dropped in a later pump, this does not end the feed that has its cursor by
/// then.
/// which had its cursor by then.
#[test]
fn the_end_of_a_feed_does_not_end_the_next_one_with_its_cursor() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Pump);
    let (first, second) = (numbers(&sender), sender.topic::<(u32,)>("Second").unwrap());
    let pump = || drop(listener.pump(Instant::now() + Duration::from_millis(20)));
    let (notes, ended) = (Notes::new(), Notes::new());
    let (seen, had) = (notes.clone(), ended.clone());
    let old = listener.subscribe(TOPIC, move |n: u32| had.add(n)).unwrap();
    first.send(&(1,)).unwrap();
    pump();
    assert_eq!(ended.all(), [1]);
    old.unsubscribe();
    let _new = listener
        .subscribe("Second", move |n: u32| seen.add(n))
        .unwrap();
    pump();
    second.send(&(2,)).unwrap();
    let error = second.flush(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.code(), Code::Timeout, "nobody pumps");
    assert_eq!(second.subscription_count(), 1);
    pump();
    assert_eq!(notes.all(), [2]);
    second.flush(PATIENCE).unwrap();
}

/// Unsubscribing drops a handler and its captures, also for a feed whose sender has gone and while another handler
/// still listens.
#[test]
fn unsubscribing_drops_a_handler_whose_sender_has_gone() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let topic = numbers(&sender);
    let notes = Notes::new();
    let (one, other) = (notes.clone(), notes.clone());
    let captured = Arc::new(());
    let held = captured.clone();
    let subscription = listener
        .subscribe(TOPIC, move |n: u32| {
            let _held = &held;
            one.add(n);
        })
        .unwrap();
    let _other = listener
        .subscribe(TOPIC, move |n: u32| other.add(n))
        .unwrap();
    topic.send(&(1,)).unwrap();
    notes.wait(2);
    drop(topic);
    let until = Instant::now() + PATIENCE;
    while !subscription.senders().is_empty() {
        assert!(Instant::now() < until, "the sender is heard still");
        std::thread::sleep(Duration::from_millis(1));
    }
    subscription.unsubscribe();
    assert_eq!(Arc::strong_count(&captured), 1);
}

/// A cursor is not given to another feed while a handler of the ending feed still runs: at its end it would write
/// into the new feed's cursor.
/// the feed had left.
#[test]
fn a_cursor_is_not_given_to_another_feed_while_somebody_writes_to_it() {
    // As many cursors as a plugin has.
    const CURSORS: usize = 1024;
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let (first, second) = (numbers(&sender), sender.topic::<(u32,)>("Second").unwrap());
    let (second, listener) = (Arc::new(second), Arc::new(listener));
    let own = Arc::new(Mutex::new(None));
    let (notes, last) = (Notes::new(), Notes::new());
    let handler = {
        let (counts, seen, own) = (notes.clone(), last.clone(), own.clone());
        let (plugin, second) = (Arc::downgrade(&listener), second.clone());
        move |_: u32| {
            // The cursor of this feed stays in use until the handler has returned.
            drop(own.lock().unwrap().take());
            let plugin = plugin.upgrade().unwrap();
            for _ in 0..CURSORS {
                let subscription = plugin.subscribe("Second", |_: u32| ()).unwrap();
                counts.add(second.subscription_count());
                drop(subscription);
            }
            let seen = seen.clone();
            let hear = move |n: u32| seen.add(n);
            *own.lock().unwrap() = Some(plugin.subscribe("Second", hear).unwrap());
        }
    };
    *own.lock().unwrap() = Some(listener.subscribe(TOPIC, handler).unwrap());
    first.send(&(1,)).unwrap();
    let mut counts = notes.wait(CURSORS);
    assert_eq!(counts.pop(), Some(0), "it came round to the first one");
    assert!(counts.iter().all(|count| *count == 1));
    await_that(|| second.subscription_count() == 1);
    second.send(&(2,)).unwrap();
    assert_eq!(last.wait(1), [2]);
    second.flush(PATIENCE).unwrap();
    drop(own.lock().unwrap().take());
}

/// Unsubscribing is seen by the sender at once, also without a broker and before the plugin pumps again.
#[test]
fn unsubscribing_is_seen_by_the_sender_without_a_broker_and_without_a_pump() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Pump);
    let topic = numbers(&sender);
    let notes = Notes::new();
    let seen = notes.clone();
    let subscription = listener
        .subscribe(TOPIC, move |n: u32| seen.add(n))
        .unwrap();
    topic.send(&(1,)).unwrap();
    drop(listener.pump(Instant::now() + Duration::from_millis(20)));
    assert_eq!(notes.all(), [1]);
    drop(scene);
    topic.send(&(2,)).unwrap();
    let error = topic.flush(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.code(), Code::Timeout, "nobody pumps");
    subscription.unsubscribe();
    topic.flush(Duration::from_millis(20)).unwrap();
    assert_eq!(notes.all(), [1]);
}

fn await_that(mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "it does not come about");
        std::thread::sleep(Duration::from_millis(1));
    }
}
