//! Which capabilities can be declared.

use serde_json::{Value, json};

use super::super::{Manifest, Reserved};
use super::{declaring, folder_with, read, with, wrong};

#[test]
fn capabilities_that_are_none_are_refused_with_what_is_allowed() {
    for (capability, allowed) in [
        ("data.sql", "data.sql:self"),
        ("data.sql:*", "data.sql:self"),
        ("data.sql:other", "data.sql:self"),
        ("data.kv:", "data.kv:self"),
        ("voice.tokens:all", "voice.tokens:self"),
        ("storage.file:*", "storage.file:self"),
        ("runtime.schedule:self", "without a scope"),
        ("broadcast.clients:*", "without a scope"),
        ("data.read", "PLUGIN.TABLE"),
        ("data.read:chat", "PLUGIN.TABLE"),
        ("data.read:chat.", "PLUGIN.TABLE"),
        ("data.read:.messages", "PLUGIN.TABLE"),
        ("data.read:chat.*", "without `*`"),
        ("data.read:*.messages", "without `*`"),
        ("data.read:*", "without `*`"),
        ("http.fetch", "HOST"),
        ("http.fetch:*", "without `*`"),
        ("http.fetch:*.example.com", "without `*`"),
        ("http.fetch:https://example.com", "HOST"),
        ("http.fetch:example.com/", "HOST"),
        ("http.fetch:example.com:", "HOST:PORT"),
        ("events.publish", "PREFIX.*"),
        ("events.publish:*", "not by itself"),
        ("events.publish:.*", "PREFIX.*"),
        ("events.publish:chat*", "at the end only"),
        ("events.publish:*.message", "at the end only"),
        ("events.publish:a.*.b.*", "at the end only"),
        ("events.publish:chat.", "TOPIC"),
        ("events.subscribe:*", "not by itself"),
        ("events.subscribe:chat.**", "at the end only"),
        ("events.unsubscribe:chat.*", "events.subscribe:TOPIC"),
        ("resources.read", "PLUGIN"),
        ("resources.read:*", "without `*`"),
        ("resources.read:a.b", "the name of a plugin"),
        ("gate.call", "PATTERN"),
        ("gate.provide:", "PATTERN"),
        ("gate.provide:callgate.runtime.stop", "the runtime's"),
        ("gate.provide:*", "begins with `callgate.`"),
        ("gate.provide:call*", "begins with `callgate.`"),
        ("events.publish:callgate.runtime.log", "the runtime's"),
        ("gate.emit:a", "gate.subscribe:PATTERN"),
        ("share.write:a", "share.create:PATTERN"),
        ("permissions.check", "gate.call:PATTERN"),
        (" data.kv:self", "data.kv:self"),
        ("data.kv :self", "data.kv:self"),
        ("Data.kv:self", "data.kv:self"),
        ("*", "data.kv:self"),
        ("", "data.kv:self"),
    ] {
        let (key, _, found) = wrong(&declaring(&["data.kv:self", capability]));
        assert_eq!(key, "runtime_capabilities[1]", "{capability}");
        assert!(found.contains(allowed), "{capability}: {found}");
    }
}

/// `gate.call:*` was meant for the gates of plugins, and also gave access to every table and every host.
#[test]
fn no_pattern_of_gates_stands_for_a_service_with_capabilities_of_its_own() {
    for pattern in [
        "*",
        "d*",
        "data.*",
        "*.kv",
        "data.sql",
        "data.kv",
        "data.read",
        "data.r*",
        "http.fetch",
        "http.*",
        "*fetch",
        "storage.file",
        "voice.*",
        "schedule.register",
        "schedule.*",
        "sched*",
        "broadcast.a",
        "presence.*",
        "resources.*",
        "*.register",
    ] {
        let (key, _, allowed) = wrong(&declaring(&[&format!("gate.call:{pattern}")]));
        assert_eq!(key, "runtime_capabilities[0]", "{pattern}");
        assert!(allowed.contains("a capability of its own"), "{allowed}");
    }
    for pattern in [
        "chat.*",
        "Rack.Filter",
        "schedule-viewer.*",
        "data.import",
        "dat.*",
        "callgate.runtime.list",
    ] {
        assert!(
            read(&declaring(&[&format!("gate.call:{pattern}")])).is_ok(),
            "{pattern}"
        );
    }
}

/// Plugins written for other runtimes of the protocol declare everything under `permissions`, together with permissions for their hosts.
#[test]
fn permissions_that_are_capabilities_count() {
    let document = serde_json::json!({
        "name": "chat-counter",
        "version": "1.0.0",
        "backend": { "entry": "main.py" },
        "permissions": ["data.kv:self", "chat.moderate", { "of": "a host" }, "events.publish:*"],
    });
    let folder = folder_with("manifest.json", &document.to_string());
    let manifest = Manifest::read(folder.path()).expect("a manifest");
    assert_eq!(manifest.runtime_capabilities(), ["data.kv:self"]);
    assert!(manifest.policy().may_call("data.kv"));
    assert!(!manifest.policy().may_send("chat.message"));
}

/// A plugin that provided `data.kv` before the services did, or while they were restarted, received what all other plugins stored.
#[test]
fn what_the_host_provides_cannot_be_claimed() {
    let read_by = |document: &Value, reserved: &Reserved| {
        let folder = folder_with("manifest.json", &document.to_string());
        Manifest::read_with(folder.path(), reserved).map_err(|error| error.to_string())
    };
    let (usual, none) = (Reserved::default(), Reserved::new(Vec::<String>::new()));
    for (capability, gate) in [
        ("gate.provide:data.kv", "data.kv"),
        ("gate.provide:data.*", "data.kv"),
        ("gate.provide:*.config", "data.config"),
        ("gate.provide:schedule.*", "schedule.register"),
        ("gate.provide:sch*ter", "schedule.register"),
        ("gate.provide:schedule.unregister", "schedule.unregister"),
        ("events.publish:data.kv", "data.kv"),
        ("events.publish:schedule.*", "schedule.register"),
    ] {
        for key in ["runtime_capabilities", "permissions"] {
            let document = with(json!({ key: ["http.fetch:a.org", capability] }));
            let refused = read_by(&document, &usual).expect_err(capability);
            let named = format!("`{key}[1]` is \"{capability}\"");
            assert!(refused.contains(&named), "{refused}");
            let told = format!("not stand for `{gate}`, which services of the host");
            assert!(refused.contains(&told), "{refused}");
            // Allowed if the host says that it has no services.
            read_by(&document, &none).expect("the host has no services");
        }
    }
    for capability in [
        "gate.provide:http.fetch",
        "gate.provide:data.sql",
        "gate.provide:data.kvs",
        "gate.provide:schedule.tick",
        "events.publish:data.changed",
    ] {
        read_by(&declaring(&[capability]), &usual).expect(capability);
    }
    let own = Reserved::new(["http.fetch"]);
    read_by(&declaring(&["gate.provide:http.*"]), &own).expect_err("the host fetches");
    read_by(&declaring(&["gate.provide:data.kv"]), &own).expect("it is not the host's");
}
