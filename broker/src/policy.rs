//! Policies: what plugins may do, decided by names. Pure.

use std::collections::BTreeMap;

use callgate_layout::control::PluginLimits;

use crate::names::is_prefix;

/// What a plugin may provide, call, listen to, send on, share and read, and how much it may have. Everything that the policy does not name
/// is refused.
///
/// Gates are named by patterns, in which `*` stands for any sequence of characters and everything else for itself.
///
/// ```
/// use callgate::Policy;
///
/// let policy = Policy::new()
///     .provide("Rack.*")
///     .call("Mixer.Level")
///     .gates(16);
/// assert!(policy.may_provide("Rack.Filter"));
/// assert!(!policy.may_call("Mixer.Mute"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    provide: Vec<Pattern>,
    call: Vec<Pattern>,
    subscribe: Vec<Pattern>,
    send: Vec<Pattern>,
    create_shares: Vec<Pattern>,
    read_shares: Vec<Pattern>,
    gates: Option<u32>,
    opens: Option<u32>,
    links: Option<u32>,
    extent_mib: Option<u32>,
    schema_mib: Option<u32>,
    share_mib: Option<u32>,
    shares: Option<u32>,
    requests_per_second: Option<u32>,
}

/// A capability that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no capability: there are gate.provide:PATTERN, gate.call:PATTERN, gate.subscribe:PATTERN, \
     topic.send:PATTERN, share.create:PATTERN and share.read:PATTERN, none with an empty PATTERN"
)]
pub struct UnknownCapability(String);

impl Policy {
    /// Allows nothing.
    pub fn new() -> Policy {
        Policy::default()
    }

    /// Allows what is listed, in the form that a manifest has: `gate.provide:PATTERN` (as [`Policy::provide`]), `gate.call:PATTERN`
    /// ([`Policy::call`]), `gate.subscribe:PATTERN` ([`Policy::subscribe`]), `topic.send:PATTERN` ([`Policy::send`]),
    /// `share.create:PATTERN` ([`Policy::create_shares`]) or `share.read:PATTERN` ([`Policy::read_shares`]).
    ///
    /// # Errors
    ///
    /// The first capability that is not one of these.
    pub fn from_capabilities<'a>(
        capabilities: impl IntoIterator<Item = &'a str>,
    ) -> Result<Policy, UnknownCapability> {
        let mut policy = Policy::new();
        for capability in capabilities {
            let parts = capability.split_once(':');
            policy = match parts.filter(|(_, pattern)| !pattern.is_empty()) {
                Some(("gate.provide", pattern)) => policy.provide(pattern),
                Some(("gate.call", pattern)) => policy.call(pattern),
                Some(("gate.subscribe", pattern)) => policy.subscribe(pattern),
                Some(("topic.send", pattern)) => policy.send(pattern),
                Some(("share.create", pattern)) => policy.create_shares(pattern),
                Some(("share.read", pattern)) => policy.read_shares(pattern),
                _ => return Err(UnknownCapability(capability.to_owned())),
            };
        }
        Ok(policy)
    }

    /// Allows to provide gates, and to send their events.
    #[must_use]
    pub fn provide(mut self, pattern: &str) -> Policy {
        self.provide.push(Pattern::new(pattern));
        self
    }

    /// Allows to open gates, to call or to watch them.
    #[must_use]
    pub fn call(mut self, pattern: &str) -> Policy {
        self.call.push(Pattern::new(pattern));
        self
    }

    /// Allows to listen to the events of gates and of open topics.
    #[must_use]
    pub fn subscribe(mut self, pattern: &str) -> Policy {
        self.subscribe.push(Pattern::new(pattern));
        self
    }

    /// Allows to send events on open topics, which are not the topics of gates. On the topics of gates that it provides, a plugin may send
    /// anyway.
    #[must_use]
    pub fn send(mut self, pattern: &str) -> Policy {
        self.send.push(Pattern::new(pattern));
        self
    }

    /// Allows to make shares and their versions, to remove persistent ones, and to write cells, under tags of this pattern. A plugin may
    /// also read what it makes, and watch these tags.
    #[must_use]
    pub fn create_shares(mut self, pattern: &str) -> Policy {
        self.create_shares.push(Pattern::new(pattern));
        self
    }

    /// Allows to read and to watch shares and cells under tags of this pattern.
    #[must_use]
    pub fn read_shares(mut self, pattern: &str) -> Policy {
        self.read_shares.push(Pattern::new(pattern));
        self
    }

    /// Limits the gates that a plugin provides plus the topics that it sends on, in place of the bus's limit.
    #[must_use]
    pub fn gates(mut self, most: u32) -> Policy {
        self.gates = Some(most);
        self
    }

    /// Limits the gates that a plugin has open plus its subscriptions, in place of the bus's limit.
    #[must_use]
    pub fn opens(mut self, most: u32) -> Policy {
        self.opens = Some(most);
        self
    }

    /// Limits a plugin's links, in place of the bus's limit.
    #[must_use]
    pub fn links(mut self, most: u32) -> Policy {
        self.links = Some(most);
        self
    }

    /// Limits a plugin's MiB of extents and of rings of events, in place of the bus's limit.
    #[must_use]
    pub fn extent_mib(mut self, most: u32) -> Policy {
        self.extent_mib = Some(most);
        self
    }

    /// Limits a plugin's MiB of schemas, in place of the bus's limit.
    #[must_use]
    pub fn schema_mib(mut self, most: u32) -> Policy {
        self.schema_mib = Some(most);
        self
    }

    /// Limits a plugin's MiB of shares (the newest versions that it has made, and older ones that it keeps), in place of the bus's limit.
    #[must_use]
    pub fn share_mib(mut self, most: u32) -> Policy {
        self.share_mib = Some(most);
        self
    }

    /// Limits the shares and cells that a plugin uses, makes, waits for and watches, in place of the bus's limit.
    #[must_use]
    pub fn shares(mut self, most: u32) -> Policy {
        self.shares = Some(most);
        self
    }

    /// Limits a plugin's control requests a second (opening and providing gates, and the like; never calls) in the long run, in place of
    /// the bus's limit. After a quiet time it may make twice as many at once. A plugin that makes more loses its session. Not counted are
    /// requests by which it has more gates open than ever before on this connection, and those by which it provides its gates again, so
    /// that it can come back to a new broker.
    #[must_use]
    pub fn requests_per_second(mut self, most: u32) -> Policy {
        self.requests_per_second = Some(most);
        self
    }

    /// Whether a gate may be provided, or a prefix of gates, which ends in `.`. For a prefix a pattern that ends in `*` is needed, so that
    /// it matches all names under the prefix, too.
    pub fn may_provide(&self, gate: &str) -> bool {
        self.provide.iter().any(|pattern| pattern.covers(gate))
    }

    /// Whether a gate may be called.
    pub fn may_call(&self, gate: &str) -> bool {
        self.call.iter().any(|pattern| pattern.matches(gate))
    }

    /// Whether the events of a gate or an open topic may be listened to, or those of all names under a prefix, which ends in `.`. For a
    /// prefix a pattern that ends in `*` is needed, so that no name is left out.
    pub fn may_subscribe(&self, gate: &str) -> bool {
        self.subscribe.iter().any(|pattern| pattern.covers(gate))
    }

    /// Whether events may be sent on an open topic.
    pub fn may_send(&self, topic: &str) -> bool {
        self.send.iter().any(|pattern| pattern.matches(topic))
    }

    /// Whether a share or a cell of this tag may be made.
    pub fn may_create_share(&self, tag: &str) -> bool {
        self.create_shares
            .iter()
            .any(|pattern| pattern.matches(tag))
    }

    /// Whether a share or a cell of this tag may be read.
    pub fn may_read_share(&self, tag: &str) -> bool {
        self.read_shares.iter().any(|pattern| pattern.matches(tag))
    }

    fn limits(&self, all: PluginLimits) -> PluginLimits {
        PluginLimits {
            gates: self.gates.unwrap_or(all.gates),
            opens: self.opens.unwrap_or(all.opens),
            links: self.links.unwrap_or(all.links),
            extent_mib: self.extent_mib.unwrap_or(all.extent_mib),
            schema_mib: self.schema_mib.unwrap_or(all.schema_mib),
            share_mib: self.share_mib.unwrap_or(all.share_mib),
            shares: self.shares.unwrap_or(all.shares),
        }
    }
}

/// The policies of a bus, by the names of plugins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    /// By the name, or by a pattern of names.
    named: BTreeMap<String, Policy>,
    /// Policies that were lent to names, by name: each replaces the name's other policy for as long as a session lasts.
    lent: BTreeMap<String, Policy>,
    /// Whether a plugin without a policy may do nothing; otherwise it may do everything.
    pub(crate) strict: bool,
}

impl Policies {
    /// Sets or removes the policy of a name or a pattern, and removes one that was lent to it.
    pub(crate) fn set(&mut self, name: &str, policy: Option<Policy>) {
        self.lent.remove(name);
        match policy {
            Some(policy) => self.named.insert(name.to_owned(), policy),
            None => self.named.remove(name),
        };
    }

    /// Lends a policy to a name: it replaces the name's other policy until it is taken back.
    pub(crate) fn lend(&mut self, name: &str, policy: Policy) {
        self.lent.insert(name.to_owned(), policy);
    }

    /// Takes back the policy that was lent to a name: its other policy holds again.
    pub(crate) fn take_back(&mut self, name: &str) {
        self.lent.remove(name);
    }

    /// The policy of a plugin: that of its name, or else that of the longest pattern that matches.
    fn of(&self, plugin: &str) -> Option<&Policy> {
        let own = self.lent.get(plugin).or_else(|| self.named.get(plugin));
        own.or_else(|| {
            let matching = self.named.iter().filter(|(name, _)| {
                let pattern = Pattern::new(name);
                pattern.is_open() && pattern.matches(plugin)
            });
            let longest = matching.max_by_key(|(name, _)| name.len());
            longest.map(|(_, policy)| policy)
        })
    }

    pub(crate) fn admits(&self, plugin: &str) -> bool {
        !self.strict || self.of(plugin).is_some()
    }

    pub(crate) fn may_provide(&self, plugin: &str, gate: &str) -> bool {
        match self.of(plugin) {
            Some(policy) => policy.may_provide(gate),
            None => !self.strict,
        }
    }

    pub(crate) fn may_call(&self, plugin: &str, gate: &str) -> bool {
        match self.of(plugin) {
            Some(policy) => policy.may_call(gate),
            None => !self.strict,
        }
    }

    pub(crate) fn may_subscribe(&self, plugin: &str, topic: &str) -> bool {
        match self.of(plugin) {
            Some(policy) => policy.may_subscribe(topic),
            None => !self.strict,
        }
    }

    pub(crate) fn may_send(&self, plugin: &str, topic: &str) -> bool {
        match self.of(plugin) {
            Some(policy) => policy.may_send(topic),
            None => !self.strict,
        }
    }

    pub(crate) fn may_create_share(&self, plugin: &str, tag: &str) -> bool {
        match self.of(plugin) {
            Some(policy) => policy.may_create_share(tag),
            None => !self.strict,
        }
    }

    pub(crate) fn may_read_share(&self, plugin: &str, tag: &str) -> bool {
        match self.of(plugin) {
            Some(policy) => policy.may_read_share(tag),
            None => !self.strict,
        }
    }

    /// Returns which gates of one plugin another one may call: those that the policy of the caller allows to call, and that of the owner to
    /// provide. The second argument is the gate or prefix that provides the name.
    pub(crate) fn between<'a>(
        &'a self,
        caller: &str,
        owner: &str,
    ) -> impl Fn(&str, &str) -> bool + use<'a> {
        let (caller, owner, strict) = (self.of(caller), self.of(owner), self.strict);
        move |gate, by| {
            let may_call = caller.map_or(!strict, |policy| policy.may_call(gate));
            may_call && owner.map_or(!strict, |policy| policy.may_provide(by))
        }
    }

    pub(crate) fn limits(&self, plugin: &str, all: PluginLimits) -> PluginLimits {
        self.of(plugin).map_or(all, |policy| policy.limits(all))
    }

    /// How many control requests a second a plugin may make; `None` if its policy does not say.
    pub(crate) fn requests_per_second(&self, plugin: &str) -> Option<u32> {
        self.of(plugin)?.requests_per_second
    }
}

/// A name in which `*` stands for any sequence of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// The texts between the stars.
    parts: Vec<String>,
}

impl Pattern {
    fn new(text: &str) -> Pattern {
        let parts = text.split('*').map(str::to_owned).collect();
        Pattern { parts }
    }

    /// Whether the pattern can match more than one name.
    fn is_open(&self) -> bool {
        self.parts.len() > 1
    }

    /// Whether the pattern also matches every longer name that begins with a name it matches.
    fn is_open_ended(&self) -> bool {
        self.is_open() && self.parts.last().is_some_and(String::is_empty)
    }

    /// Whether the pattern matches a name; for a prefix, also all names under it.
    fn covers(&self, name: &str) -> bool {
        self.matches(name) && (!is_prefix(name) || self.is_open_ended())
    }

    /// Each part is searched once, from the end of the one before. Taking its first place is enough, because a star can stand for whatever
    /// is left.
    fn matches(&self, name: &str) -> bool {
        let [first, middle @ .., last] = &self.parts[..] else {
            return self.parts.first().is_some_and(|only| only == name);
        };
        let rest = name.strip_prefix(first.as_str());
        let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        middle.iter().all(|part| match rest.find(part.as_str()) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
