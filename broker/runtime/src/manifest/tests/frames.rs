//! Each type of frame with the capability that allows it, without it, and with one that is close to it.

use serde_json::{Value, json};

use super::super::{Capabilities, Denied};
use super::cases::{Case, cases, service};
use super::{declaring, read, wrong};
use crate::frame::parse;

/// The result of the check for a frame of a plugin with these capabilities.
fn check(capabilities: &[&str], frame: &Value) -> Result<(), Denied> {
    let manifest = read(&declaring(capabilities)).expect("it is right");
    check_by(manifest.capabilities(), frame)
}

pub(super) fn check_by(capabilities: &Capabilities, frame: &Value) -> Result<(), Denied> {
    let text = frame.to_string();
    capabilities.check(&parse(text.as_bytes()).expect("it is a frame"))
}

#[test]
fn each_frame_is_allowed_by_its_capability_and_by_no_other() {
    for case in cases() {
        let Case {
            frame,
            named,
            enough,
            near,
        } = case;
        let denied = || {
            Err(Denied {
                capability: named.to_owned(),
            })
        };
        assert_eq!(check(&[], &frame), denied(), "{frame}");
        assert_eq!(check(&[named], &frame), Ok(()), "{frame}");
        for capability in enough {
            assert_eq!(
                check(&[capability], &frame),
                Ok(()),
                "{frame} by {capability}"
            );
        }
        for capability in near {
            assert_eq!(
                check(&[capability], &frame),
                denied(),
                "{frame} by {capability}"
            );
        }
        assert_eq!(check(near, &frame), denied(), "{frame} by all of {near:?}");
    }
}

#[test]
fn some_frames_need_nothing() {
    for frame in [
        json!({ "type": "ready" }),
        json!({ "type": "serve_ready" }),
        json!({ "type": "pong", "nonce": 1 }),
        json!({ "type": "response", "id": "1", "result": 1 }),
        json!({ "type": "response", "id": "1", "error": { "code": "A", "message": "b" } }),
        json!({ "type": "event.deliver.error", "id": "1", "error": "no" }),
        json!({ "type": "something" }),
        json!({ "type": "events.unsubscribe", "topic": "chat.*" }),
        json!({ "type": "permissions.check", "id": "1" }),
        json!({ "type": "permissions.of.user", "id": "1" }),
        json!({ "type": "core.users.get", "id": "1" }),
        json!({ "type": "data.config", "id": "1", "method": "getAll" }),
        json!({ "type": "resources.usage", "id": "1" }),
        json!({ "type": "resources.usage", "id": "1", "plugin": null }),
        json!({ "type": "resources.usage", "id": "1", "plugin": "chat-counter" }),
    ] {
        assert_eq!(check(&[], &frame), Ok(()), "{frame}");
    }
}

#[test]
fn names_beside_the_free_ones_are_not_free() {
    for name in [
        "permissions",
        "core",
        "corex.users",
        "data.configs",
        "data.config.get",
        "event.delivered",
    ] {
        let denied = check(&[], &service(name)).expect_err(name);
        assert_eq!(denied.capability, format!("gate.call:{name}"));
    }
}

/// If the fields that the scope consists of are missing, no capability can be named, and none allows the frame.
#[test]
fn a_frame_without_its_scope_is_not_allowed() {
    let all = [
        "data.read:chat.messages",
        "http.fetch:example.com",
        "resources.read:chat",
    ];
    let table = "data.read:<plugin>.<table>";
    for (frame, named) in [
        (json!({ "type": "data.read" }), table),
        (json!({ "type": "data.read", "plugin": "chat" }), table),
        (json!({ "type": "data.read", "table": "messages" }), table),
        (
            json!({ "type": "data.read", "plugin": ["chat"], "table": "messages" }),
            table,
        ),
        (
            json!({ "type": "data.read", "plugin": "chat.messages", "table": "" }),
            "data.read:chat.messages.",
        ),
        (json!({ "type": "http.fetch" }), "http.fetch:<host[:port]>"),
        (
            json!({ "type": "http.fetch", "url": "example.com" }),
            "http.fetch:<host[:port]>",
        ),
        (
            json!({ "type": "http.fetch", "url": "https://example.com@evil.org/" }),
            "http.fetch:<host[:port]>",
        ),
        (
            json!({ "type": "http.fetch", "url": { "__bin": "" } }),
            "http.fetch:<host[:port]>",
        ),
        (
            json!({ "type": "resources.check", "plugin": ["chat"] }),
            "resources.read:<plugin>",
        ),
        (
            json!({ "type": "resources.check", "plugin": "*" }),
            "resources.read:*",
        ),
    ] {
        let denied = check(&all, &frame).expect_err("it is not allowed");
        assert_eq!(denied.capability, named, "{frame}");
    }
}

/// Two pairs of plugin and table that look equal once a dot joins them are still different tables.
#[test]
fn plugin_and_table_are_compared_apart() {
    let frame = json!({ "type": "data.read", "plugin": "a.b", "table": "c" });
    let denied = check(&["data.read:a.b.c"], &frame).expect_err("the plugin is a");
    assert_eq!(denied.capability, "data.read:a.b.c");
}

#[test]
fn a_bare_star_can_neither_be_declared_nor_subscribed_to() {
    let frame = json!({ "type": "events.subscribe", "topic": "*" });
    let denied = check(&["events.subscribe:chat.*"], &frame).expect_err("it is all topics");
    assert_eq!(denied.capability, "events.subscribe:*");
    assert_eq!(
        wrong(&declaring(&["events.subscribe:*"])).0,
        "runtime_capabilities[0]"
    );
}
