//! Values of a manifest that are refused. The error names the key, what was found there and what is allowed.

use serde_json::{Value, json};

use super::super::Manifest;
use super::{folder_with, read, with, wrong};

#[test]
fn each_wrong_value_is_named_with_its_key() {
    let cases: &[(Value, &str, &str)] = &[
        (json!({ "name": "Chat" }), "name", "small letters"),
        (json!({ "version": "1.2" }), "version", "MAJOR.MINOR.PATCH"),
        (
            json!({ "version": "1.2.3-beta" }),
            "version",
            "MAJOR.MINOR.PATCH",
        ),
        (json!({ "api_version": "2.0" }), "api_version", "1.0"),
        (json!({ "api_version": "one" }), "api_version", "a range"),
        (
            json!({ "type": "addon" }),
            "type",
            "`core`, `standalone` or `extension`",
        ),
        (json!({ "extends": 1 }), "extends", "the name of a plugin"),
        (json!({ "description": 1 }), "description", "a text"),
        (json!({ "backend": "main.py" }), "backend", "a table"),
        (json!({ "backend": {} }), "backend.entry", "backend.command"),
        (
            json!({ "backend": { "entry": "" } }),
            "backend.entry",
            "not empty",
        ),
        (
            json!({ "backend": { "entry": "a\u{0}b" } }),
            "backend.entry",
            "no NUL",
        ),
        (
            json!({ "backend": { "entry": "/bin/sh" } }),
            "backend.entry",
            "relative",
        ),
        (
            json!({ "backend": { "entry": "a/../../b" } }),
            "backend.entry",
            "without `..`",
        ),
        (
            json!({ "backend": { "entry": "." } }),
            "backend.entry",
            "a file",
        ),
        (
            json!({ "backend": { "command": [] } }),
            "backend.command",
            "the program",
        ),
        (
            json!({ "backend": { "command": "run" } }),
            "backend.command",
            "a list",
        ),
        (
            json!({ "backend": { "command": [5] } }),
            "backend.command[0]",
            "a text",
        ),
        (
            json!({ "backend": { "command": [""] } }),
            "backend.command[0]",
            "not empty",
        ),
        (
            json!({ "backend": { "command": ["a", "b\u{0}"] } }),
            "backend.command[1]",
            "NUL",
        ),
        (
            json!({ "backend": { "entry": "a", "transport": "pipe" } }),
            "backend.transport",
            "`stdio` or `shm`",
        ),
        (
            json!({ "backend": { "entry": "a", "env": { "A": 1 } } }),
            "backend.env.A",
            "a text",
        ),
        (
            json!({ "backend": { "entry": "a", "env": { "CALLGATE_FD": "3" } } }),
            "backend.env.CALLGATE_FD",
            "PLUGIN_SLUG",
        ),
        (
            json!({ "backend": { "entry": "a", "env": { "A=B": "3" } } }),
            "backend.env.A=B",
            "no `=`",
        ),
        (
            json!({ "backend": { "entry": "a", "cmd": [] } }),
            "backend.cmd",
            "entry, command, transport, env",
        ),
        (
            json!({ "runtime_capabilities": "data.kv:self" }),
            "runtime_capabilities",
            "a list",
        ),
        (
            json!({ "runtime_capabilities": ["data.kv:self", 1] }),
            "runtime_capabilities[1]",
            "a text",
        ),
        (
            json!({ "client_capabilities": [null] }),
            "client_capabilities[0]",
            "a text",
        ),
        (
            json!({ "serve_ready_handshake": "yes" }),
            "serve_ready_handshake",
            "true or false",
        ),
        (
            json!({ "restart": "never" }),
            "restart",
            "`always` or `on-failure`",
        ),
        (json!({ "restart": 1 }), "restart", "a table"),
        (
            json!({ "restart": { "ready_within": 1 } }),
            "restart.ready_within",
            "ready_within_ms",
        ),
        (
            json!({ "restart": { "ready_within_ms": 0 } }),
            "restart.ready_within_ms",
            "from 1 to",
        ),
        (
            json!({ "restart": { "ask_every_ms": 1.5 } }),
            "restart.ask_every_ms",
            "a whole number",
        ),
        (
            json!({ "restart": { "stop_grace_ms": 60_001 } }),
            "restart.stop_grace_ms",
            "0 to 60000",
        ),
        (
            json!({ "runtime_capabilities": vec!["data.kv:self"; 1025] }),
            "runtime_capabilities",
            "1024",
        ),
        (
            json!({ "runtime_capabilities": ["gate.subscribe:*"] }),
            "runtime_capabilities[0]",
            "callgate.runtime.log",
        ),
        (
            json!({ "runtime_capabilities": ["events.subscribe:callgate.*"] }),
            "runtime_capabilities[0]",
            "callgate.runtime.log",
        ),
        (
            json!({ "restart": { "stop_grace_ms": -1 } }),
            "restart.stop_grace_ms",
            "from 0 to",
        ),
        (
            json!({ "restart": { "hung_after": 0 } }),
            "restart.hung_after",
            "from 1 to",
        ),
        (
            json!({ "restart": { "backoff_ms": [] } }),
            "restart.backoff_ms",
            "1 to 64",
        ),
        (
            json!({ "restart": { "backoff_ms": [1, "2"] } }),
            "restart.backoff_ms[1]",
            "a whole number",
        ),
        (
            json!({ "restart": { "backoff_ms": [0], "quarantine_crashes": 0 } }),
            "restart.backoff_ms",
            "last time is 1000 or more",
        ),
        (
            json!({ "restart": { "backoff_ms": [5000, 999], "quarantine_crashes": 101 } }),
            "restart.backoff_ms",
            "`quarantine_crashes` 1 to 100",
        ),
        (
            json!({ "restart": { "backoff_ms": [0], "quarantine_within_ms": 59_999 } }),
            "restart.backoff_ms",
            "`quarantine_within_ms` 60000 or more",
        ),
        (json!({ "trust": "isolated" }), "trust", "kernel boundary"),
        (json!({ "trust": "full" }), "trust", "`same-user`"),
        (
            json!({ "resources": { "memory_mb": 0 } }),
            "resources.memory_mb",
            "from 1 to",
        ),
        (
            json!({ "resources": { "cpu_weight": 10_001 } }),
            "resources.cpu_weight",
            "10000",
        ),
        (
            json!({ "resources": { "gpu": 1 } }),
            "resources.gpu",
            "memory_mb, cpu_weight, disk_mb",
        ),
        (
            json!({ "settings": [{ "default": 1 }] }),
            "settings[0]",
            "`key`",
        ),
        (
            json!({ "settings": [{ "key": "a" }, { "key": "a" }] }),
            "settings[1]",
            "one setting",
        ),
        (json!({ "settings": "a" }), "settings", "a table"),
        (
            json!({ "dependencies": { "chat": "latest" } }),
            "dependencies.chat",
            "a range",
        ),
        (json!({ "dependencies": 5 }), "dependencies", "a list"),
        (json!({ "licence": "MIT" }), "licence", "license"),
        (json!({ "toString": 1 }), "toString", "name, version"),
    ];
    for (more, key, allowed) in cases {
        let found = wrong(&with(more.clone()));
        assert_eq!(found.0, *key, "{more}: {found:?}");
        assert!(found.2.contains(allowed), "{more}: {found:?}");
    }
}

#[test]
fn the_error_names_file_key_what_was_found_and_what_is_allowed() {
    let folder = folder_with(
        "manifest.json",
        &with(json!({ "backend": { "command": [5] } })).to_string(),
    );
    let error = Manifest::read(folder.path()).expect_err("it is wrong");
    let file = folder.path().join("manifest.json");
    let expected =
        "`backend.command[0]` is the number 5; allowed: a text that is not empty and has no NUL";
    assert_eq!(error.to_string(), format!("{}: {expected}", file.display()));
}

#[test]
fn what_is_missing_is_named() {
    for key in ["name", "version", "backend"] {
        let mut document = with(json!({}));
        document[key] = Value::Null;
        let (named, found, _) = wrong(&document);
        assert_eq!((named.as_str(), found.as_str()), (key, "is missing"));
    }
    let (named, ..) = wrong(&json!(["name"]));
    assert_eq!(named, "the document");
}

#[test]
fn names_are_as_the_document_says() {
    for name in ["a", "chat", "chat2", "chat-counter", "a-2-b"] {
        assert!(read(&with(json!({ "name": name }))).is_ok(), "{name}");
    }
    let long = "a".repeat(65);
    for name in [
        "", "2a", "-a", "a-", "a--b", "a_b", "a.b", "a b", "ä", "a*", "chat\n", &long,
    ] {
        assert_eq!(wrong(&with(json!({ "name": name }))).0, "name", "{name:?}");
    }
}

/// A plugin with the name `data` would have answered every call of a service that nobody else provides.
#[test]
fn names_that_gates_of_services_begin_with_are_refused() {
    for name in [
        "data",
        "schedule",
        "http",
        "storage",
        "broadcast",
        "presence",
        "permissions",
        "resources",
        "voice",
        "core",
        "events",
        "callgate",
        "runtime",
        "callgate-runtime",
        "callgate-services",
        "callgate-ls-1",
    ] {
        let (key, _, allowed) = wrong(&with(json!({ "name": name })));
        assert_eq!(key, "name");
        let named = ["callgate-", name]
            .into_iter()
            .find(|named| name.starts_with(named));
        assert!(
            named.is_some_and(|named| allowed.contains(named)),
            "{name}: {allowed}"
        );
    }
    assert!(read(&with(json!({ "name": "data-viewer" }))).is_ok());
}

#[test]
fn values_are_shown_short_and_fit_for_a_terminal() {
    let text = format!("\u{1b}[2J\u{202e}{}", "x".repeat(10_000));
    let (_, found, _) = wrong(&with(json!({ "type": text })));
    assert!(
        found.len() < 200 && found.contains("\\u001b[2J\\u202e"),
        "{found}"
    );
    let (key, ..) = wrong(&with(json!({ text: 1 })));
    assert!(key.len() < 200 && !key.contains('\u{1b}'), "{key}");
}
