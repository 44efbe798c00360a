//! A table of all types of frames: the capability that allows each, and capabilities that are close to it and do not.

use serde_json::{Value, json};

/// All cases of the table.
pub(super) fn cases() -> Vec<Case> {
    let all = [
        events(),
        own_services(),
        scoped_services(),
        groups_of_services(),
        other_gates(),
    ];
    all.into_iter().flatten().collect()
}

pub(super) struct Case {
    pub(super) frame: Value,
    /// The capability that allows the frame, exactly as the error names it.
    pub(super) named: &'static str,
    /// Other capabilities that allow the frame as well.
    pub(super) enough: &'static [&'static str],
    /// Capabilities that do not allow it.
    pub(super) near: &'static [&'static str],
}

pub(super) fn service(name: &str) -> Value {
    json!({ "type": name, "id": "1" })
}

fn events() -> Vec<Case> {
    let publish = |topic| json!({ "type": "events.publish", "topic": topic, "payload": 1 });
    let subscribe = |topic| json!({ "type": "events.subscribe", "topic": topic });
    vec![
        Case {
            frame: publish("chat.message"),
            named: "events.publish:chat.message",
            enough: &["events.publish:chat.*"],
            near: &[
                "events.publish:chat",
                "events.publish:chat.messages",
                "events.publish:chat.mess",
                "events.publish:chat.message.*",
                "events.publish:Chat.message",
                "events.publish:other.*",
                "events.subscribe:chat.message",
                "gate.provide:chat.message",
                "gate.call:chat.message",
                "share.create:*",
            ],
        },
        Case {
            frame: publish("chat"),
            named: "events.publish:chat",
            enough: &[],
            near: &["events.publish:chat.*", "events.publish:cha"],
        },
        Case {
            frame: publish("chat-counter.counted"),
            named: "events.publish:chat-counter.counted",
            enough: &["events.publish:chat-counter.*"],
            near: &["events.publish:chat.*", "events.publish:counter.*"],
        },
        Case {
            frame: publish("a.b.c"),
            named: "events.publish:a.b.c",
            enough: &["events.publish:a.*", "events.publish:a.b.*"],
            near: &[
                "events.publish:a.b",
                "events.publish:a.b.c.*",
                "events.publish:b.*",
            ],
        },
        Case {
            frame: subscribe("chat.message"),
            named: "events.subscribe:chat.message",
            enough: &[
                "events.subscribe:chat.*",
                "gate.subscribe:chat.message",
                "gate.subscribe:chat.*",
                "gate.subscribe:ch*",
            ],
            near: &[
                "events.subscribe:chat",
                "events.subscribe:chat.mess",
                "events.subscribe:chat.message.*",
                "events.publish:chat.message",
                "gate.call:chat.message",
                "share.read:chat.message",
            ],
        },
        Case {
            frame: subscribe("chat.*"),
            named: "events.subscribe:chat.*",
            enough: &["gate.subscribe:chat.*", "gate.subscribe:ch*"],
            near: &[
                "events.subscribe:chat.message",
                "events.subscribe:chat",
                "events.subscribe:chat.a.*",
                "events.publish:chat.*",
                "gate.subscribe:chat.*.message",
                "gate.subscribe:chat.a*",
            ],
        },
        Case {
            frame: subscribe("chat.a.*"),
            named: "events.subscribe:chat.a.*",
            enough: &["events.subscribe:chat.*"],
            near: &["events.subscribe:chat.a", "events.subscribe:chat.b.*"],
        },
    ]
}

fn own_services() -> Vec<Case> {
    vec![
        Case {
            frame: json!({ "type": "data.sql", "id": "1", "method": "run", "sql": "" }),
            named: "data.sql:self",
            enough: &[],
            near: &[
                "data.kv:self",
                "data.read:chat-counter.sql",
                "gate.call:data.sqlite",
                "storage.file:self",
            ],
        },
        Case {
            frame: json!({ "type": "data.kv", "id": "1", "method": "get", "key": "a" }),
            named: "data.kv:self",
            enough: &[],
            near: &[
                "data.sql:self",
                "data.read:data.kv",
                "gate.call:data.kv.get",
                "gate.provide:data.kv",
            ],
        },
        Case {
            frame: service("storage.file"),
            named: "storage.file:self",
            enough: &[],
            near: &[
                "data.kv:self",
                "gate.call:storage.files",
                "share.create:storage.file",
            ],
        },
        Case {
            frame: service("voice.tokens"),
            named: "voice.tokens:self",
            enough: &[],
            near: &["voice.moderation:self", "gate.call:voice.token"],
        },
        Case {
            frame: service("voice.moderation"),
            named: "voice.moderation:self",
            enough: &[],
            near: &["voice.tokens:self", "gate.call:voice.moderation.*"],
        },
    ]
}

fn scoped_services() -> Vec<Case> {
    let table =
        |plugin, table| json!({ "type": "data.read", "id": "1", "plugin": plugin, "table": table });
    let fetch = |url| json!({ "type": "http.fetch", "id": "1", "url": url });
    vec![
        Case {
            frame: table("chat", "messages"),
            named: "data.read:chat.messages",
            enough: &[],
            near: &[
                "data.read:chat.message",
                "data.read:chat.messages2",
                "data.read:chat.Messages",
                "data.read:cha.messages",
                "data.read:chat-counter.messages",
                "data.sql:self",
                "resources.read:chat",
                "gate.call:chat.messages",
            ],
        },
        Case {
            frame: table("chat", "public.messages"),
            named: "data.read:chat.public.messages",
            enough: &[],
            near: &["data.read:chat.messages", "data.read:chat.public"],
        },
        Case {
            frame: fetch("https://api.example.com/v1?q=1"),
            named: "http.fetch:api.example.com",
            enough: &[
                "http.fetch:api.example.com:443",
                "http.fetch:API.example.com",
            ],
            near: &[
                "http.fetch:example.com",
                "http.fetch:api.example.com.org",
                "http.fetch:api.example.com:80",
                "http.fetch:api.example.com:8443",
                "gate.call:http.fetcher",
            ],
        },
        Case {
            frame: fetch("http://localhost:8080/"),
            named: "http.fetch:localhost:8080",
            enough: &[],
            near: &[
                "http.fetch:localhost",
                "http.fetch:localhost:80",
                "http.fetch:127.0.0.1:8080",
            ],
        },
        Case {
            frame: json!({ "type": "resources.check", "id": "1", "plugin": "chat" }),
            named: "resources.read:chat",
            enough: &[],
            near: &[
                "resources.read:chat-counter",
                "resources.read:cha",
                "data.read:chat.resources",
            ],
        },
    ]
}

fn groups_of_services() -> Vec<Case> {
    let by = |name: &str, named, near| Case {
        frame: service(name),
        named,
        enough: &[],
        near,
    };
    let not_schedule: &[&str] = &[
        "broadcast.clients",
        "gate.call:scheduler.register",
        "data.kv:self",
    ];
    let not_broadcast: &[&str] = &[
        "runtime.schedule",
        "gate.call:broadcasts.*",
        "events.publish:broadcast.send",
    ];
    vec![
        by("schedule.register", "runtime.schedule", not_schedule),
        by("schedule.unregister", "runtime.schedule", not_schedule),
        by("broadcast.send", "broadcast.clients", not_broadcast),
        by("broadcast.to.user", "broadcast.clients", not_broadcast),
        by("presence.list", "broadcast.clients", not_broadcast),
    ]
}

fn other_gates() -> Vec<Case> {
    vec![
        Case {
            frame: service("chat.send"),
            named: "gate.call:chat.send",
            enough: &[
                "gate.call:chat.*",
                "gate.call:chat.s*d",
                "gate.call:chat.*nd",
            ],
            near: &[
                "gate.call:chat.sen",
                "gate.call:chat.send2",
                "gate.call:chat",
                "gate.call:chat.send.*",
                "gate.subscribe:chat.send",
                "gate.provide:chat.*",
                "events.publish:chat.*",
            ],
        },
        // A plugin's own gates are no exception: calling one needs the right to call it.
        Case {
            frame: service("chat-counter.count"),
            named: "gate.call:chat-counter.count",
            enough: &["gate.call:chat-counter.*"],
            near: &["gate.provide:chat-counter.*", "gate.call:chat.*"],
        },
        Case {
            frame: service("callgate.runtime.stop"),
            named: "gate.call:callgate.runtime.stop",
            enough: &["gate.call:callgate.*"],
            near: &["gate.call:callgate", "runtime.schedule"],
        },
        Case {
            frame: service("voice.join"),
            named: "gate.call:voice.join",
            enough: &[],
            near: &["voice.tokens:self", "voice.moderation:self"],
        },
        Case {
            frame: service("data.import"),
            named: "gate.call:data.import",
            enough: &[],
            near: &["data.sql:self", "data.kv:self", "data.read:data.import"],
        },
    ]
}
