//! How much data a plugin may store.

use std::fs;
use std::time::Duration;

use callgate_services::Limits;
use serde_json::{Value, json};

use crate::scene::{Scene, await_that};

fn set(key: &str, value: &str) -> Value {
    json!({"method": "set", "key": key, "value": value})
}

#[test]
fn a_plugin_has_so_many_keys() {
    let scene = Scene::with(Limits::default().keys(2));
    let (plugin, other) = (scene.member("chat"), scene.member("other"));
    plugin.set("a", &json!(1));
    plugin.set("b", &json!(2));
    let (code, context) = plugin.refused("data.kv", set("c", "3"));
    assert_eq!(code, "QUOTA_EXCEEDED");
    assert_eq!(
        (&context["quota"], &context["limit"]),
        (&json!("keys"), &json!(2))
    );
    assert_eq!(plugin.get("c"), Value::Null);
    // Existing values can be changed, deleting makes room, and other plugins are not affected.
    plugin.set("b", &json!(3));
    plugin.kv(json!({"method": "delete", "key": "a"}));
    plugin.set("c", &json!(3));
    other.set("a", &json!(1));
}

#[test]
fn a_plugin_has_so_many_bytes() {
    let mut scene = Scene::with(Limits::default().bytes(100));
    let plugin = scene.member("chat");
    // A key of one byte, and a text of 58 with its quotation marks.
    plugin.set("a", &json!("x".repeat(58)));
    let (code, context) = plugin.refused("data.kv", set("b", &"x".repeat(38)));
    assert_eq!(code, "QUOTA_EXCEEDED");
    assert_eq!(
        (&context["quota"], &context["limit"]),
        (&json!("bytes"), &json!(100))
    );
    // The count is exact to the byte, also after a restart.
    scene.restart();
    plugin.set("b", &json!("x".repeat(36)));
    plugin.refused("data.kv", set("c", ""));
    // A change that makes a value shorter is accepted, and makes room.
    plugin.set("a", &json!("x".repeat(55)));
    plugin.set("c", &json!(""));
}

/// The number of stores is limited: names without end get no files without end.
#[test]
fn so_many_plugins_have_a_store() {
    let scene = Scene::with(Limits::default().stores(2));
    for name in ["one", "two"] {
        scene.member(name).set("a", &json!(1));
    }
    let third = scene.member("three");
    assert_eq!(third.get("a"), Value::Null);
    let (code, context) = third.refused("data.kv", set("a", "1"));
    assert_eq!(
        (&*code, &context["quota"]),
        ("QUOTA_EXCEEDED", &json!("stores"))
    );
    scene.member("one").set("a", &json!(2));
}

/// How many files of stores this process has open.
fn open_files(scene: &Scene) -> usize {
    let entries = fs::read_dir("/proc/self/fd").expect("a list").flatten();
    let files = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    files
        .filter(|file| file.starts_with(scene.folder.path()))
        .count()
}

#[test]
fn files_are_closed_when_many_are_open_or_none_is_used() {
    let limits = Limits::default()
        .open_stores(3)
        .idle(Duration::from_millis(300));
    let scene = Scene::with(limits);
    let plugins: Vec<_> = (0..8).map(|n| scene.member(&format!("p{n}"))).collect();
    for (n, plugin) in plugins.iter().enumerate() {
        plugin.set("n", &json!(n));
        assert!(open_files(&scene) <= 3);
    }
    for (n, plugin) in plugins.iter().enumerate() {
        assert_eq!(plugin.get("n"), n);
    }
    await_that("the files are never closed", || {
        (open_files(&scene) == 0).then_some(())
    });
    assert_eq!(plugins[0].get("n"), 0);
}

/// A result that does not fit the 4 MiB of a frame is an error or is split into pages.
#[test]
fn a_result_that_no_frame_holds_is_an_error_or_a_page() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    let value = "\u{1F600}".repeat(60_000);
    let keys: Vec<String> = (10..40).map(|n| format!("k{n}")).collect();
    for key in &keys {
        plugin.set(key, &json!(value));
    }
    let (code, _) = plugin.refused("data.kv", json!({"method": "list"}));
    assert_eq!(code, "TOO_LARGE");
    let many = json!({"method": "getMany", "keys": keys});
    assert_eq!(plugin.refused("data.kv", many).0, "TOO_LARGE");
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = plugin.kv(json!({"method": "list", "limit": 1_000, "after": after}));
        let page = page.as_array().expect("a list").clone();
        let Some(last) = page.last() else { break };
        after = last["key"].clone();
        seen.extend(page.iter().map(|pair| pair["key"].clone()));
    }
    assert_eq!(json!(seen), json!(keys));
}
