//! Settings.

use callgate_services::ServicesError;
use serde_json::{Value, json};

use crate::scene::Scene;

fn defaults() -> [(String, Value); 2] {
    [
        ("theme".to_owned(), json!("dark")),
        ("size".to_owned(), json!(12)),
    ]
}

#[test]
fn a_setting_is_what_the_host_has_set_or_its_default() {
    let mut scene = Scene::new();
    scene.services().set_defaults("chat", defaults());
    let plugin = scene.member("chat");
    let get = |key: &str| plugin.call("data.config", json!({"method": "get", "key": key}));
    assert_eq!((get("theme"), get("size")), (json!("dark"), json!(12)));

    let services = scene.services();
    let change = services.set_config("chat", "theme", Some(&json!("light")));
    let change = change.expect("it is set").expect("a change");
    assert_eq!((&*change.plugin, &*change.key), ("chat", "theme"));
    assert_eq!(change.value, "light");
    let again = services.set_config("chat", "theme", Some(&json!("light")));
    assert_eq!(again.expect("it is set"), None);
    assert_eq!(get("theme"), "light");

    scene.restart();
    scene.services().set_defaults("chat", defaults());
    let all = plugin.call("data.config", json!({"method": "getAll"}));
    assert_eq!(all, json!({"theme": "light", "size": 12}));
    let seen = scene.services().config("chat").expect("settings");
    assert_eq!(json!(seen), all);
    let change = scene.services().set_config("chat", "theme", None);
    assert_eq!(change.expect("it is set").expect("a change").value, "dark");
}

#[test]
fn a_plugin_sees_its_own_settings_and_no_others() {
    let scene = Scene::new();
    let services = scene.services();
    services.set_defaults("chat", defaults());
    let set = services.set_config("chat", "secret", Some(&json!("s")));
    assert!(set.expect("it is set").is_some());
    let other = scene.member("other");
    let all = other.call("data.config", json!({"method": "getAll"}));
    assert_eq!(all, json!({}));
    let get = json!({"method": "get", "key": "secret"});
    let (code, context) = other.refused("data.config", get.clone());
    assert_eq!(
        (&*code, &context["key"]),
        ("UNKNOWN_SETTING", &json!("secret"))
    );
    assert_eq!(scene.member("chat").call("data.config", get), "s");
    // A plugin cannot change settings, and its stored keys are no settings.
    let set = json!({"method": "set", "key": "theme", "value": "x"});
    assert_eq!(other.refused("data.config", set).0, "INVALID_ARGUMENT");
    other.set("secret", &json!("mine"));
    assert_eq!(
        other.call("data.config", json!({"method": "getAll"})),
        json!({})
    );
}

#[test]
fn a_host_is_told_what_cannot_be_set() {
    let scene = Scene::new();
    let long = json!("x".repeat(65_537));
    for (key, value, expected) in [
        ("", &json!(1), "INVALID_ARGUMENT"),
        (&"k".repeat(513), &json!(1), "TOO_LARGE"),
        ("k", &long, "TOO_LARGE"),
    ] {
        let refused = scene.services().set_config("chat", key, Some(value));
        let Err(ServicesError::Refused { code, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(code, expected);
    }
}
