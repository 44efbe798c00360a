//! Links of an older broker, over which plugins of this one still take calls, as they say themselves.
//!
//! The broker judges by names which gates may be called over them ([`Policies::between`]), when it is told
//! of a link and whenever a policy changes, and has the provider refuse the others. What is refused once
//! stays so: the right comes back over the links that this broker makes.
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

/// The most gates that a plugin may say may be called over its old links. A link without any counts as one.
pub(super) const MOST: usize = 65_536;

/// What one plugin says of its old links.
#[derive(Debug, Default)]
pub(super) struct OldLinks {
    /// By the plugin's numbers.
    links: BTreeMap<u32, OldLink>,
    /// `Refuse`s that it has not acknowledged, by the plugin's numbers and in order: those that somebody
    /// waits for have a number of the broker's, too.
    owed: HashMap<u32, VecDeque<Option<u64>>>,
    /// How many gates it has named.
    named: usize,
    has_drained: bool,
}

#[derive(Debug)]
struct OldLink {
    peer: String,
    /// `None` where it was told to refuse it.
    gates: Vec<Option<Box<str>>>,
}

impl OldLinks {
    pub(super) fn is_draining(&self) -> bool {
        self.named > 0 && !self.has_drained
    }

    /// Takes note of a link.
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
    /// The positions of the gates that may not be called and are not refused yet, which they are from
    /// now on.
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
    /// A plugin says who may call which of its gates over an old link.
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

    /// Has all plugins refuse over old links what may not be called any more.
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

    /// Which gates of an old link are to be refused that were not before.
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

    /// Tells a plugin what to refuse, which it acknowledges. Nobody needs to wait for that where it is
    /// nothing.
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

    /// A plugin refuses what it was told to refuse over an old link.
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

    /// A plugin takes no more calls over old links. What it has not acknowledged still comes.
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
