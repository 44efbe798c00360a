//! Events that a child sends and receives.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callgate::{Broker, BusLimits};
use callgate_client::dynamic::{events_json, topic_json};
use callgate_client::{Received, TopicOptions};
use serde_json::{Value, json};

use super::worker::keep_worker;
use super::{Child, PATIENCE, Scene, Traits, await_that};
use crate::bridge::types::anything;

/// The acknowledgement that a child gets for a frame about events.
fn acked(child: &Child, frame: &Value) -> Value {
    child.says(frame);
    let ack = child.hears();
    assert_eq!(
        (&ack["type"], &ack["id"]),
        (&json!("event.ack"), &frame["id"])
    );
    ack
}

fn subscribes(child: &Child, topic: &str) {
    let ack = acked(
        child,
        &json!({ "type": "events.subscribe", "id": "s", "topic": topic }),
    );
    assert_eq!(ack, json!({ "type": "event.ack", "id": "s", "ok": true }));
}

#[test]
fn a_child_s_event_is_heard_by_others_with_its_payload() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let listener = scene.plugin("listener");
    let mut heard = events_json(&listener, "news.*").unwrap();
    let publish = |topic: &str, payload: Value| json!({ "type": "events.publish", "id": "p", "topic": topic, "payload": payload });
    let ack = acked(&child, &publish("news.new", json!({ "n": 1 })));
    assert_eq!(ack["ok"], true);
    assert_eq!(ack["event_id"].as_str().map(str::len), Some(36));
    acked(&child, &publish("news.old", json!([2])));
    acked(&child, &publish("news.new", Value::Null));
    let mut found = Vec::new();
    while found.len() < 3 {
        if let Some(Received::Event(event)) = heard.next(PATIENCE).unwrap() {
            assert_eq!(event.sender().name(), "notes");
            found.push((event.topic().to_owned(), event.values));
        }
    }
    found.sort_by_key(|(topic, _)| topic.clone());
    let topics: Vec<_> = found.iter().map(|(topic, _)| &**topic).collect();
    assert_eq!(topics, ["news.new", "news.new", "news.old"]);
    let values: Vec<_> = found.into_iter().map(|(_, values)| values).collect();
    assert_eq!(
        values,
        [vec![json!({ "n": 1 })], vec![Value::Null], vec![json!([2])]]
    );
}

#[test]
fn an_event_reaches_a_child_with_its_sender_its_time_and_its_subscription() {
    let scene = Scene::new();
    let child = scene.child("notes");
    subscribes(&child, "news.*");
    let sender = scene.plugin("sender");
    let options = TopicOptions::new().open();
    let topic = topic_json(&sender, "news.today", &anything(), &options).unwrap();
    for (values, payload) in [
        (vec![json!({ "a": 1 })], json!({ "a": 1 })),
        (vec![], Value::Null),
        (vec![json!(1), json!("1.5")], json!([1, "1.5"])),
    ] {
        topic.send_values(&values).unwrap();
        let frame = child.hears();
        assert_eq!(frame["type"], "event.deliver");
        assert_eq!(frame["topic"], "news.today");
        assert_eq!(frame["subscription"], "news.*");
        assert_eq!(frame["source_plugin"], "sender");
        assert_eq!(frame["payload"], payload);
        assert_eq!(frame["version"], 1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ts = Duration::from_millis(frame["ts"].as_u64().unwrap());
        assert!(now.abs_diff(ts) < PATIENCE);
        assert_eq!(frame["id"].as_str().map(str::len), Some(36));
    }
}

/// Events from one child to another keep their versions.
#[test]
fn children_hear_each_other_s_events_with_their_versions() {
    let scene = Scene::new();
    let (sends, hears) = (scene.child("sends"), scene.child("hears"));
    subscribes(&hears, "news.x");
    for (version, expected) in [
        (json!(1), json!(1)),
        (json!("2.1"), json!("2.1")),
        (json!(3), json!(3)),
    ] {
        let frame = json!({
            "type": "events.publish",
            "topic": "news.x",
            "payload": { "v": expected },
            "version": version,
        });
        sends.says(&frame);
        let event = hears.hears();
        assert_eq!(
            (&event["version"], &event["payload"]["v"]),
            (&expected, &expected)
        );
        assert_eq!(event["source_plugin"], "sends");
    }
    // A frame without an id is not acknowledged.
    sends.hears_nothing();
}

#[test]
fn events_of_one_topic_come_in_the_order_of_their_frames() {
    let scene = Scene::new();
    let (sends, hears) = (scene.child("sends"), scene.child("hears"));
    subscribes(&hears, "news.x");
    for n in 0..500 {
        sends.says(&json!({ "type": "events.publish", "topic": "news.x", "payload": n }));
    }
    for n in 0..500 {
        assert_eq!(hears.hears()["payload"], n);
    }
    assert_eq!(sends.bridge.counts().published.get(), 500);
    await_that("all were delivered", || {
        hears.bridge.counts().delivered.get() == 500
    });
}

#[test]
fn what_is_not_declared_is_neither_sent_nor_heard() {
    let scene = Scene::new();
    let child = scene.child("notes");
    for (kind, capability) in [
        ("publish", "events.publish"),
        ("subscribe", "events.subscribe"),
    ] {
        let kind = format!("events.{kind}");
        let frame = json!({ "type": kind, "id": "1", "topic": "other.x", "payload": 1 });
        let ack = acked(&child, &frame);
        assert_eq!(ack["ok"], false);
        assert_eq!(ack["error"]["code"], "PERMISSION_DENIED");
        let context = json!({ "capability": format!("{capability}:other.x") });
        assert_eq!(ack["error"]["context"], context);
    }
    child.says(&json!({ "type": "events.publish", "topic": "other.x", "payload": 1 }));
    assert_eq!(child.bridge.counts().failed_unheard.get(), 1);
}

/// An event for a topic that belongs to a gate, and an event that is too large for a ring.
#[test]
fn an_event_that_cannot_be_sent_is_refused() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let owner = scene.plugin("owner");
    let _gate = owner.provide("news.owned", |n: u32| n).unwrap();
    let mut frame = json!({ "type": "events.publish", "id": "1", "topic": "news.owned" });
    let ack = acked(&child, &frame);
    assert_eq!(ack["error"]["code"], "ALREADY_PROVIDED");
    frame["topic"] = json!("news.free");
    let _listens = events_json(&owner, "news.free").unwrap();
    frame["payload"] = json!("x".repeat(1 << 20));
    assert_eq!(acked(&child, &frame)["error"]["code"], "REQUEST_TOO_LARGE");
    frame["payload"] = json!("short");
    assert_eq!(acked(&child, &frame)["ok"], true);
}

#[test]
fn a_child_unsubscribes_and_subscribes_again() {
    let scene = Scene::new();
    let (sends, hears) = (scene.child("sends"), scene.child("hears"));
    let publish = |n: u32| {
        let frame = json!({ "type": "events.publish", "id": "p", "topic": "news.x", "payload": n });
        assert_eq!(acked(&sends, &frame)["ok"], true);
    };
    subscribes(&hears, "news.x");
    subscribes(&hears, "news.x");
    publish(1);
    assert_eq!(hears.hears()["payload"], 1);
    let unsubscribe = json!({ "type": "events.unsubscribe", "id": "u", "topic": "news.x" });
    assert_eq!(acked(&hears, &unsubscribe)["ok"], true);
    publish(2);
    hears.hears_nothing();
    assert_eq!(acked(&hears, &unsubscribe)["ok"], true);
    subscribes(&hears, "news.*");
    publish(3);
    let event = hears.hears();
    assert_eq!(
        (&event["payload"], &event["subscription"]),
        (&json!(3), &json!("news.*"))
    );
}

/// The policy of a subscription decides which events a child loses that does not read.
#[test]
fn a_child_that_does_not_read_loses_events_as_it_has_said() {
    for policy in ["drop_oldest", "drop_newest", "mark_unhealthy"] {
        let scene = Scene::new();
        let sends = scene.child("sends");
        let mut hears = scene.child_with("hears", Traits::default());
        let frame = json!({
            "type": "events.subscribe",
            "id": "s",
            "topic": "news.x",
            "overflow_policy": policy,
            "queue_size": 4,
        });
        hears.says(&frame);
        assert_eq!(hears.reads_one()["ok"], true);
        // More than the pipe and the queue before it take.
        let text = "x".repeat(50_000);
        let taken = |hears: &Child| {
            let counts = hears.bridge.counts();
            // Four events are in the subscription's queue once it is full.
            counts.dropped.get() + counts.delivered.get() + 4
        };
        for n in 0..60 {
            let payload = json!({ "n": n, "text": text });
            let frame = json!({ "type": "events.publish", "id": "p", "topic": "news.x", "payload": payload });
            assert_eq!(acked(&sends, &frame)["ok"], true);
            // The sender waits until each event was taken, so that none is overwritten in its ring.
            await_that("it was taken", || taken(&hears) > n);
        }
        let counts = hears.bridge.counts();
        assert_eq!((counts.lost.get(), taken(&hears)), (0, 60));
        assert!(counts.dropped.get() > 40);
        let expected = 60 - counts.dropped.get();
        hears.reads();
        let heard: Vec<u64> = (0..expected)
            .map(|_| hears.hears()["payload"]["n"].as_u64().unwrap())
            .collect();
        assert!(heard.is_sorted(), "{heard:?}");
        let last = heard.last().copied().unwrap();
        match policy {
            "drop_oldest" => assert_eq!(last, 59),
            _ => assert!(last < 30, "{heard:?}"),
        }
        if policy == "mark_unhealthy" {
            assert_eq!(hears.unhealthy(), "news.x");
        }
    }
}

#[test]
fn what_a_child_says_of_an_event_is_counted() {
    let scene = Scene::new();
    let child = scene.child("notes");
    child.says(&json!({ "type": "event.deliver.error", "id": "e", "error": "no" }));
    child.says(&json!({ "type": "what.is.this" }));
    let counts = child.bridge.counts();
    assert_eq!((counts.deliver_errors.get(), counts.unknown.get()), (1, 1));
}

/// The first of two attempts to subscribe failed, and the events of the second one were not delivered.
#[test]
fn a_subscription_that_succeeds_at_the_second_try_is_heard() {
    let limits = BusLimits {
        opens: 1,
        ..BusLimits::default()
    };
    let scene = Scene::of(Broker::builder().limits(limits));
    let child = scene.child("notes");
    subscribes(&child, "news.old");
    let go = keep_worker(&child);
    let new = |id: &str| json!({ "type": "events.subscribe", "id": id, "topic": "news.new" });
    child.says(&new("1"));
    child.says(&json!({ "type": "events.unsubscribe", "id": "u", "topic": "news.old" }));
    child.says(&new("2"));
    go.send(()).unwrap();
    let acks = [child.hears(), child.hears(), child.hears()];
    let acks = acks
        .each_ref()
        .map(|ack| (ack["id"].as_str().unwrap(), &ack["ok"]));
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(acks, [("u", &yes), ("1", &no), ("2", &yes)]);
    let sender = scene.plugin("sender");
    let options = TopicOptions::new().open();
    let topic = topic_json(&sender, "news.new", &anything(), &options).unwrap();
    topic.send_values(&[json!(7)]).unwrap();
    assert_eq!(child.hears()["payload"], 7);
}
