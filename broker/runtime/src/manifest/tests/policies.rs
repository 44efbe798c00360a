//! The runtime's check of frames and the broker's policy, made from the same manifest, give the same answers.

use callgate::Policy;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::frames::check_by;
use super::{declaring, read};

fn policy(capabilities: &[&str]) -> Policy {
    read(&declaring(capabilities))
        .expect("it is right")
        .policy()
}

#[test]
fn a_plugin_that_declares_nothing_provides_its_gates_and_calls_what_is_free() {
    let policy = policy(&[]);
    assert!(policy.may_provide("chat-counter."));
    assert!(policy.may_provide("chat-counter.count"));
    for name in [
        "chat.",
        "chat.count",
        "chat-counter",
        "chat-counter2.",
        "data.",
    ] {
        assert!(!policy.may_provide(name), "{name}");
    }
    for name in [
        "data.config",
        "permissions.check",
        "core.users",
        "resources.usage",
    ] {
        assert!(policy.may_call(name), "{name}");
    }
    for name in [
        "data.kv",
        "chat.send",
        "chat-counter.count",
        "schedule.register",
        "core",
        "callgate.runtime.list",
    ] {
        assert!(!policy.may_call(name), "{name}");
    }
    assert!(!policy.may_send("chat-counter.counted") && !policy.may_subscribe("chat.message"));
    assert!(!policy.may_create_share("a") && !policy.may_read_share("a"));
}

#[test]
fn capabilities_for_frames_are_rights_to_call() {
    for (capability, gates) in [
        ("data.sql:self", &["data.sql"][..]),
        ("data.kv:self", &["data.kv"]),
        ("storage.file:self", &["storage.file"]),
        ("voice.tokens:self", &["voice.tokens"]),
        ("voice.moderation:self", &["voice.moderation"]),
        ("data.read:chat.messages", &["data.read"]),
        ("http.fetch:example.com", &["http.fetch"]),
        (
            "runtime.schedule",
            &["schedule.register", "schedule.unregister"],
        ),
        ("broadcast.clients", &["broadcast.send", "presence.list"]),
        ("gate.call:chat.*", &["chat.send"]),
    ] {
        let (with, without) = (policy(&[capability]), policy(&[]));
        for gate in gates {
            assert!(with.may_call(gate), "{capability}");
            assert!(!without.may_call(gate), "{capability}");
            assert!(!with.may_provide(gate) && !with.may_send(gate) && !with.may_subscribe(gate));
        }
        assert!(!with.may_call("other.gate"), "{capability}");
    }
}

#[test]
fn the_others_are_rights_of_their_own() {
    let policy = policy(&[
        "events.publish:news.*",
        "events.subscribe:chat.*",
        "gate.subscribe:Rack.Level",
        "gate.provide:Counter.*",
        "share.create:Counter.Table",
        "share.read:Rack.*",
    ]);
    assert!(
        policy.may_send("news.today") && !policy.may_send("news") && !policy.may_send("chat.a")
    );
    assert!(
        policy.may_subscribe("chat.a")
            && policy.may_subscribe("chat.")
            && policy.may_subscribe("Rack.Level")
    );
    assert!(!policy.may_subscribe("news.today") && !policy.may_subscribe("Rack."));
    assert!(policy.may_provide("Counter.Add") && policy.may_provide("chat-counter.count"));
    assert!(policy.may_create_share("Counter.Table") && !policy.may_create_share("Rack.A"));
    assert!(policy.may_read_share("Rack.A") && !policy.may_read_share("Counter.Table"));
    assert!(!policy.may_call("Counter.Add"));
}

/// Any capability that may be declared.
fn capability() -> impl Strategy<Value = String> {
    let name = "[ab](\\.[ab]){0,2}";
    prop_oneof![
        Just("data.kv:self".to_owned()),
        Just("runtime.schedule".to_owned()),
        name.prop_map(|name| format!("events.publish:{name}")),
        name.prop_map(|name| format!("events.publish:{name}.*")),
        name.prop_map(|name| format!("events.subscribe:{name}")),
        name.prop_map(|name| format!("events.subscribe:{name}.*")),
        "[ab.]{1,2}\\*?[ab.]{0,2}\\*?".prop_map(|pattern| format!("gate.call:{pattern}")),
        "[ab.*]{1,4}".prop_map(|pattern| format!("gate.subscribe:{pattern}")),
    ]
}

proptest! {
    /// If the runtime and the broker disagreed, a call could pass the runtime's check and fail at the broker; or a plugin that links the
    /// client could make a call that a plugin on pipes may not make.
    #[test]
    fn frames_and_the_broker_agree(
        capabilities in prop::collection::vec(capability(), 0..4),
        name in "[ab](\\.[ab]){0,3}",
    ) {
        let capabilities: Vec<&str> = capabilities.iter().map(String::as_str).collect();
        // Some of these lists are refused.
        if let Ok(manifest) = read(&declaring(&capabilities)) {
            let broker = manifest.policy();
            let is_allowed = |frame: Value| check_by(manifest.capabilities(), &frame).is_ok();
            let publish = json!({ "type": "events.publish", "topic": name });
            prop_assert_eq!(is_allowed(publish), broker.may_send(&name));
            let subscribe = |topic: &str| json!({ "type": "events.subscribe", "topic": topic });
            prop_assert_eq!(is_allowed(subscribe(&name)), broker.may_subscribe(&name));
            let under = format!("{name}.");
            prop_assert_eq!(is_allowed(subscribe(&format!("{under}*"))), broker.may_subscribe(&under));
            for gate in [&*name, "data.kv", "schedule.register", "data.config"] {
                let service = json!({ "type": gate, "id": "1" });
                prop_assert_eq!(is_allowed(service), broker.may_call(gate));
            }
        }
    }

    /// The capability that the error names allows the frame once it is declared, provided that it can be declared.
    #[test]
    fn what_is_named_is_what_is_missing(topic in "[ab.*]{0,6}") {
        let nothing = read(&declaring(&[])).expect("it is right");
        for kind in ["events.publish", "events.subscribe"] {
            let frame = json!({ "type": kind, "topic": topic });
            let denied = check_by(nothing.capabilities(), &frame).expect_err("nothing is declared");
            if let Ok(declared) = read(&declaring(&[&denied.capability])) {
                prop_assert_eq!(check_by(declared.capabilities(), &frame), Ok(()), "{}", topic);
            }
        }
    }
}
