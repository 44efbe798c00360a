//! Keys and values.

use serde_json::{Value, json};

use crate::scene::Scene;

#[test]
fn a_value_is_there_until_it_is_deleted() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    assert_eq!(plugin.get("a"), Value::Null);
    for value in [
        json!("text \u{2028}\n\0"),
        json!({"deep": [1, 2.5, null, {"x": true}]}),
        json!(null),
        json!(18_446_744_073_709_551_615_u64),
        json!(""),
    ] {
        plugin.set("a", &value);
        assert_eq!(plugin.get("a"), value);
    }
    let delete = || plugin.kv(json!({"method": "delete", "key": "a"}));
    assert_eq!(delete(), true);
    assert_eq!(delete(), false);
    assert_eq!(plugin.get("a"), Value::Null);
}

#[test]
fn a_list_has_the_pairs_of_a_prefix_in_order_page_by_page() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    for key in ["b:2", "a", "b:10", "b:1", "c", "b"] {
        plugin.set(key, &json!(key));
    }
    let list = |more: Value| {
        let mut fields = json!({"method": "list"});
        let members = fields.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        let pairs = plugin.kv(fields);
        let pairs = pairs.as_array().expect("a list").clone();
        let keys = pairs.iter().map(|pair| {
            assert_eq!(pair["key"], pair["value"]);
            pair["key"].as_str().expect("a text").to_owned()
        });
        keys.collect::<Vec<_>>()
    };
    assert_eq!(list(json!({})), ["a", "b", "b:1", "b:10", "b:2", "c"]);
    assert_eq!(list(json!({"prefix": "b:"})), ["b:1", "b:10", "b:2"]);
    assert_eq!(list(json!({"prefix": "b:", "limit": 2})), ["b:1", "b:10"]);
    let next = json!({"prefix": "b:", "limit": 2, "after": "b:10"});
    assert_eq!(list(next), ["b:2"]);
    assert!(list(json!({"prefix": "b:", "after": "b:2"})).is_empty());
    assert_eq!(list(json!({"prefix": "b:", "after": "a"})).len(), 3);
    assert!(list(json!({"prefix": "zz"})).is_empty());
}

#[test]
fn many_values_come_at_once_without_those_that_are_not_there() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    plugin.set("a", &json!(1));
    plugin.set("b \"quoted\"", &json!([2]));
    let keys = ["a", "nothing", "b \"quoted\"", "a"];
    let values = plugin.kv(json!({"method": "getMany", "keys": keys}));
    assert_eq!(values, json!({"a": 1, "b \"quoted\"": [2]}));
}

/// The caller's name alone decides whose data a call uses.
#[test]
fn plugins_do_not_see_each_others_values() {
    let scene = Scene::new();
    let names = ["chat", "Chat", "../chat", "chat.redb", "chät", "a/b"];
    let plugins = names.map(|name| scene.member(name));
    for (plugin, name) in plugins.iter().zip(names) {
        plugin.set("mine", &json!(name));
        assert_eq!(plugin.get("theirs"), Value::Null);
    }
    for (plugin, name) in plugins.iter().zip(names) {
        assert_eq!(plugin.get("mine"), name);
        let list = plugin.kv(json!({"method": "list"}));
        assert_eq!(list, json!([{"key": "mine", "value": name}]));
    }
    // No name leads out of the folder.
    let outside = scene.folder.path().join("chat.redb");
    assert!(!outside.exists());
}

#[test]
fn values_outlive_the_services() {
    let mut scene = Scene::new();
    let plugin = scene.member("chat");
    plugin.set("a", &json!({"n": 1}));
    scene.restart();
    assert_eq!(plugin.get("a"), json!({"n": 1}));
    assert_eq!(
        plugin
            .kv(json!({"method": "list"}))
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    for (fields, field) in [
        (json!({}), "method"),
        (json!({"method": "drop"}), "method"),
        (json!({"method": 7}), "method"),
        (json!({"method": "get"}), "key"),
        (json!({"method": "get", "key": null}), "key"),
        (json!({"method": "get", "key": ""}), "key"),
        (json!({"method": "get", "key": 1}), "key"),
        (json!({"method": "set", "key": "a"}), "value"),
        (json!({"method": "list", "limit": 0}), "limit"),
        (json!({"method": "list", "limit": -1}), "limit"),
        (json!({"method": "list", "limit": "1"}), "limit"),
        (json!({"method": "list", "prefix": []}), "prefix"),
        (json!({"method": "getMany"}), "keys"),
        (json!({"method": "getMany", "keys": ["a", 1]}), "keys"),
        (json!([1]), "arguments"),
        (json!("get"), "arguments"),
        (json!(null), "arguments"),
    ] {
        let (code, context) = plugin.refused("data.kv", fields.clone());
        assert_eq!(code, "INVALID_ARGUMENT", "{fields}");
        assert_eq!(context["field"], field, "{fields}");
    }
    // No file was made for it.
    assert!(!scene.file("chat").exists());
}

/// Keys and values of the greatest permitted sizes are stored and come back whole.
#[test]
fn keys_and_values_have_their_limits_at_the_edge() {
    let scene = Scene::new();
    let plugin = scene.member("chat");
    let (key, longer) = ("k".repeat(512), "k".repeat(513));
    let value = json!("\u{1F600}".repeat(65_536));
    plugin.set(&key, &value);
    assert_eq!(plugin.get(&key), value);
    // For a value that is no text, the length of its JSON counts.
    let list = json!(vec![1; 32_767]);
    assert_eq!(list.to_string().len(), 65_535);
    plugin.set("list", &list);
    assert_eq!(plugin.get("list"), list);
    for (fields, field) in [
        (json!({"method": "get", "key": longer}), "key"),
        (
            json!({"method": "set", "key": "a", "value": "x".repeat(65_537)}),
            "value",
        ),
        (
            json!({"method": "set", "key": "a", "value": vec![1; 32_768]}),
            "value",
        ),
        (
            json!({"method": "set", "key": "a", "value": "x".repeat(1 << 20)}),
            "arguments",
        ),
        (
            json!({"method": "getMany", "keys": vec!["a"; 1_001]}),
            "keys",
        ),
    ] {
        let (code, context) = plugin.refused("data.kv", fields);
        assert_eq!((&*code, &context["field"]), ("TOO_LARGE", &json!(field)));
    }
}
