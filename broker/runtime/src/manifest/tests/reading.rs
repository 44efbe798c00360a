//! Manifests that are accepted, and the values read from them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use callgate::supervision::{Restart, When};
use serde_json::json;

use super::super::{Manifest, PluginType, Transport};
use super::{folder_with, read, with};

#[test]
fn the_least_that_a_manifest_says_is_enough() {
    let manifest = read(&with(json!({}))).expect("it is right");
    assert_eq!(manifest.name(), "chat-counter");
    assert_eq!(manifest.version().to_string(), "1.2.3");
    assert_eq!(manifest.plugin_type(), PluginType::Standalone);
    assert_eq!(manifest.backend().transport, Transport::Stdio);
    assert!(!manifest.has_serve_ready_handshake());
    assert!(manifest.runtime_capabilities().is_empty());
    assert!(manifest.folder().is_absolute());
    assert_eq!(manifest.file(), manifest.folder().join("manifest.json"));
}

#[test]
fn every_key_of_the_document_is_read() {
    let manifest = read(&with(json!({
        "api_version": ">=1.0 <2.0",
        "type": "extension",
        "extends": "chat",
        "description": "Counts.",
        "backend": { "command": ["./run", "-v", ""], "transport": "shm", "env": { "LANGUAGE": "en", "EMPTY": "" } },
        "runtime_capabilities": ["data.kv:self"],
        "client_capabilities": ["clipboard.read"],
        "serve_ready_handshake": true,
        "restart": { "when": "on-failure", "ready_within_ms": 200, "backoff_ms": [0, 20], "quarantine_crashes": 3 },
        "trust": "same-user",
        "resources": { "memory_mb": 64, "cpu_weight": 100, "disk_mb": 1 },
        "settings": { "greeting": { "type": "text", "default": "hi" }, "limit": 5, "token": { "type": "text" } },
        "dependencies": { "chat": "^1.2" },
        "author": "A. Author", "permissions": [{ "name": "count" }], "frontend": { "entry": "ui.js" }, "license": "MIT",
        "icon": "icon.svg", "sidebar": [], "public_schema": {}, "proxy_mounts": [], "managed_services": null,
    })))
    .expect("it is right");
    assert_eq!(manifest.api_version(), ">=1.0 <2.0");
    assert_eq!(manifest.plugin_type(), PluginType::Extension);
    assert_eq!(manifest.extends(), ["chat"]);
    assert_eq!(manifest.description(), "Counts.");
    let backend = manifest.backend();
    assert_eq!(backend.transport, Transport::Shm);
    assert_eq!(backend.env["LANGUAGE"], "en");
    assert_eq!(manifest.runtime_capabilities(), ["data.kv:self"]);
    assert_eq!(manifest.client_capabilities(), ["clipboard.read"]);
    assert!(manifest.has_serve_ready_handshake());
    assert_eq!(manifest.resources().memory_mb, Some(64));
    assert_eq!(manifest.dependencies()["chat"], "^1.2");
    assert_eq!(manifest.other("license"), Some(&json!("MIT")));
    assert_eq!(manifest.other("managed_services"), None);
    let default = |key: &str| manifest.settings()[key].default.clone();
    assert_eq!(default("greeting"), Some(json!("hi")));
    assert_eq!(default("limit"), Some(json!(5)));
    assert_eq!(default("token"), None);
}

#[test]
fn the_table_of_supervision_says_only_what_it_says() {
    let manifest = read(&with(json!({ "restart": {
        "when": "always", "ready_within_ms": 200, "ask_every_ms": 10, "hung_after": 2, "call_deadline_ms": 300,
        "stop_grace_ms": 0, "backoff_ms": [0, 1000], "steady_after_ms": 1000, "quarantine_crashes": 0,
        "quarantine_within_ms": 5000,
    }})))
    .expect("it is right");
    let restart = manifest.restart();
    let ms = |ms| Some(Duration::from_millis(ms));
    assert_eq!(restart.when, Some(When::Always));
    assert_eq!(restart.ready_within, ms(200));
    assert_eq!(restart.ask_every, ms(10));
    assert_eq!(restart.hung_after, Some(2));
    assert_eq!(restart.call_deadline, ms(300));
    assert_eq!(restart.stop_grace, ms(0));
    let steps = [0, 1000].map(Duration::from_millis).to_vec();
    assert_eq!(restart.backoff, Some(steps));
    assert_eq!(restart.steady_after, ms(1000));
    assert_eq!(restart.quarantine_crashes, Some(0));
    assert_eq!(restart.quarantine_within, ms(5000));
    let over = restart.over(&Restart::default());
    let expected = Restart::default()
        .ready_within(Duration::from_millis(200))
        .ask_every(Duration::from_millis(10))
        .hung_after(2)
        .call_deadline(Duration::from_millis(300))
        .stop_grace(Duration::ZERO)
        .backoff([0, 1000].map(Duration::from_millis))
        .steady_after(Duration::from_secs(1))
        .quarantine(0, Duration::from_secs(5));
    assert_eq!(over, expected);

    let manifest = read(&with(json!({ "restart": "on-failure" }))).expect("it is right");
    assert_eq!(manifest.restart().when, Some(When::OnFailure));
    assert_eq!(manifest.restart().ready_within, None);
    let usual = Restart::default().hung_after(7);
    let expected = usual.clone().when(When::OnFailure);
    assert_eq!(manifest.restart().over(&usual), expected);
}

#[test]
fn settings_may_be_a_list() {
    let list = json!([{ "key": "greeting", "default": null }, { "key": "limit", "default": 5 }]);
    let manifest = read(&with(json!({ "settings": list }))).expect("it is right");
    assert_eq!(manifest.settings().len(), 2);
    assert_eq!(manifest.settings()["limit"].default, Some(json!(5)));
    assert_eq!(
        manifest.settings()["limit"].declared,
        json!({ "key": "limit", "default": 5 })
    );
}

#[test]
fn dependencies_may_be_a_list() {
    let manifest = read(&with(json!({ "dependencies": ["chat"] }))).expect("it is right");
    let expected = BTreeMap::from([("chat".to_owned(), "*".to_owned())]);
    assert_eq!(*manifest.dependencies(), expected);
}

#[test]
fn toml_says_the_same_as_json() {
    let folder = folder_with(
        "plugin.toml",
        r#"
            name = "chat-counter"
            version = "1.2.3"
            runtime_capabilities = ["data.kv:self"]
            serve_ready_handshake = true
            [backend]
            command = ["python3", "main.py"]
            env = { LANGUAGE = "en" }
            [restart]
            backoff_ms = [1, 2]
            [settings.scale]
            default = 0.5
        "#,
    );
    let by_toml = Manifest::read(folder.path()).expect("it is right");
    let document = json!({
        "name": "chat-counter", "version": "1.2.3", "runtime_capabilities": ["data.kv:self"],
        "serve_ready_handshake": true,
        "backend": { "command": ["python3", "main.py"], "env": { "LANGUAGE": "en" } },
        "restart": { "backoff_ms": [1, 2] },
        "settings": { "scale": { "default": 0.5 } },
    });
    let by_json = read(&document).expect("it is right");
    assert_eq!(by_toml.backend(), by_json.backend());
    assert_eq!(by_toml.restart(), by_json.restart());
    assert_eq!(by_toml.settings(), by_json.settings());
    assert_eq!(by_toml.policy(), by_json.policy());
}

#[test]
fn ranges_that_include_ours_are_accepted() {
    for range in [
        "1.0",
        "1",
        "^1.0.0",
        "~1.0",
        "1.x",
        "1.*",
        "*",
        ">=1.0",
        ">= 0.9, <2",
        ">=1.0 <2.0",
        "=1.0.0",
        "0.9 || 1.0",
    ] {
        let manifest = read(&with(json!({ "api_version": range })));
        assert_eq!(manifest.expect(range).api_version(), range);
    }
}

/// A folder given relative to the host's working directory: the program was then looked up from inside the folder, and not found.
#[test]
fn a_relative_folder_is_made_absolute() {
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let name = folder.path().file_name().expect("a name");
    let document = with(json!({})).to_string();
    fs::write(folder.path().join("manifest.json"), document).expect("a file");
    let manifest = Manifest::read(std::path::Path::new(name)).expect("it is right");
    assert!(manifest.folder().is_absolute());
    assert!(manifest.folder().ends_with(name));
}
