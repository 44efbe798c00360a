//! `callgate emit`

use std::sync::mpsc::{Receiver, channel};

use callgate::{Broker, Policy};
use callgate_client::{Plugin, Subscription};
use callgate_tests::{Bus, programs};
use serde_json::json;

use crate::support::run;

const TOPIC: &str = "Weather.Changed";

/// Subscribes to events of numbers and texts.
fn hear(plugin: &Plugin) -> (Subscription, Receiver<(u64, String)>) {
    let (heard, events) = channel();
    let told = move |n: u64, text: String| drop(heard.send((n, text)));
    (plugin.subscribe(TOPIC, told).expect("subscribing"), events)
}

/// When the command ends, every listener has handled the event, so a script can rely on it.
#[test]
fn when_it_ends_every_listener_has_handled_the_event() {
    let bus = Bus::start(programs!());
    let (one, other) = (bus.plugin("One"), bus.plugin("Other"));
    let ((_one, first), (_other, second)) = (hear(&one), hear(&other));
    for n in 0..5 {
        let text = json!(format!("the {n}th")).to_string();
        let outcome = run(&bus.socket(), &["emit", TOPIC, &n.to_string(), &text]);
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        assert_eq!(outcome.stdout, "2 listeners have it\n");
        for events in [&first, &second] {
            assert_eq!(events.try_recv().unwrap(), (n, format!("the {n}th")));
        }
    }
    let document = run(
        &bus.socket(),
        &["emit", TOPIC, "--args", r#"[7,"x"]"#, "--json"],
    );
    assert_eq!(document.json(), json!({ "topic": TOPIC, "listeners": 2 }));
    assert_eq!(first.try_recv().unwrap(), (7, "x".to_owned()));
}

/// The command says so if nobody listens.
#[test]
fn it_says_where_nobody_listens() {
    let bus = Bus::start(programs!());
    let outcome = run(&bus.socket(), &["emit", TOPIC, "1"]);
    assert_eq!(
        (outcome.exit, &*outcome.stdout),
        (Some(0), ""),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("nobody listens"), "{outcome:?}");
    assert!(outcome.stderr.contains(TOPIC), "{outcome:?}");
    let outcome = run(&bus.socket(), &["emit", TOPIC, "1", "--json"]);
    assert_eq!(outcome.json(), json!({ "topic": TOPIC, "listeners": 0 }));
    assert_eq!(outcome.stderr, "");
}

/// If a listener does not handle the event in time, the command names it.
#[test]
fn a_listener_that_does_not_handle_it_in_time_is_named() {
    let bus = Bus::start(programs!());
    let listener = bus.plugin("Sleeper");
    let _never_taken = listener.events::<(u64,)>(TOPIC).unwrap();
    let emit = ["emit", TOPIC, "1", "--timeout", "200ms"];
    let outcome = run(&bus.socket(), &emit);
    outcome.assert_failed(1, "TIMEOUT");
    assert!(outcome.stderr.contains("Sleeper"), "{outcome:?}");
    let outcome = run(&bus.socket(), &[&emit[..], &["--json"]].concat());
    outcome.assert_failed_in_json(1, "TIMEOUT");
}

/// On the topic of a gate only its owner may send, so nobody sends in its name.
#[test]
fn on_the_topic_of_a_gate_only_its_owner_sends() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Weather");
    let _topic = plugin.topic::<(u64,)>(TOPIC).unwrap();
    let _gate = plugin.provide("Weather.Now", || 21_u32).unwrap();
    for gate in [TOPIC, "Weather.Now"] {
        let outcome = run(&bus.socket(), &["emit", gate, "1"]);
        outcome.assert_failed(1, "ALREADY_PROVIDED");
        assert!(outcome.stderr.contains("Weather"), "{outcome:?}");
        assert!(outcome.stderr.contains("only its owner"), "{outcome:?}");
        assert!(outcome.stderr.contains(gate), "{outcome:?}");
    }
    run(&bus.socket(), &["emit", TOPIC, "1", "--json"])
        .assert_failed_in_json(1, "ALREADY_PROVIDED");
}

/// On an open topic the command sends beside the other senders.
#[test]
fn on_an_open_topic_it_is_one_of_many() {
    let bus = Bus::start(programs!());
    let listener = bus.plugin("Listener");
    let (_kept, events) = hear(&listener);
    let sender = bus.plugin("Sender");
    let topic = sender.open_topic::<(u64, String)>(TOPIC).unwrap();
    topic.send(&(1, "before".to_owned())).unwrap();
    topic.flush(callgate_tests::PATIENCE).unwrap();
    let outcome = run(&bus.socket(), &["emit", TOPIC, "2", "\"between\""]);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    topic.send(&(3, "after".to_owned())).unwrap();
    topic.flush(callgate_tests::PATIENCE).unwrap();
    let all: Vec<_> = events.try_iter().collect();
    let expected = [(1, "before"), (2, "between"), (3, "after")];
    assert_eq!(all, expected.map(|(n, text)| (n, text.to_owned())));
}

/// The topic that the command makes has room for long events.
#[test]
fn long_events_have_room() {
    let bus = Bus::start(programs!());
    let listener = bus.plugin("Listener");
    let (_kept, events) = hear(&listener);
    let emit = |length: usize| {
        let file = bus.directory().join("text.json");
        std::fs::write(&file, format!("\"{}\"", "x".repeat(length))).unwrap();
        let parameter = format!("@{}", file.display());
        run(&bus.socket(), &["emit", TOPIC, "1", &parameter])
    };
    for length in [200_000, 262_100, 1_000_000] {
        let outcome = emit(length);
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        assert_eq!(events.try_recv().unwrap().1.len(), length);
    }
    emit(17_000_000).assert_failed(1, "REQUEST_TOO_LARGE");
}

/// A value that is no JSON is wrong usage: no listener could read it.
#[test]
fn what_is_no_json_is_wrong_usage() {
    let bus = Bus::start(programs!());
    for wrong in [&["text"][..], &["1", "{"], &["--args", "1"]] {
        let outcome = run(&bus.socket(), &[&["emit", TOPIC], wrong].concat());
        outcome.assert_failed(2, "INVALID_ARGUMENT");
    }
    let outcome = run(&bus.socket(), &["emit", TOPIC, "@/nowhere/file"]);
    assert_eq!(outcome.exit, Some(1), "{outcome:?}");
}

/// The policy decides where the commands may send and listen, and can be written for them.
#[test]
fn the_policy_says_where_events_are_sent_and_heard() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("bus.sock");
    let emits = Policy::new().send("Open.*").provide("Own.*");
    let _broker = Broker::builder()
        .socket(&socket)
        .plugin("callgate-emit-*", emits)
        .plugin("callgate-listen-*", Policy::new().subscribe("Open.*"))
        .start()
        .unwrap();
    for topic in ["Open.Topic", "Own.Topic"] {
        let outcome = run(&socket, &["emit", topic, "1"]);
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    }
    let outcome = run(&socket, &["emit", "Other.Topic", "1"]);
    outcome.assert_failed(1, "PERMISSION_DENIED");
    assert!(outcome.stderr.contains("topic.send"), "{outcome:?}");
    for topic in ["Open.*", "Open.Topic"] {
        let outcome = run(&socket, &["listen", topic, "--timeout", "100ms"]);
        assert!(outcome.stderr.contains("TIMEOUT: 0 events"), "{outcome:?}");
    }
    for topic in ["Op.*", "Own.Topic"] {
        let outcome = run(&socket, &["listen", topic]);
        outcome.assert_failed(1, "PERMISSION_DENIED");
        assert!(outcome.stderr.contains("gate.subscribe"), "{outcome:?}");
    }
}
