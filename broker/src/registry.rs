//! Which plugin provides which gate, which plugins have which gates open, and whether these can be called.
//!
//! A gate exists while at least one of its two halves is provided; all halves of a gate have one owner. A prefix is provided like a gate,
//! and provides each name under it that has neither a gate nor a longer prefix. All names under a prefix belong to its owner. An open gate
//! exists from `Open` to `Close`, whether the gate is provided or not.

mod opens;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use callgate_layout::envelope::CallKind;

use crate::id::PluginId;
use crate::lines::{InLine, Offer};
use crate::lives::Lives;
use crate::names::{check_provided_name, is_prefix, over, prefixes, resolve, under, under_mut};
use crate::quota::{Charge, Quota};
use crate::refused::Refused;
use crate::shape::{Provided, check_provided};
use opens::{Open, Watched};

pub(crate) use opens::Standing;

/// A gate or a prefix that is provided.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) owner: PluginId,
    /// The number of its life: lives are counted in the order in which gates of this bus began to be provided.
    pub(crate) generation: u64,
    /// The record of its owner's status page in which its calls are counted, as the owner says.
    pub(crate) record: Option<u16>,
    pub(crate) function: Option<Provided>,
    pub(crate) action: Option<Provided>,
    _charge: Charge,
}

impl Gate {
    fn kind(&mut self, kind: CallKind) -> &mut Option<Provided> {
        match kind {
            CallKind::Function => &mut self.function,
            CallKind::Action => &mut self.action,
        }
    }
}

/// A gate or prefix as a listing shows it.
#[derive(Debug)]
pub(crate) struct Shown<'r> {
    pub(crate) name: &'r str,
    pub(crate) gate: &'r Gate,
    /// The plugins that have the gate open, or a name that this prefix provides.
    pub(crate) users: BTreeSet<PluginId>,
    /// How many of these opens make their calls as JSON.
    pub(crate) json: usize,
}

/// All gates and all opens of a bus.
#[derive(Debug)]
pub(crate) struct Registry {
    /// By name; names of prefixes end in `.`.
    gates: BTreeMap<Arc<str>, Gate>,
    lives: Lives,
    opens: HashMap<PluginId, BTreeMap<u32, Open>>,
    watched: BTreeMap<Arc<str>, Watched>,
}

impl Registry {
    /// Returns the state without gates; the numbers of lives begin with `first_life`.
    pub(crate) fn new(first_life: u64) -> Registry {
        Registry {
            gates: BTreeMap::new(),
            lives: Lives::new(first_life),
            opens: HashMap::new(),
            watched: BTreeMap::new(),
        }
    }

    /// Adds a half to a gate or a prefix, which is created if it is not provided yet. Returns the life that it is in. `had` is the life
    /// that the plugin says it had.
    pub(crate) fn provide(
        &mut self,
        plugin: PluginId,
        name: &str,
        (offer, had): (&Offer, Option<u64>),
        quota: &Quota,
    ) -> Result<u64, Refused> {
        check_provided_name(name).map_err(Refused::Invalid)?;
        check_provided(&offer.provided).map_err(Refused::Invalid)?;
        if let Some((owner, what)) = self.in_the_way(plugin, name) {
            return Err(Refused::Owned(owner, what));
        }
        if let Some(gate) = self.gates.get_mut(name) {
            if gate.kind(offer.kind).is_some() {
                return Err(Refused::Twice);
            }
        } else {
            let charge = quota.charge().ok_or(Refused::TooManyGates(quota.limit()))?;
            self.begin(plugin, name, had, charge);
        }
        Ok(self.add(name, offer))
    }

    /// What another plugin provides that keeps this one from providing a gate or a prefix: the same name, a prefix over it, or a name under
    /// it.
    pub(crate) fn in_the_way(&self, plugin: PluginId, name: &str) -> Option<(PluginId, Arc<str>)> {
        let same_or_over = std::iter::once(name).chain(prefixes(name));
        let same_or_over = same_or_over.filter_map(|name| self.gates.get_key_value(name));
        let below = under(&self.gates, name).take_while(|_| is_prefix(name));
        let mut others = same_or_over.chain(below);
        let other = others.find(|(_, gate)| gate.owner != plugin);
        other.map(|(name, gate)| (gate.owner, name.clone()))
    }

    /// The plugin that provides a gate of exactly this name.
    pub(crate) fn gate_of(&self, name: &str) -> Option<(PluginId, Arc<str>)> {
        let (name, gate) = self.gates.get_key_value(name)?;
        Some((gate.owner, name.clone()))
    }

    /// Gives a gate that is no longer provided to a plugin that was in line for it. Returns the life that begins.
    pub(crate) fn hand_on(&mut self, name: &str, next: InLine) -> u64 {
        self.begin(next.plugin, name, None, next.charge);
        let added = next.offers.iter().map(|(_, offer)| self.add(name, offer));
        added.last().unwrap_or(0)
    }

    /// Begins a life of a gate, whose halves are added afterwards.
    fn begin(&mut self, owner: PluginId, name: &str, had: Option<u64>, charge: Charge) {
        let gate = Gate {
            owner,
            generation: self.lives.begin(name, had),
            record: None,
            function: None,
            action: None,
            _charge: charge,
        };
        let name: Arc<str> = name.into();
        self.gates.insert(name.clone(), gate);
        if !is_prefix(&name) {
            if let Some(watched) = self.watched.get_mut(&name) {
                watched.by = Some(name);
            }
            return;
        }
        for (_, watched) in under_mut(&mut self.watched, &name) {
            let by = watched.by.as_ref();
            if by.is_none_or(|by| by.len() < name.len()) {
                watched.by = Some(name.clone());
            }
        }
    }

    /// Adds a half that the gate does not have.
    fn add(&mut self, name: &str, offer: &Offer) -> u64 {
        for (plugin, number) in self.provides(name) {
            self.renew(plugin, number);
        }
        let Some(gate) = self.gates.get_mut(name) else {
            return 0;
        };
        *gate.kind(offer.kind) = Some(offer.provided.clone());
        gate.record = offer.record;
        gate.generation
    }

    /// The opens of all names that this gate or prefix provides.
    fn provides(&self, by: &str) -> Vec<(PluginId, u32)> {
        let exact = self.watched.get(by).into_iter();
        let below = under(&self.watched, by).take_while(|_| is_prefix(by));
        let all = exact.chain(below.map(|(_, watched)| watched));
        let its = all.filter(|watched| watched.by.as_deref() == Some(by));
        its.flat_map(|watched| watched.opens.iter().copied())
            .collect()
    }

    /// Removes a half of a gate, and the gate with its last half. Returns whether the gate is gone.
    pub(crate) fn withdraw(
        &mut self,
        plugin: PluginId,
        name: &str,
        kind: CallKind,
    ) -> Result<bool, Refused> {
        let gate = self.gates.get_mut(name).filter(|gate| gate.owner == plugin);
        let gate = gate.ok_or(Refused::NotProvided)?;
        gate.kind(kind).take().ok_or(Refused::NotProvided)?;
        let gone = gate.function.is_none() && gate.action.is_none();
        if gone {
            self.forget_gate(name);
        }
        Ok(gone)
    }

    /// Removes everything of a plugin that has ended. Returns the gates and prefixes that it provided.
    pub(crate) fn remove(&mut self, plugin: PluginId) -> Vec<Arc<str>> {
        for (number, open) in self.opens.remove(&plugin).unwrap_or_default() {
            self.unwatch(&open.gate, plugin, number);
        }
        let gone = self.owned_by(plugin);
        for name in &gone {
            self.forget_gate(name);
        }
        gone
    }

    fn forget_gate(&mut self, name: &str) {
        // Denials by this provider do not count for the prefix that provides these names next.
        for (plugin, number) in self.provides(name) {
            self.renew(plugin, number);
        }
        let Some((name, _)) = self.gates.remove_entry(name) else {
            return;
        };
        self.lives.end(&name);
        // The names that this prefix provided are now provided by the next prefix over it.
        let next = over(&self.gates, &name).cloned();
        if !is_prefix(&name) {
            if let Some(watched) = self.watched.get_mut(&name) {
                watched.by = next;
            }
            return;
        }
        for (_, watched) in under_mut(&mut self.watched, &name) {
            if watched.by.as_ref() == Some(&name) {
                watched.by = next.clone();
            }
        }
    }

    /// The name of a gate or prefix, as the registry keeps it, if this plugin provides it.
    pub(crate) fn provided(&self, owner: PluginId, name: &str) -> Option<Arc<str>> {
        let (name, gate) = self.gates.get_key_value(name)?;
        (gate.owner == owner).then(|| name.clone())
    }

    /// The gate or prefix by which a plugin provides a name: the gate of that name, or else the longest prefix over it.
    pub(crate) fn provided_by(&self, owner: PluginId, name: &str) -> Option<Arc<str>> {
        let by = resolve(&self.gates, name)?;
        self.provided(owner, by)
    }

    /// The gates and prefixes of a plugin.
    pub(crate) fn owned_by(&self, plugin: PluginId) -> Vec<Arc<str>> {
        let owned = self.gates.iter().filter(|(_, gate)| gate.owner == plugin);
        owned.map(|(name, _)| name.clone()).collect()
    }

    /// All gates and prefixes, in the order of their names.
    pub(crate) fn shown(&self) -> Vec<Shown<'_>> {
        let mut opens: HashMap<&str, (BTreeSet<PluginId>, usize)> = HashMap::new();
        for watched in self.watched.values() {
            let Some(by) = &watched.by else {
                continue;
            };
            let (plugins, json) = opens.entry(by).or_default();
            plugins.extend(watched.opens.iter().map(|(plugin, _)| *plugin));
            *json += self.count_json(&watched.opens);
        }
        let shown = self.gates.iter().map(|(name, gate)| {
            let opens = opens.get(&**name);
            Shown {
                name,
                gate,
                users: opens.map_or_else(BTreeSet::new, |(plugins, _)| plugins.clone()),
                json: opens.map_or(0, |(_, json)| *json),
            }
        });
        shown.collect()
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
#[cfg(test)]
mod tests_of_prefixes;
