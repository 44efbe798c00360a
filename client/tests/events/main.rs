//! Events between plugins of this process, which send and hear through shared memory as plugins of different
//! processes do.

#![allow(clippy::unwrap_used)]

mod bounds;
mod circles;
mod cursors;
mod groups;
mod later;
mod many;
mod scene;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Dispatch, Drained, EventContext, EventNotice, HandlerError, Received, View};

use scene::{Notes, PATIENCE, Scene, TOPIC, numbers};

const MODES: [Dispatch; 3] = [Dispatch::Thread, Dispatch::Pool(3), Dispatch::Pump];

/// Pumps a plugin until a condition holds.
fn pump_until(plugin: &callgate_client::Plugin, dispatch: Dispatch, is_done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_done() {
        assert!(Instant::now() < until, "it does not come about");
        match dispatch {
            Dispatch::Pump => drop(
                plugin
                    .pump(Instant::now() + Duration::from_millis(10))
                    .unwrap(),
            ),
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
}

#[test]
fn events_come_in_order_in_every_mode() {
    for dispatch in MODES {
        let scene = Scene::new();
        let (sender, listener) = scene.two(dispatch);
        let topic = numbers(&sender);
        let notes = Notes::new();
        let seen = notes.clone();
        let subscription = listener
            .subscribe(TOPIC, move |event: EventContext<'_>, n: u32| {
                assert_eq!((event.topic(), event.sender().name()), (TOPIC, "Sender"));
                assert!(!event.is_converted());
                seen.add((event.number(), n));
            })
            .unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (0..5000).for_each(|n| topic.send(&(n,)).unwrap()));
            pump_until(&listener, dispatch, || notes.all().len() >= 5000);
        });
        let expected: Vec<_> = (0..5000).map(|n| (u64::from(n), n)).collect();
        assert_eq!(notes.all(), expected, "{dispatch:?}");
        assert_eq!(subscription.senders().len(), 1);
        assert_eq!(subscription.failed(), 0);
    }
}

#[test]
fn a_sender_may_come_after_its_listeners_and_under_a_prefix() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let notes = Notes::new();
    let (exact, under) = (notes.clone(), notes.clone());
    let _exact = listener
        .subscribe(TOPIC, move |n: u32| exact.add(format!("exact {n}")))
        .unwrap();
    let _under = listener
        .subscribe("Weather.*", move |event: EventContext<'_>, n: u32| {
            under.add(format!("{} {n}", event.topic()));
        })
        .unwrap();
    let topic = numbers(&sender);
    let other = sender.topic::<(u32,)>("Weather.Other").unwrap();
    topic.send(&(1,)).unwrap();
    other.send(&(2,)).unwrap();
    let mut all = notes.wait(3);
    all.sort();
    assert_eq!(all, ["Weather.Changed 1", "Weather.Other 2", "exact 1"]);
}

#[test]
fn handlers_run_in_the_order_of_their_subscriptions_also_after_removals() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let topic = numbers(&sender);
    let notes = Notes::new();
    let subscribe = |name: &'static str| {
        let notes = notes.clone();
        listener
            .subscribe(TOPIC, move |n: u32| notes.add((name, n)))
            .unwrap()
    };
    let (a, b, c) = (subscribe("a"), subscribe("b"), subscribe("c"));
    topic.send(&(1,)).unwrap();
    assert_eq!(notes.wait(3), [("a", 1), ("b", 1), ("c", 1)]);
    b.unsubscribe();
    topic.send(&(2,)).unwrap();
    assert_eq!(notes.wait(5)[3..], [("a", 2), ("c", 2)]);
    let b = subscribe("b");
    topic.send(&(3,)).unwrap();
    assert_eq!(notes.wait(8)[5..], [("a", 3), ("c", 3), ("b", 3)]);
    assert_eq!(topic.subscription_count(), 1);
    drop((a, b, c));
}

#[test]
fn a_handler_that_fails_or_panics_keeps_no_other_one_from_running() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let topic = numbers(&sender);
    let notes = Notes::new();
    let seen = notes.clone();
    let fails = listener
        .subscribe(TOPIC, |n: u32| match n {
            2 => panic!("the test says so"),
            _ => Err(HandlerError::new("NO", "the test says so")),
        })
        .unwrap();
    let goes_on = listener
        .subscribe(TOPIC, move |n: u32| seen.add(n))
        .unwrap();
    (1..4).for_each(|n| topic.send(&(n,)).unwrap());
    assert_eq!(notes.wait(3), [1, 2, 3]);
    assert_eq!((fails.failed(), goes_on.failed()), (3, 0));
}

#[test]
fn after_unsubscribing_the_handler_does_not_run_again() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let scene = Scene::new();
        let (sender, listener) = scene.two(dispatch);
        let topic = numbers(&sender);
        let (notes, (entered, has_entered)) = (Notes::new(), mpsc::channel());
        let seen = notes.clone();
        let subscription = listener
            .subscribe(TOPIC, move |n: u32| {
                entered.send(()).unwrap();
                thread::sleep(Duration::from_millis(50));
                seen.add(n);
            })
            .unwrap();
        (0..10).for_each(|n| topic.send(&(n,)).unwrap());
        has_entered.recv_timeout(PATIENCE).unwrap();
        subscription.unsubscribe();
        let seen = notes.all();
        assert!(!seen.is_empty() && seen.len() < 10, "{seen:?}");
        assert!(has_entered.try_iter().count() < 9);
        thread::sleep(Duration::from_millis(200));
        assert_eq!(notes.all(), seen);
    }
}

#[test]
fn a_handler_may_end_its_own_subscription() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let scene = Scene::new();
        let (sender, listener) = scene.two(dispatch);
        let topic = numbers(&sender);
        let own = Arc::new(std::sync::Mutex::new(None));
        let (notes, held) = (Notes::new(), own.clone());
        let seen = notes.clone();
        let subscription = listener
            .subscribe(TOPIC, move |n: u32| {
                seen.add(n);
                drop(held.lock().unwrap().take());
            })
            .unwrap();
        *own.lock().unwrap() = Some(subscription);
        topic.send(&(1,)).unwrap();
        notes.wait(1);
        let until = Instant::now() + PATIENCE;
        while topic.subscription_count() > 0 {
            assert!(Instant::now() < until, "it goes on");
            thread::sleep(Duration::from_millis(1));
        }
        topic.send(&(2,)).unwrap();
        assert_eq!(notes.all(), [1]);
    }
}

#[test]
fn a_handler_may_call_its_sender() {
    for dispatch in MODES {
        let scene = Scene::new();
        let (sender, listener) = scene.two(dispatch);
        let _double = sender.provide("Sender.Double", |n: u32| n * 2).unwrap();
        let topic = numbers(&sender);
        let double = listener.subscriber::<(u32,), u32>("Sender.Double").unwrap();
        let notes = Notes::new();
        let seen = notes.clone();
        let _subscription = listener
            .subscribe(TOPIC, move |n: u32| seen.add(double.invoke((n,)).ok()))
            .unwrap();
        (1..4).for_each(|n| topic.send(&(n,)).unwrap());
        pump_until(&listener, dispatch, || notes.all().len() >= 3);
        let doubled = [2, 4, 6].map(Some);
        assert_eq!(notes.all(), doubled, "{dispatch:?}");
    }
}

#[test]
fn views_are_read_where_they_lie() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let topic = sender.topic::<(String, Vec<u8>)>(TOPIC).unwrap();
    let notes = Notes::new();
    let seen = notes.clone();
    let _subscription = listener
        .subscribe(TOPIC, move |text: View<'_, String>, bytes: Vec<u8>| {
            seen.add(format!("{} {}", text.as_str(), bytes.len()));
        })
        .unwrap();
    topic
        .send(&("a long enough text".to_owned(), vec![7; 30_000]))
        .unwrap();
    assert_eq!(notes.wait(1), ["a long enough text 30000"]);
}

#[test]
fn whoever_asks_is_told_of_senders_that_come_and_go() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let notes = Notes::new();
    let (seen, told) = (notes.clone(), notes.clone());
    let _subscription = listener
        .subscription("Weather.*")
        .on_notice(move |notice| {
            told.add(match notice {
                EventNotice::Here { sender, .. } => format!("here {}", sender.name()),
                EventNotice::Gone { sender, why, .. } => {
                    format!("gone {} {}", sender.name(), why.code())
                }
                other => format!("{other:?}"),
            });
        })
        .subscribe(move |n: u32| seen.add(n.to_string()))
        .unwrap();
    let topic = numbers(&sender);
    (1..3).for_each(|n| topic.send(&(n,)).unwrap());
    drop(topic);
    assert_eq!(
        notes.wait(4),
        ["here Sender", "1", "2", "gone Sender PROVIDER_GONE"]
    );
}

#[test]
fn events_are_taken_one_by_one() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let topic = sender.topic::<(u32, String)>(TOPIC).unwrap();
    let mut events = listener.events::<(u32, String)>(TOPIC).unwrap();
    let here = events.next(PATIENCE).unwrap().unwrap();
    assert!(matches!(here, Received::Notice(EventNotice::Here { .. })));
    assert!(events.next(Duration::from_millis(10)).unwrap().is_none());
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            topic.send(&(1, "one".to_owned())).unwrap();
        });
        let event = events.next(PATIENCE).unwrap().unwrap().event().unwrap();
        assert_eq!(event.values, (1, "one".to_owned()));
        assert_eq!((event.number(), event.sender().name()), (0, "Sender"));
    });
    (2..10).for_each(|n| topic.send(&(n, String::new())).unwrap());
    let all = events.drain(5).unwrap();
    let values: Vec<_> = all
        .into_iter()
        .map(|event| event.event().unwrap().values.0)
        .collect();
    assert_eq!(values, [2, 3, 4, 5, 6]);
    assert_eq!(events.drain(100).unwrap().len(), 3);
    topic.flush(PATIENCE).unwrap();
}

/// A function that drains gets the same events in the same order, and no more than it asked for. Events count as
/// handled when it has returned.
#[test]
fn a_function_is_given_events_in_order() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let topic = sender.topic::<(u32, String)>(TOPIC).unwrap();
    let mut events = listener.events::<(u32, String)>(TOPIC).unwrap();
    // More than are copied at a time, and more than one batch.
    let sent = (0..200_u32).map(|n| (n, "x".repeat(n as usize)));
    assert_eq!(topic.send_all(sent).unwrap(), 200);
    let (mut numbers, mut is_here) = (Vec::new(), false);
    let mut drain = |most| {
        events.drain_with(most, |drained| match drained {
            Drained::Event(event, (n, text)) => {
                assert_eq!((event.number(), text.len()), (u64::from(n), n as usize));
                assert_eq!(event.sender().name(), "Sender");
                numbers.push(n);
            }
            Drained::Notice(notice) => is_here |= matches!(notice, EventNotice::Here { .. }),
        })
    };
    // One of them is the notice.
    assert_eq!(drain(71).unwrap(), 71);
    assert!(topic.flush(Duration::ZERO).is_err(), "130 are left");
    assert_eq!(drain(1000).unwrap(), 130);
    assert_eq!(drain(1000).unwrap(), 0);
    assert!(is_here && numbers.into_iter().eq(0..200));
    topic.flush(PATIENCE).unwrap();
}

#[test]
fn types_that_differ_are_converted_or_told() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let topic = numbers(&sender);
    let notes = Notes::new();
    let (wide, told, exact) = (notes.clone(), notes.clone(), notes.clone());
    let converted = listener
        .subscribe(TOPIC, move |n: u64| wide.add(n.to_string()))
        .unwrap();
    let unfit = |notice: &EventNotice| match notice {
        EventNotice::Unfit { why, .. } => why.code().to_string(),
        other => format!("{other:?}"),
    };
    let never = listener
        .subscription(TOPIC)
        .on_notice(move |notice| told.add(unfit(notice)))
        .subscribe(|_: Vec<String>| ())
        .unwrap();
    let exactly = listener
        .subscription(TOPIC)
        .exact_only()
        .on_notice(move |notice| exact.add(unfit(notice)))
        .subscribe(|_: u16| ())
        .unwrap();
    assert_eq!(notes.wait(2), ["TYPE_MISMATCH", "TYPE_MISMATCH"]);
    topic.send(&(7,)).unwrap();
    assert_eq!(notes.wait(3)[2], "7");
    assert!(converted.is_converted());
    assert_eq!((never.unfit(), exactly.unfit()), (1, 1));
}

#[test]
fn json_is_heard_without_types() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Thread);
    let topic = sender.topic::<(u32, String)>(TOPIC).unwrap();
    let mut events = callgate_client::dynamic::events_json(&listener, "Weather.*").unwrap();
    let notes = Notes::new();
    let seen = notes.clone();
    let all = listener.subscription(TOPIC);
    let _json = callgate_client::dynamic::subscribe_json(all, move |_, values| {
        seen.add(serde_json::Value::Array(values).to_string());
        Ok(())
    })
    .unwrap();
    topic.send(&(1, "one".to_owned())).unwrap();
    assert_eq!(notes.wait(1), [r#"[1,"one"]"#]);
    let event = loop {
        if let Received::Event(event) = events.next(PATIENCE).unwrap().unwrap() {
            break event;
        }
    };
    assert_eq!(
        event.values,
        [serde_json::json!(1), serde_json::json!("one")]
    );
}
