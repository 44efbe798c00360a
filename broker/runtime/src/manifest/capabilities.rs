//! What a plugin may do, frame by frame.
//!
//! One policy of the broker holds all rights that are no more than a name, and both sides look there: the broker when the session
//! opens a gate, this file when a frame comes. What a capability says beyond a name is kept beside it.
//!
//! | frame | allowed by |
//! |---|---|
//! | `events.publish` of a topic | `events.publish:TOPIC`, or a prefix of it with `.*` |
//! | `events.subscribe` to a topic or `x.*` | `events.subscribe:TOPIC`, the same or a shorter prefix with `.*`; or `gate.subscribe:PATTERN` |
//! | `data.sql`, `data.kv`, `storage.file`, `voice.tokens`, `voice.moderation` | the same name with `:self` |
//! | `data.read` | `data.read:PLUGIN.TABLE` of the frame's `plugin` and `table` |
//! | `http.fetch` | `http.fetch:HOST[:PORT]` of the frame's `url` |
//! | `schedule.*` | `runtime.schedule` |
//! | `broadcast.*`, `presence.*` | `broadcast.clients` |
//! | `resources.*` with the `plugin` of another | `resources.read:PLUGIN` |
//! | `resources.*` otherwise, `permissions.*`, `core.*`, `data.config`, `events.unsubscribe`, answers | nothing |
//! | any other service call | `gate.call:PATTERN` |

use std::collections::BTreeSet;

use callgate::Policy;
use serde::Deserialize;

use super::capability::{Capability, OF_SELF};
use super::hosts::{Host, Target};

/// Gates that every plugin may call. What `resources.*` gives of other plugins is looked at frame by frame.
const FREE: [&str; 4] = ["permissions.*", "core.*", "data.config", "resources.*"];

/// What a plugin's manifest allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// The plugin's own name.
    own: String,
    policy: Policy,
    tables: BTreeSet<(String, String)>,
    hosts: BTreeSet<Host>,
    resources: BTreeSet<String>,
}

/// That a frame is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plugin's manifest does not declare the capability `{capability}`")]
pub(crate) struct Denied {
    /// The string that would have to stand in `runtime_capabilities`. Where the frame lacks what its scope is made of, the
    /// scope is a description.
    pub(crate) capability: String,
}

/// What of a service call's arguments a capability goes by. A key that stands there twice is an error, because the service could
/// take the other one.
#[derive(Debug, Deserialize)]
struct Scope {
    plugin: Option<String>,
    table: Option<String>,
    url: Option<String>,
}

impl Capabilities {
    /// What a plugin may do that declares nothing: provide gates under its name, and use what is free.
    pub(super) fn new(own: &str) -> Capabilities {
        let policy = Policy::new().provide(&format!("{own}.*"));
        Capabilities {
            own: own.to_owned(),
            policy: FREE.iter().fold(policy, |policy, gates| policy.call(gates)),
            tables: BTreeSet::new(),
            hosts: BTreeSet::new(),
            resources: BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, capability: Capability) {
        let policy = std::mem::take(&mut self.policy);
        self.policy = match capability {
            Capability::OfSelf(name) => policy.call(name),
            Capability::Read { plugin, table } => {
                self.tables.insert((plugin, table));
                policy.call("data.read")
            }
            Capability::Fetch(host) => {
                self.hosts.insert(host);
                policy.call("http.fetch")
            }
            Capability::Publish(topic) => policy.send(&topic),
            Capability::Subscribe(topic) => policy.subscribe(&topic),
            Capability::Schedule => policy.call("schedule.*"),
            Capability::Broadcast => policy.call("broadcast.*").call("presence.*"),
            Capability::Resources { plugin } => {
                self.resources.insert(plugin);
                policy
            }
            Capability::Provide(pattern) => policy.provide(&pattern),
            Capability::Call(pattern) => policy.call(&pattern),
            Capability::Listen(pattern) => policy.subscribe(&pattern),
            Capability::CreateShares(pattern) => policy.create_shares(&pattern),
            Capability::ReadShares(pattern) => policy.read_shares(&pattern),
        };
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the plugin may publish on an open topic.
    pub(crate) fn check_publish(&self, topic: &str) -> Result<(), Denied> {
        allow(self.policy.may_send(topic), || {
            format!("events.publish:{topic}")
        })
    }

    /// Whether it may subscribe to a topic, or to all under a prefix (`x.*`).
    pub(crate) fn check_subscribe(&self, topic: &str) -> Result<(), Denied> {
        let is_prefix = topic.ends_with(".*");
        let name = &topic[..topic.len() - usize::from(is_prefix)];
        allow(self.policy.may_subscribe(name), || {
            format!("events.subscribe:{topic}")
        })
    }

    /// Whether it may make a service call of this name, with these arguments: the frame, or what the gate will get, as the text of a
    /// JSON object.
    pub(crate) fn check_service(&self, name: &str, arguments: &str) -> Result<(), Denied> {
        let may_call = self.policy.may_call(name);
        let begins = |prefix: &str| name.starts_with(prefix);
        match name {
            "data.read" => self.check_table(Scope::of(arguments)),
            "http.fetch" => self.check_url(Scope::of(arguments)),
            _ if begins("resources.") => self.check_resources(Scope::of(arguments)),
            _ if OF_SELF.contains(&name) => allow(may_call, || format!("{name}:self")),
            _ if begins("schedule.") => allow(may_call, || "runtime.schedule".to_owned()),
            _ if begins("broadcast.") || begins("presence.") => {
                allow(may_call, || "broadcast.clients".to_owned())
            }
            _ => allow(may_call, || format!("gate.call:{name}")),
        }
    }

    fn check_table(&self, scope: Option<Scope>) -> Result<(), Denied> {
        let named = scope.and_then(|scope| Some((scope.plugin?, scope.table?)));
        let Some(named) = named else {
            return allow(false, || "data.read:<plugin>.<table>".to_owned());
        };
        let is_declared = self.tables.contains(&named);
        allow(is_declared, || format!("data.read:{}.{}", named.0, named.1))
    }

    fn check_url(&self, scope: Option<Scope>) -> Result<(), Denied> {
        let url = scope.and_then(|scope| scope.url);
        let Some(target) = url.as_deref().and_then(Target::of) else {
            return allow(false, || "http.fetch:<host[:port]>".to_owned());
        };
        let is_declared = self.hosts.iter().any(|host| target.is(host));
        allow(is_declared, || format!("http.fetch:{}", target.host()))
    }

    fn check_resources(&self, scope: Option<Scope>) -> Result<(), Denied> {
        let Some(scope) = scope else {
            return allow(false, || "resources.read:<plugin>".to_owned());
        };
        match scope.plugin {
            None => Ok(()),
            Some(plugin) => {
                let is_declared = plugin == self.own || self.resources.contains(&plugin);
                allow(is_declared, || format!("resources.read:{plugin}"))
            }
        }
    }
}

impl Scope {
    /// None where the arguments are no object, or say one of these keys twice or as something else than a text.
    fn of(arguments: &str) -> Option<Scope> {
        serde_json::from_str(arguments).ok()
    }
}

fn allow(is_allowed: bool, capability: impl FnOnce() -> String) -> Result<(), Denied> {
    match is_allowed {
        true => Ok(()),
        false => Err(Denied {
            capability: capability(),
        }),
    }
}
