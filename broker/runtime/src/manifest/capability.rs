//! Parses capabilities, the strings in a manifest that allow something: `resource.action[:scope]`.

use std::str::FromStr;

use super::hosts::Host;
use super::names::is_name;

/// Frames that are each allowed by the capability of the same name with the scope `self`.
pub(super) const OF_SELF: [&str; 5] = [
    "data.sql",
    "data.kv",
    "storage.file",
    "voice.tokens",
    "voice.moderation",
];

/// Gates of services that have capabilities of their own, so that no `gate.call` pattern may match them. Names that end in a dot are
/// prefixes.
const GOVERNED: [&str; 11] = [
    "data.sql",
    "data.kv",
    "data.read",
    "storage.file",
    "voice.tokens",
    "voice.moderation",
    "http.fetch",
    "schedule.",
    "broadcast.",
    "presence.",
    "resources.",
];

/// The topic with the log lines of all plugins. It is for people: no plugin may listen to the others' logs there.
const LOG: &str = "callgate.runtime.log";

/// All capabilities there are, for error messages.
const ALL: &str = "data.sql:self, data.kv:self, storage.file:self, voice.tokens:self, voice.moderation:self, \
     data.read:PLUGIN.TABLE, http.fetch:HOST[:PORT], events.publish:TOPIC, events.subscribe:TOPIC, runtime.schedule, \
     broadcast.clients, resources.read:PLUGIN, gate.provide:PATTERN, gate.call:PATTERN, gate.subscribe:PATTERN, \
     share.create:PATTERN, share.read:PATTERN";

/// One capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Capability {
    /// The right to send frames of this name.
    OfSelf(&'static str),
    Read {
        plugin: String,
        table: String,
    },
    Fetch(Host),
    /// A topic, or a pattern `x.*`.
    Publish(String),
    /// A topic, or a pattern `x.*`.
    Subscribe(String),
    Schedule,
    Broadcast,
    Resources {
        plugin: String,
    },
    /// From here on: a pattern as in the broker's policies.
    Provide(String),
    Call(String),
    Listen(String),
    CreateShares(String),
    ReadShares(String),
}

impl FromStr for Capability {
    /// The description of what is allowed instead.
    type Err = String;

    fn from_str(text: &str) -> Result<Capability, String> {
        let (action, scope) = match text.split_once(':') {
            Some((action, scope)) => (action, Some(scope)),
            None => (text, None),
        };
        if let Some(name) = OF_SELF.iter().find(|name| **name == action) {
            let is_self = scope == Some("self");
            return require(is_self, Capability::OfSelf(name), || format!("{name}:self"));
        }
        match (action, scope) {
            ("runtime.schedule", scope) => require(scope.is_none(), Capability::Schedule, || {
                "runtime.schedule, without a scope".to_owned()
            }),
            ("broadcast.clients", scope) => require(scope.is_none(), Capability::Broadcast, || {
                "broadcast.clients, without a scope".to_owned()
            }),
            (_, scope) => scoped(action, scope.unwrap_or_default()),
        }
    }
}

fn scoped(action: &str, scope: &str) -> Result<Capability, String> {
    let owned = || scope.to_owned();
    match action {
        "data.read" => table(scope),
        "http.fetch" => {
            let host = Host::parse(scope).map(Capability::Fetch);
            host.ok_or_else(|| "http.fetch:HOST or http.fetch:HOST:PORT, without `*`".to_owned())
        }
        "events.publish" => require(is_topic(scope), Capability::Publish(owned()), || {
            topic(action)
        }),
        "events.subscribe" if is_topic(scope) => listen(action, scope, Capability::Subscribe),
        "events.subscribe" => Err(topic(action)),
        "resources.read" => {
            let capability = Capability::Resources { plugin: owned() };
            require(is_name(scope), capability, || {
                "resources.read:PLUGIN, the name of a plugin, without `*`".to_owned()
            })
        }
        "gate.call" => call(scope),
        "gate.provide" => pattern(action, scope, Capability::Provide),
        "gate.subscribe" => listen(action, scope, Capability::Listen),
        "share.create" => pattern(action, scope, Capability::CreateShares),
        "share.read" => pattern(action, scope, Capability::ReadShares),
        _ => Err(ALL.to_owned()),
    }
}

fn require(
    is_fine: bool,
    capability: Capability,
    allowed: impl FnOnce() -> String,
) -> Result<Capability, String> {
    match is_fine {
        true => Ok(capability),
        false => Err(allowed()),
    }
}

fn table(scope: &str) -> Result<Capability, String> {
    let (plugin, table) = scope.split_once('.').unwrap_or_default();
    let capability = Capability::Read {
        plugin: plugin.to_owned(),
        table: table.to_owned(),
    };
    require(is_name(plugin) && is_table(table), capability, || {
        "data.read:PLUGIN.TABLE, one table of one plugin, without `*`".to_owned()
    })
}

/// Whether a text may be the name of a table, in a capability or a frame.
pub(super) fn is_table(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(fits)
}

/// Whether a text is a topic, or a prefix followed by `.*`.
fn is_topic(text: &str) -> bool {
    let name = text.strip_suffix(".*").unwrap_or(text);
    let is_plain = !name.contains('*') && !name.contains(char::is_control);
    is_plain && !name.is_empty() && !name.ends_with('.')
}

fn topic(action: &str) -> String {
    format!(
        "{action}:TOPIC or {action}:PREFIX.*, where `*` stands at the end only and not by itself"
    )
}

fn pattern(
    action: &str,
    scope: &str,
    make: fn(String) -> Capability,
) -> Result<Capability, String> {
    require(!scope.is_empty(), make(scope.to_owned()), || {
        format!("{action}:PATTERN, in which `*` stands for any characters")
    })
}

/// A pattern of gates, refused if it matches a service's gate.
fn call(scope: &str) -> Result<Capability, String> {
    match GOVERNED.iter().find(|service| could_be(scope, service)) {
        Some(service) => Err(format!(
            "gate.call:PATTERN that does not stand for `{service}`, which has a capability of its own: {ALL}"
        )),
        None => pattern("gate.call", scope, Capability::Call),
    }
}

/// A pattern of topics, refused if it matches the runtime's log.
fn listen(action: &str, scope: &str, make: fn(String) -> Capability) -> Result<Capability, String> {
    match callgate::Policy::new().subscribe(scope).may_subscribe(LOG) {
        true => Err(format!("{action}:PATTERN that does not stand for `{LOG}`")),
        false => pattern(action, scope, make),
    }
}

/// Whether a pattern matches a gate; or, if `service` is a prefix, could match a name under it.
pub(super) fn could_be(pattern: &str, service: &str) -> bool {
    if !service.ends_with('.') {
        return callgate::Policy::new().call(pattern).may_call(service);
    }
    match pattern.split_once('*') {
        Some((first, _)) => first.starts_with(service) || service.starts_with(first),
        None => pattern.starts_with(service),
    }
}
