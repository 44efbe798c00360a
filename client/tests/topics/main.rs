//! Topics from the sender's side, with brokers and listeners in this process.

#![allow(clippy::unwrap_used)]

mod restarts;
mod scene;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{
    Code, Dispatch, Plugin, Topic, TopicOptions, TopicState, dynamic, signature_of,
};
use serde_json::json;

use scene::{Bus, Notes, PATIENCE, TOPIC, hear};

/// Small rings, which fill up soon.
fn small() -> TopicOptions {
    TopicOptions::new().capacity(64 << 10)
}

#[test]
fn who_listens_later_is_shown_the_history() {
    let bus = Bus::new();
    let (sender, listener) = (bus.connect("Sender"), bus.connect("Listener"));
    let topic = sender
        .topic_with::<(u32,)>(TOPIC, TopicOptions::new().history(3))
        .unwrap();
    // The listener hears the first event, too.
    (0..2).for_each(|n| topic.send(&(n,)).unwrap());
    let notes = Notes::new();
    let _early = hear(&listener, &notes);
    assert_eq!(notes.wait(2), [0, 1]);
    (2..100).for_each(|n| topic.send(&(n,)).unwrap());
    notes.wait(100);
    let late = bus.connect("Late");
    let notes = Notes::new();
    let _late = hear(&late, &notes);
    assert_eq!(notes.wait(3), [97, 98, 99]);
    // This listener has other types, and gets the events converted.
    let wide = bus.connect("Wide");
    let notes = Notes::new();
    let seen = notes.clone();
    let _wide = wide.subscribe(TOPIC, move |n: u64| seen.add(n)).unwrap();
    topic.send(&(100,)).unwrap();
    assert_eq!(notes.wait(4), [97, 98, 99, 100]);
}

/// Events that are sent together are written for each listener in the encoding that it needs.
#[test]
fn events_that_are_sent_together_reach_listeners_of_other_types() {
    let bus = Bus::new();
    let (sender, listener) = (bus.connect("Sender"), bus.connect("Listener"));
    let options = TopicOptions::new().history(1);
    let topic = sender.topic_with::<(u32,)>(TOPIC, options).unwrap();
    let (notes, wide) = (Notes::new(), Notes::new());
    let seen = wide.clone();
    let _heard = (
        hear(&listener, &notes),
        listener
            .subscribe(TOPIC, move |n: u64| seen.add(n))
            .unwrap(),
    );
    topic.send(&(7,)).unwrap();
    assert_eq!((notes.wait(1), wide.wait(1)), (vec![7], vec![7]));
    assert_eq!(topic.send_all((0..100).map(|n| (n,))).unwrap(), 100);
    assert_eq!(notes.wait(101)[1..], Vec::from_iter(0..100));
    assert_eq!(wide.wait(101)[1..], Vec::from_iter(0..100));
}

#[test]
fn who_is_slow_loses_nothing_while_it_is_waited_for() {
    let bus = Bus::new();
    let (sender, listener) = (bus.connect("Sender"), bus.connect("Listener"));
    // Without this, a listener that gets no processor would use up its budget.
    let options = small().unlimited_budget().send_timeout(PATIENCE);
    let topic = sender.topic_with::<(u32,)>(TOPIC, options).unwrap();
    let notes = Notes::new();
    let seen = notes.clone();
    let _heard = listener
        .subscribe(TOPIC, move |n: u32| {
            if n.is_multiple_of(500) {
                thread::sleep(Duration::from_millis(5));
            }
            seen.add(n);
        })
        .unwrap();
    let events: Vec<_> = (0..20_000).map(|n| (n,)).collect();
    assert_eq!(topic.send_all(&events).unwrap(), 20_000);
    topic.flush(PATIENCE).unwrap();
    let expected: Vec<u32> = (0..20_000).collect();
    assert!(notes.all() == expected, "{}", notes.all().len());
}

#[test]
fn several_threads_send_and_everybody_hears_all_in_one_order() {
    let bus = Bus::new();
    let sender = bus.connect("Sender");
    let topic = sender.topic_with::<(u32,)>(TOPIC, small()).unwrap();
    let listeners = ["One", "Other"].map(|name| bus.connect(name));
    let notes = [Notes::new(), Notes::new()];
    let _heard: Vec<_> = listeners
        .iter()
        .zip(&notes)
        .map(|(l, n)| hear(l, n))
        .collect();
    assert_eq!(topic.subscription_count(), 2);
    thread::scope(|scope| {
        for thread in 0..3 {
            let topic = &topic;
            scope.spawn(move || {
                (0..3_000).for_each(|n| topic.send(&(thread * 10_000 + n,)).unwrap());
            });
        }
    });
    topic.flush(PATIENCE).unwrap();
    let [one, other] = notes.map(|notes| notes.all());
    assert!(one == other && one.len() == 9_000);
    for thread in 0..3 {
        let of_one = one.iter().filter(|n| **n / 10_000 == thread);
        assert!(of_one.copied().eq(thread * 10_000..thread * 10_000 + 3_000));
    }
}

/// A handler that sends to its own plugin, or flushes, does not wait for itself.
#[test]
fn a_plugin_that_listens_to_itself_does_not_wait_for_itself() {
    let bus = Bus::new();
    let plugin = Arc::new(bus.connect("Both"));
    let topic = Arc::new(plugin.topic_with::<(u32,)>(TOPIC, small()).unwrap());
    let notes = Notes::new();
    let (seen, own) = (notes.clone(), topic.clone());
    let _subscription = plugin
        .subscribe(TOPIC, move |n: u32| {
            if n == 0 {
                let begun = Instant::now();
                let flushed = own.flush(PATIENCE).unwrap_err();
                (1..20_000).for_each(|n| own.send(&(n,)).unwrap());
                seen.add((flushed.code(), begun.elapsed() < Duration::from_millis(900)));
            }
        })
        .unwrap();
    topic.send(&(0,)).unwrap();
    assert_eq!(notes.wait(1), [(Code::InvalidArgument, true)]);
    topic.flush(PATIENCE).unwrap();
}

#[test]
fn an_owned_topic_has_one_owner_and_an_open_one_any_number() {
    let bus = Bus::new();
    let (one, other) = (bus.connect("One"), bus.connect("Other"));
    let owned = one.topic::<(u32,)>(TOPIC).unwrap();
    let code = |topic: callgate_client::Result<Topic<(u32,)>>| topic.map(drop).unwrap_err().code();
    assert_eq!(code(other.topic(TOPIC)), Code::AlreadyProvided);
    assert_eq!(code(other.open_topic(TOPIC)), Code::AlreadyProvided);
    // The topic is free when dropping it has returned.
    drop(owned);
    let owned = other.topic::<(u32,)>(TOPIC).unwrap();
    assert!(owned.is_offered() && owned.name() == TOPIC);
    let opened = [&one, &other].map(|plugin| plugin.open_topic::<(u32,)>("Open.Topic").unwrap());
    let listener = bus.connect("Listener");
    let notes = Notes::new();
    let seen = notes.clone();
    let _heard = listener
        .subscribe("Open.Topic", move |n: u32| seen.add(n))
        .unwrap();
    opened
        .iter()
        .zip(1..)
        .for_each(|(topic, n)| topic.send(&(n,)).unwrap());
    let mut all = notes.wait(2);
    all.sort_unstable();
    assert_eq!(all, [1, 2]);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let bus = Bus::new();
    let plugin = bus.connect("Sender");
    for capacity in [0, 100_000, 32 << 10, 32 << 20, usize::MAX] {
        let options = TopicOptions::new().capacity(capacity);
        let error = plugin.topic_with::<(u32,)>(TOPIC, options).map(drop);
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert_eq!(error.gate(), Some(TOPIC));
    }
    assert_eq!(
        plugin.topic::<()>("").map(drop).unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[test]
fn a_plugin_that_has_closed_sends_nothing() {
    let bus = Bus::new();
    let (sender, listener) = (bus.connect("Sender"), bus.connect("Listener"));
    let topic = sender.topic::<(u32,)>(TOPIC).unwrap();
    let notes = Notes::new();
    let _heard = hear(&listener, &notes);
    topic.send(&(1,)).unwrap();
    drop(sender);
    let error = topic.send(&(2,)).unwrap_err();
    assert_eq!((error.code(), error.gate()), (Code::Closed, Some(TOPIC)));
    assert!(matches!(topic.state(), TopicState::Ended(_)));
    assert_eq!(notes.wait(1), [1]);
    assert_eq!(topic.subscription_count(), 0);
}

#[test]
fn what_is_written_at_run_time_is_heard_by_those_with_types() {
    let bus = Bus::new();
    let (sender, listener) = (bus.connect("Sender"), bus.connect("Listener"));
    let signature = signature_of::<(u32, String), ()>();
    let options = TopicOptions::new().history(5);
    let texts = dynamic::topic_json(&sender, "Script.Changed", &signature, &options).unwrap();
    let archives = dynamic::topic(&sender, "Bridge.Changed", &signature, &options).unwrap();
    texts.send_values(&[json!(1), json!("kept")]).unwrap();
    let notes = Notes::new();
    let hear = |name: &str| {
        let seen = notes.clone();
        listener
            .subscribe(name, move |n: u32, text: String| seen.add((n, text)))
            .unwrap()
    };
    let _both = ["Script.Changed", "Bridge.Changed"].map(hear);
    notes.wait(1);
    texts.send(br#"[2, "text"]"#).unwrap();
    notes.wait(2);
    let archive = dynamic::encode(&(3_u32, "archive".to_owned())).unwrap();
    archives.send(&archive).unwrap();
    let expected = [(1, "kept"), (2, "text"), (3, "archive")];
    assert_eq!(
        notes.wait(3),
        expected.map(|(n, text)| (n, text.to_owned()))
    );
    for (code, sent) in [
        (Code::LengthMismatch, texts.send_values(&[json!(1)])),
        (Code::InvalidArgument, texts.send(b"[1, ")),
        (Code::LengthMismatch, texts.send(b"[1]")),
        (Code::InvalidArgument, archives.send_values(&[])),
        (Code::RequestTooLarge, archives.send(&[0; 70_000])),
    ] {
        assert_eq!(sent.unwrap_err().code(), code);
    }
}

fn two_pumps(bus: &Bus) -> (Plugin, Plugin) {
    let listener = bus.with_dispatch("Listener", Dispatch::Pump);
    (bus.connect("Sender"), listener)
}

#[test]
fn flushing_says_who_has_not_handled_what_was_sent() {
    let bus = Bus::new();
    let (sender, listener) = two_pumps(&bus);
    let topic = sender.topic::<(u32,)>(TOPIC).unwrap();
    let notes = Notes::new();
    let _heard = hear(&listener, &notes);
    topic.send(&(1,)).unwrap();
    let error = topic.flush(Duration::from_millis(20)).unwrap_err();
    assert_eq!((error.code(), error.gate()), (Code::Timeout, Some(TOPIC)));
    assert!(error.message().contains("`Listener`"), "{error}");
    while notes.all().is_empty() {
        listener
            .pump(Instant::now() + Duration::from_millis(10))
            .unwrap();
    }
    topic.flush(PATIENCE).unwrap();
    // A listener that has gone is not waited for.
    topic.send(&(2,)).unwrap();
    drop(listener);
    topic.flush(PATIENCE).unwrap();
}
