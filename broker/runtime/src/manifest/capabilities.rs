//! Decides frame by frame what a plugin may do.
//!
//! Rights that consist of a name only are kept in one policy of the broker, which both sides consult: the broker when the session opens a
//! gate, and this file when a frame arrives. The rest of a capability (tables, hosts, plugins) is kept beside the policy.
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

use std::collections::{BTreeMap, BTreeSet};

use super::capability::{Capability, OF_SELF};
use super::hosts::{Host, Target};
use crate::frame::{Incoming, Service};
use callgate::Policy;

/// Gates that every plugin may call. For `resources.*` about other plugins each frame is checked as well.
const FREE: [&str; 4] = ["permissions.*", "core.*", "data.config", "resources.*"];

/// The capabilities that a plugin's manifest declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// The plugin's own name.
    own: String,
    policy: Policy,
    /// The tables that the plugin may read, by the name of the plugin that owns them.
    tables: BTreeMap<String, BTreeSet<String>>,
    hosts: BTreeSet<Host>,
    resources: BTreeSet<String>,
}

/// The error for a frame that the plugin may not send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plugin's manifest does not declare the capability `{capability}`")]
pub(crate) struct Denied {
    /// The capability that is missing in `runtime_capabilities`. If the frame lacks the fields that its scope consists of, the scope is a
    /// description.
    pub(crate) capability: String,
}

impl Capabilities {
    /// The capabilities of a plugin that declares none: to provide gates under its name, and to use what every plugin may use.
    pub(super) fn new(own: &str) -> Capabilities {
        let policy = Policy::new().provide(&format!("{own}.*"));
        Capabilities {
            own: own.to_owned(),
            policy: FREE.iter().fold(policy, |policy, gates| policy.call(gates)),
            tables: BTreeMap::new(),
            hosts: BTreeSet::new(),
            resources: BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, capability: Capability) {
        let policy = std::mem::take(&mut self.policy);
        self.policy = match capability {
            Capability::OfSelf(name) => policy.call(name),
            Capability::Read { plugin, table } => {
                self.tables.entry(plugin).or_default().insert(table);
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

    /// Returns an error if the plugin may not send this frame.
    pub(crate) fn check(&self, frame: &Incoming<'_>) -> Result<(), Denied> {
        match frame {
            Incoming::Publish(publish) => self.check_publish(&publish.topic),
            Incoming::Subscribe(subscribe) => self.check_subscribe(&subscribe.topic),
            Incoming::Service(service) => self.check_service(service),
            Incoming::Ready
            | Incoming::ServeReady
            | Incoming::Pong { .. }
            | Incoming::Response(_)
            | Incoming::DeliverError(_)
            | Incoming::Unsubscribe(_)
            | Incoming::Unknown { .. } => Ok(()),
        }
    }

    fn check_publish(&self, topic: &str) -> Result<(), Denied> {
        allow(self.policy.may_send(topic), || {
            format!("events.publish:{topic}")
        })
    }

    /// Checks a topic, which is a name or all names under a prefix (`x.*`).
    fn check_subscribe(&self, topic: &str) -> Result<(), Denied> {
        let is_prefix = topic.ends_with(".*");
        let name = &topic[..topic.len() - usize::from(is_prefix)];
        allow(self.policy.may_subscribe(name), || {
            format!("events.subscribe:{topic}")
        })
    }

    fn check_service(&self, service: &Service<'_>) -> Result<(), Denied> {
        let name = &*service.kind;
        let may_call = self.policy.may_call(name);
        let begins = |prefix: &str| name.starts_with(prefix);
        match name {
            "data.read" => self.check_table(service),
            "http.fetch" => self.check_url(service),
            _ if begins("resources.") => self.check_resources(service),
            _ if OF_SELF.contains(&name) => allow(may_call, || format!("{name}:self")),
            _ if begins("schedule.") => allow(may_call, || "runtime.schedule".to_owned()),
            _ if begins("broadcast.") || begins("presence.") => {
                allow(may_call, || "broadcast.clients".to_owned())
            }
            _ => allow(may_call, || format!("gate.call:{name}")),
        }
    }

    fn check_table(&self, service: &Service<'_>) -> Result<(), Denied> {
        let (plugin, table) = (service.text("plugin"), service.text("table"));
        let (Some(plugin), Some(table)) = (plugin, table) else {
            return allow(false, || "data.read:<plugin>.<table>".to_owned());
        };
        let tables = self.tables.get(&*plugin);
        let is_declared = tables.is_some_and(|tables| tables.contains(&*table));
        allow(is_declared, || format!("data.read:{plugin}.{table}"))
    }

    fn check_url(&self, service: &Service<'_>) -> Result<(), Denied> {
        let url = service.text("url");
        let Some(target) = url.as_deref().and_then(Target::of) else {
            return allow(false, || "http.fetch:<host[:port]>".to_owned());
        };
        let is_declared = self.hosts.iter().any(|host| target.is(host));
        allow(is_declared, || format!("http.fetch:{}", target.host()))
    }

    fn check_resources(&self, service: &Service<'_>) -> Result<(), Denied> {
        let field = service.field("plugin");
        if field.is_none_or(|field| field.get() == "null") {
            return Ok(());
        }
        let Some(plugin) = service.text("plugin") else {
            return allow(false, || "resources.read:<plugin>".to_owned());
        };
        let is_declared = *plugin == self.own || self.resources.contains(&*plugin);
        allow(is_declared, || format!("resources.read:{plugin}"))
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
