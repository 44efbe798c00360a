//! What plugins may do: pure decisions over names.

use std::collections::BTreeMap;

use callgate_layout::control::PluginLimits;

use crate::names::is_prefix;

/// What a plugin may provide, call, listen to, send on, share and read, and how much it may have. Nothing that is not
/// said.
///
/// Gates are named by patterns, in which `*` stands for any run of characters and everything else
/// for itself.
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

    /// Allows what is listed, each as in a manifest: `gate.provide:PATTERN` (as [`Policy::provide`]),
    /// `gate.call:PATTERN` ([`Policy::call`]), `gate.subscribe:PATTERN` ([`Policy::subscribe`]),
    /// `topic.send:PATTERN` ([`Policy::send`]), `share.create:PATTERN` ([`Policy::create_shares`]) or `share.read:PATTERN`
    /// ([`Policy::read_shares`]).
    ///
    /// # Errors
    ///
    /// The first capability that is none.
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

    /// Allows to send events on open topics: those that are no gate's. On the topics of gates that it provides a plugin
    /// may send anyway.
    #[must_use]
    pub fn send(mut self, pattern: &str) -> Policy {
        self.send.push(Pattern::new(pattern));
        self
    }

    /// Allows to make shares and their versions, to remove persistent ones, and to write cells: under these tags. What a plugin makes
    /// it may also read, and it may watch these tags.
    #[must_use]
    pub fn create_shares(mut self, pattern: &str) -> Policy {
        self.create_shares.push(Pattern::new(pattern));
        self
    }

    /// Allows to read shares and cells, and to watch them: under these tags.
    #[must_use]
    pub fn read_shares(mut self, pattern: &str) -> Policy {
        self.read_shares.push(Pattern::new(pattern));
        self
    }

    /// At most so many gates provided and topics sent on, in place of the bus's limit.
    #[must_use]
    pub fn gates(mut self, most: u32) -> Policy {
        self.gates = Some(most);
        self
    }

    /// At most so many gates open and subscriptions, in place of the bus's limit.
    #[must_use]
    pub fn opens(mut self, most: u32) -> Policy {
        self.opens = Some(most);
        self
    }

    /// At most so many links, in place of the bus's limit.
    #[must_use]
    pub fn links(mut self, most: u32) -> Policy {
        self.links = Some(most);
        self
    }

    /// At most so many MiB of extents and of rings of events, in place of the bus's limit.
    #[must_use]
    pub fn extent_mib(mut self, most: u32) -> Policy {
        self.extent_mib = Some(most);
        self
    }

    /// At most so many MiB of schemas, in place of the bus's limit.
    #[must_use]
    pub fn schema_mib(mut self, most: u32) -> Policy {
        self.schema_mib = Some(most);
        self
    }

    /// At most so many MiB of shares: of the newest versions that it has made, and of older ones that it keeps; in place of the bus's
    /// limit.
    #[must_use]
    pub fn share_mib(mut self, most: u32) -> Policy {
        self.share_mib = Some(most);
        self
    }

    /// At most so many shares and cells in use, made, waited for and watched, in place of the bus's limit.
    #[must_use]
    pub fn shares(mut self, most: u32) -> Policy {
        self.shares = Some(most);
        self
    }

    /// At most so many control requests a second (opening and providing gates, and the like; never
    /// calls) in the long run, and twice as many at once after a quiet time, in place of the bus's
    /// limit. A plugin that makes more is ended. Not counted are those with which it comes to
    /// have more gates open than before on this connection, and with which it takes up its gates again, so
    /// that it can come back to a new broker.
    #[must_use]
    pub fn requests_per_second(mut self, most: u32) -> Policy {
        self.requests_per_second = Some(most);
        self
    }

    /// Whether a gate may be provided, or a prefix of gates, which ends in `.`: that takes a pattern which
    /// ends in `*`, so that it matches all names under the prefix, too.
    pub fn may_provide(&self, gate: &str) -> bool {
        self.provide.iter().any(|pattern| pattern.covers(gate))
    }

    /// Whether a gate may be called.
    pub fn may_call(&self, gate: &str) -> bool {
        self.call.iter().any(|pattern| pattern.matches(gate))
    }

    /// Whether the events of a gate or an open topic may be listened to, or all those under a prefix, which ends in `.`:
    /// that takes a pattern which ends in `*`, so that none of them is left out.
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

/// The policies of a bus, by plugins' names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    /// By name, or by a pattern of names.
    named: BTreeMap<String, Policy>,
    /// By name: in the place of what is there otherwise, for as long as a session lasts.
    lent: BTreeMap<String, Policy>,
    /// Whether a plugin without a policy may do nothing, rather than everything.
    pub(crate) strict: bool,
}

impl Policies {
    /// Replaces or removes the policy under a name or a pattern, also one that was lent.
    pub(crate) fn set(&mut self, name: &str, policy: Option<Policy>) {
        self.lent.remove(name);
        match policy {
            Some(policy) => self.named.insert(name.to_owned(), policy),
            None => self.named.remove(name),
        };
    }

    /// Puts a policy in the place of what a name has, until it is taken back.
    pub(crate) fn lend(&mut self, name: &str, policy: Policy) {
        self.lent.insert(name.to_owned(), policy);
    }

    /// What was there before it was lent holds again.
    pub(crate) fn take_back(&mut self, name: &str) {
        self.lent.remove(name);
    }

    /// The policy of a plugin: that of its name, or else of the longest pattern that matches it.
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

    /// Which gates of one plugin another one may call: those that it may call, and that one may
    /// provide, by themselves or by the prefix that is said.
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

    /// How many control requests a second a plugin may make, where its policy says so.
    pub(crate) fn requests_per_second(&self, plugin: &str) -> Option<u32> {
        self.of(plugin)?.requests_per_second
    }
}

/// A name in which `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// What stands between the stars.
    parts: Vec<String>,
}

impl Pattern {
    fn new(text: &str) -> Pattern {
        let parts = text.split('*').map(str::to_owned).collect();
        Pattern { parts }
    }

    /// Whether it can match more than one name.
    fn is_open(&self) -> bool {
        self.parts.len() > 1
    }

    /// Whether it matches whatever begins with what it matches.
    fn is_open_ended(&self) -> bool {
        self.is_open() && self.parts.last().is_some_and(String::is_empty)
    }

    /// Whether it matches a name, or a prefix and all names under it.
    fn covers(&self, name: &str) -> bool {
        self.matches(name) && (!is_prefix(name) || self.is_open_ended())
    }

    /// Each part is looked for once, from where the one before ended: taking the first place is
    /// enough, because a star takes whatever is left.
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
