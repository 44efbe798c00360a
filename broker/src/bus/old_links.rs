//! Links of an older broker, over which plugins of this one still take calls. The broker knows of them only what the plugins say.
//!
//! The broker judges by names which gates may be called over such a link ([`Policies::between`]): when a plugin tells of the link, and
//! whenever a policy changes. It has the provider refuse the others. What was refused over an old link stays refused; a right that comes
//! back is granted over the links that this broker makes.
//!
//! ```text
//! what is known of a plugin     until
//! nothing                       `Standing`: it drains
//! it drains                     `Drained`, or the end of its session
//! it has drained                the end of its session; one more `Standing` breaks the protocol
//! ```
//!
//! [`Policies::between`]: crate::policy::Policies::between

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, LinkToPlugin, check_gate_name, check_plugin_name};

use super::revoked::Over;
use super::{Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::link::Cause;

/// How many gates a plugin may name that can be called over its old links. A link without gates counts as one.
pub(super) const MOST: usize = 65_536;

/// What one plugin has said of its old links.
#[derive(Debug, Default)]
pub(super) struct OldLinks {
    /// By the numbers that the plugin gave them.
    links: BTreeMap<u32, OldLink>,
    /// `Refuse`s that the plugin has not acknowledged, by the number of the link, in order. Those that a change of policy waits for have a
    /// number of the broker's.
    owed: HashMap<u32, VecDeque<Option<u64>>>,
    /// How many gates the plugin has named in all.
    named: usize,
    has_drained: bool,
}

#[derive(Debug)]
struct OldLink {
    peer: String,
    /// The gates that can be called; `None` in the place of one that the plugin was told to refuse.
    gates: Vec<Option<Box<str>>>,
}

impl OldLinks {
    pub(super) fn is_draining(&self) -> bool {
        self.named > 0 && !self.has_drained
    }

    /// Adds a link that the plugin has named.
    fn add(&mut self, number: u32, peer: String, gates: Vec<String>) -> Result<(), Failure> {
        if self.has_drained {
            return Err(protocol("it named an old link after it had drained"));
        }
        if self.links.contains_key(&number) {
            return Err(protocol("it named two old links by one number"));
        }
        let checked = gates.iter().try_for_each(|gate| check_gate_name(gate));
        if let Err(why) = check_plugin_name(&peer).and(checked) {
            return Err(protocol(&format!("of an old link, {why}")));
        }
        self.named += gates.len().max(1);
        if self.named > MOST {
            let message = format!("it named more than {MOST} gates of old links");
            return Err(Failure::new(Code::Overloaded, message));
        }
        let gates = gates.into_iter().map(|gate| Some(gate.into()));
        let gates = gates.collect();
        self.links.insert(number, OldLink { peer, gates });
        Ok(())
    }
}

impl OldLink {
    /// Marks the gates that may not be called any more as refused, and returns their positions.
    fn refuse(&mut self, may_be_called: impl Fn(&str) -> bool) -> Vec<u16> {
        let mut refused = Vec::new();
        for (at, gate) in (0u16..).zip(&mut self.gates) {
            if gate.take_if(|gate| !may_be_called(gate)).is_some() {
                refused.push(at);
            }
        }
        refused
    }
}

impl Bus {
    /// A plugin says which of its gates a peer may still call over an old link.
    pub(super) fn stands(
        &mut self,
        from: PluginId,
        number: u32,
        peer: String,
        gates: Vec<String>,
        now: Instant,
    ) -> Result<Weight, Failure> {
        if let Some(member) = self.members.get_mut(&from) {
            member.old_links.add(number, peer, gates)?;
        }
        let refused = self.judge(from, number);
        self.refuse(from, number, refused, now);
        Ok(Weight::Expected)
    }

    /// After a change of policy: has all plugins refuse what may not be called any more over old links.
    pub(super) fn refuse_forbidden(&mut self, now: Instant) {
        let members = self.members.iter();
        let links = members.flat_map(|(plugin, member)| {
            let numbers = member.old_links.links.keys();
            numbers.map(|number| (*plugin, *number))
        });
        let links: Vec<(PluginId, u32)> = links.collect();
        for (plugin, number) in links {
            let refused = self.judge(plugin, number);
            if !refused.is_empty() {
                self.refuse(plugin, number, refused, now);
            }
        }
    }

    /// Returns the positions of the gates of an old link that are to be refused and were not before.
    fn judge(&mut self, plugin: PluginId, number: u32) -> Vec<u16> {
        let takes_part = self.check_takes_part(plugin).is_ok();
        let Some(member) = self.members.get_mut(&plugin) else {
            return Vec::new();
        };
        let Some(link) = member.old_links.links.get_mut(&number) else {
            return Vec::new();
        };
        let policies = &self.policies;
        let is_granted = policies.between(&link.peer, &member.identity.name);
        link.refuse(|gate| takes_part && is_granted(gate, gate))
    }

    /// Tells a plugin what to refuse over an old link, which it acknowledges. Where that is nothing, no change of policy waits for it.
    fn refuse(&mut self, to: PluginId, number: u32, gates: Vec<u16>, now: Instant) {
        let is_something = !gates.is_empty();
        let awaited = is_something
            .then(|| self.await_refusal(to, Over::OldLink, (Cause::Policy, Vec::new()), now));
        if let Some(member) = self.members.get_mut(&to) {
            let owed = member.old_links.owed.entry(number).or_default();
            owed.push_back(awaited);
        }
        let record = LinkToPlugin::Refuse { number, gates };
        self.ask(to, Effect::Send(to, record.into()));
    }

    /// A plugin acknowledges a `Refuse` over an old link.
    pub(super) fn refused(&mut self, from: PluginId, number: u32) -> Result<Weight, Failure> {
        let member = self.members.get_mut(&from);
        let owed = member.and_then(|member| {
            let owed = member.old_links.owed.get_mut(&number)?;
            let first = owed.pop_front();
            if owed.is_empty() {
                member.old_links.owed.remove(&number);
            }
            first
        });
        let Some(awaited) = owed else {
            return Err(protocol("it refuses what nobody told it to refuse"));
        };
        if let Some(awaited) = awaited {
            self.refuses(awaited);
        }
        self.acknowledged(from)
    }

    /// A plugin takes no more calls over old links. Its missing acknowledgements will still come, but nobody waits for them.
    pub(super) fn drained(&mut self, from: PluginId) -> Weight {
        let Some(member) = self.members.get_mut(&from) else {
            return Weight::Charged;
        };
        let old_links = &mut member.old_links;
        let had_drained = std::mem::replace(&mut old_links.has_drained, true);
        old_links.links.clear();
        let owed = old_links.owed.values_mut().flatten();
        let awaited: Vec<u64> = owed.filter_map(Option::take).collect();
        for number in awaited {
            self.refuses(number);
        }
        match had_drained {
            false => Weight::Expected,
            true => Weight::Charged,
        }
    }
}
