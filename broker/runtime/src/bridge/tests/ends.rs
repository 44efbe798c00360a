//! The end of a child, of its stdin, and of its session.

use callgate::{Broker, BusLimits};
use callgate_client::Code;
use callgate_client::dynamic::{Takes, open_json, provide_prefix};
use serde_json::json;

use super::{PATIENCE, Scene, Traits, await_that, open};
use crate::bridge::LastWords;

fn words() -> LastWords {
    LastWords {
        message: "plugin `notes` has ended (signal 9)".to_owned(),
        context: json!({ "signal": 9, "stderr": ["out of memory"] }),
    }
}

/// Callers waited until their deadlines for a child that had crashed.
#[test]
fn a_child_s_end_ends_its_open_calls_with_its_last_words() {
    let scene = Scene::new();
    let child = scene.child("notes");
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let sent: Vec<_> = (0..5).map(|_| gate.send_values(&[]).unwrap()).collect();
    sent.iter().for_each(|_| drop(child.hears()));
    // The callers are answered at once, before the session is closed.
    child.bridge.end(&words());
    for sent in sent {
        let error = sent.wait().unwrap_err();
        assert_eq!(error.code(), Code::ProviderGone);
        assert_eq!(error.message(), words().message);
        assert_eq!(error.context(), Some(&words().context));
        assert!(error.may_have_run());
    }
    let error = gate.call_values(&[]).unwrap_err();
    assert_eq!(error.code(), Code::ProviderGone);
    assert!(!error.may_have_run());
    child.ends(words());
    await_that("the gate is gone", || {
        gate.call_values(&[]).unwrap_err().code() == Code::NotReady
    });
}

/// The next life gets the name and the gates of the last one.
#[test]
fn a_child_that_is_started_again_is_called_over_the_same_gate() {
    let scene = Scene::new();
    let caller = scene.plugin("caller");
    let gate = open_json(&caller, "notes.get")
        .unwrap()
        .with_timeout(PATIENCE);
    let mut last = None;
    for life in 0..3 {
        let child = scene.child("notes");
        gate.wait_ready(PATIENCE).unwrap();
        let sent = gate.send_values(&[]).unwrap();
        let request = child.hears();
        // The id of the last life's request is not accepted from this life.
        if let Some(last) = last.replace(request.clone()) {
            child.answers(&last, &json!("forged"));
        }
        child.answers(&request, &json!(life));
        assert_eq!(sent.wait_value().unwrap(), json!(life));
        child.ends(words());
    }
}

#[test]
fn callers_of_a_child_that_has_closed_its_stdin_are_told_so() {
    let scene = Scene::new();
    let mut child = scene.child_with("notes", Traits::default());
    child.bridge.offer().unwrap();
    child.closes_stdin();
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let error = gate.call_values(&[]).unwrap_err();
    assert_eq!(error.code(), Code::ProviderGone);
    assert_eq!(child.bridge.calls().open(), 0);
}

/// A session is closed while service calls are under way, and while topics and subscriptions are being created.
#[test]
fn a_session_is_closed_whatever_is_under_way() {
    let scene = Scene::new();
    let host = scene.plugin("host");
    let hold = std::sync::Mutex::new(Vec::new());
    let takes = Takes::json_later(move |_, _, responder| hold.lock().unwrap().push(responder));
    let _provided = provide_prefix(&host, "host.", takes).unwrap();
    for round in 0..5 {
        let child = scene.child("notes");
        for n in 0..20 {
            child.says(&json!({ "type": format!("host.g{}", n % 3), "id": n.to_string() }));
            let topic = format!("news.t{n}");
            child.says(&json!({ "type": "events.publish", "topic": topic, "payload": n }));
            child.says(&json!({ "type": "events.subscribe", "topic": topic }));
        }
        if round % 2 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(round));
        }
        child.ends(words());
        // Frames that come now have no effect.
        child.says(&json!({ "type": "host.g0", "id": "late" }));
        child.says(&json!({ "type": "events.publish", "topic": "news.x", "payload": 1 }));
        child.says(&json!({ "type": "events.subscribe", "topic": "news.x" }));
    }
    let again = scene.plugin("notes");
    assert_eq!(again.name(), "notes");
}

/// Another plugin has a gate under the child's name.
#[test]
fn a_name_that_is_not_free_is_told() {
    let scene = Scene::new();
    let other = scene.plugin("other");
    let _gate = other.provide("notes.get", |n: u32| n).unwrap();
    let child = scene.child_with("notes", Traits::default());
    let error = child.bridge.offer().unwrap_err();
    assert_eq!(error.code(), Code::AlreadyProvided);
}

/// When the broker had ended the session of a child, the child was never called again and yet stayed listed as running.
#[test]
fn a_session_that_the_broker_ends_is_told() {
    let limits = BusLimits {
        requests_per_second: 1,
        request_burst: 30,
        ..BusLimits::default()
    };
    let scene = Scene::of(Broker::builder().limits(limits));
    let child = scene.child("notes");
    for n in 0..60 {
        let topic = format!("news.t{n}");
        child.says(&json!({ "type": "events.publish", "topic": topic, "payload": n }));
    }
    let why = child.left();
    assert_eq!(why.code(), Code::Overloaded, "{why}");
}

/// The worker reported that a child serves while the child was being ended, and calls went on into its pipe.
#[test]
fn a_child_that_is_being_ended_does_not_serve_again() {
    let scene = Scene::new();
    let child = scene.child_with("notes", Traits::default());
    child.bridge.stops();
    child.bridge.offer().unwrap();
    let caller = scene.plugin("caller");
    let gate = open(&caller, "notes.get");
    let error = gate.call_values(&[]).unwrap_err();
    assert_eq!(error.code(), Code::NotReady);
}
