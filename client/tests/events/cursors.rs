//! Cursors that go from one feed to the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_client::{Code, Dispatch};

use super::scene::{Notes, PATIENCE, Scene, TOPIC, numbers};

/// The place of a subscription that had ended was dropped when the plugin pumped, and said then that the feed had left
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

/// What a handler had captured was kept by a feed whose sender had gone, as long as another handler listened.
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
