//! Who provides which gate, who has which gate open, and how the one stands to the other.
//!
//! A gate exists while at least one of its two halves is provided; all its halves have one owner.
//! An open gate exists from `Open` to `Close`, whether the gate does or not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use callgate_layout::control::{Availability, GateState, Shape, check_gate_name};
use callgate_layout::envelope::CallKind;

use crate::id::PluginId;
use crate::lines::{InLine, Offer};
use crate::lives::Lives;
use crate::quota::{Charge, Quota};
use crate::refused::Refused;
use crate::shape::{Prints, Provided, check, check_provided, compare};

/// A gate that is provided.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) owner: PluginId,
    /// Which of its lives this is: counts the gates of the bus in the order in which they began to be
    /// provided.
    pub(crate) generation: u64,
    /// Where its owner counts its calls, as it says.
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

/// A gate that a plugin has open.
#[derive(Debug)]
struct Open {
    gate: Arc<str>,
    function: Shape,
    action: Shape,
    /// What the plugin was told last.
    told: Option<GateState>,
    /// Its link failed; no other is made before the gate changes or is opened again.
    blocked: bool,
    /// Its plugin waits for `Synced`.
    asked: bool,
    _charge: Charge,
}

/// How an open gate stands now, as far as the registry knows.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) gate: Arc<str>,
    pub(crate) owner: Option<PluginId>,
    /// Which life of the gate this is; 0 while nobody provides it.
    pub(crate) generation: u64,
    pub(crate) function: Availability,
    pub(crate) action: Availability,
    /// The fingerprints of what is provided now: function, action.
    pub(crate) prints: Prints,
    pub(crate) blocked: bool,
}

impl Standing {
    /// Whether a call could be made if there were a link.
    pub(crate) fn is_ready(&self) -> bool {
        [&self.function, &self.action].into_iter().any(|half| {
            matches!(
                half,
                Availability::Ready { .. } | Availability::Differs { json: true, .. }
            )
        })
    }
}

/// All gates and all opens of a bus.
#[derive(Debug)]
pub(crate) struct Registry {
    gates: BTreeMap<Arc<str>, Gate>,
    lives: Lives,
    opens: HashMap<PluginId, BTreeMap<u32, Open>>,
    watchers: HashMap<Arc<str>, BTreeSet<(PluginId, u32)>>,
}

impl Registry {
    /// Without gates; the lives of those to come begin with this one.
    pub(crate) fn new(first_life: u64) -> Registry {
        Registry {
            gates: BTreeMap::new(),
            lives: Lives::new(first_life),
            opens: HashMap::new(),
            watchers: HashMap::new(),
        }
    }

    /// Adds a half to a gate, and the gate if it is new; gives back which life of the gate this is. `had`
    /// is the life that the plugin says it was.
    pub(crate) fn provide(
        &mut self,
        plugin: PluginId,
        name: &str,
        (offer, had): (&Offer, Option<u64>),
        quota: &Quota,
    ) -> Result<u64, Refused> {
        check_gate_name(name).map_err(Refused::Invalid)?;
        check_provided(&offer.provided).map_err(Refused::Invalid)?;
        if let Some(gate) = self.gates.get_mut(name) {
            if gate.owner != plugin {
                return Err(Refused::Owned(gate.owner));
            }
            if gate.kind(offer.kind).is_some() {
                return Err(Refused::Twice);
            }
        } else {
            let charge = quota.charge().ok_or(Refused::TooManyGates(quota.limit()))?;
            self.begin(plugin, name, had, charge);
        }
        Ok(self.add(name, offer))
    }

    /// Gives a gate that nobody provides any more to a plugin that was in line for it; gives back
    /// which life of the gate this is.
    pub(crate) fn hand_on(&mut self, name: &str, next: InLine) -> u64 {
        self.begin(next.plugin, name, None, next.charge);
        let added = next.offers.iter().map(|(_, offer)| self.add(name, offer));
        added.last().unwrap_or(0)
    }

    /// Begins a life of a gate, of which no half is provided yet.
    fn begin(&mut self, owner: PluginId, name: &str, had: Option<u64>, charge: Charge) {
        let gate = Gate {
            owner,
            generation: self.lives.begin(name, had),
            record: None,
            function: None,
            action: None,
            _charge: charge,
        };
        self.gates.insert(name.into(), gate);
    }

    /// Adds a half that its gate has not got.
    fn add(&mut self, name: &str, offer: &Offer) -> u64 {
        for (plugin, number) in self.watchers(name) {
            self.unblock(plugin, number);
        }
        let Some(gate) = self.gates.get_mut(name) else {
            return 0;
        };
        *gate.kind(offer.kind) = Some(offer.provided.clone());
        gate.record = offer.record;
        gate.generation
    }

    /// Takes a half from a gate, and the gate away with its last; says whether it did that.
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

    /// Notes that a plugin wants to call a gate.
    pub(crate) fn open(
        &mut self,
        plugin: PluginId,
        number: u32,
        name: &str,
        [function, action]: [Shape; 2],
        quota: &Quota,
    ) -> Result<(), Refused> {
        check_gate_name(name).map_err(Refused::Invalid)?;
        check(&function).map_err(Refused::Invalid)?;
        check(&action).map_err(Refused::Invalid)?;
        let opens = self.opens.entry(plugin).or_default();
        if opens.contains_key(&number) {
            return Err(Refused::NumberInUse);
        }
        let charge = quota.charge().ok_or(Refused::TooManyOpens(quota.limit()))?;
        let gate: Arc<str> = match self.watchers.get_key_value(name) {
            Some((known, _)) => known.clone(),
            None => name.into(),
        };
        let watchers = self.watchers.entry(gate.clone()).or_default();
        watchers.insert((plugin, number));
        let open = Open {
            gate,
            function,
            action,
            told: None,
            blocked: false,
            asked: false,
            _charge: charge,
        };
        opens.insert(number, open);
        Ok(())
    }

    /// Forgets an open gate; a number that is not known is left alone, because a refusal may
    /// have crossed the request.
    pub(crate) fn close(&mut self, plugin: PluginId, number: u32) {
        let Some(opens) = self.opens.get_mut(&plugin) else {
            return;
        };
        let Some(open) = opens.remove(&number) else {
            return;
        };
        if opens.is_empty() {
            self.opens.remove(&plugin);
        }
        self.unwatch(&open.gate, plugin, number);
    }

    /// Forgets all of a plugin; gives back the gates that went with it.
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

    /// The name of a gate, if a plugin provides it.
    pub(crate) fn provided(&self, owner: PluginId, name: &str) -> Option<Arc<str>> {
        let (name, gate) = self.gates.get_key_value(name)?;
        (gate.owner == owner).then(|| name.clone())
    }

    fn forget_gate(&mut self, name: &str) {
        if let Some((name, _)) = self.gates.remove_entry(name) {
            self.lives.end(&name);
        }
    }

    /// The gates of a plugin.
    pub(crate) fn owned_by(&self, plugin: PluginId) -> Vec<Arc<str>> {
        let owned = self.gates.iter().filter(|(_, gate)| gate.owner == plugin);
        owned.map(|(name, _)| name.clone()).collect()
    }

    /// The numbers of the gates that a plugin has open.
    pub(crate) fn opens_of(&self, plugin: PluginId) -> Vec<u32> {
        let opens = self.opens.get(&plugin).into_iter().flatten();
        opens.map(|(number, _)| *number).collect()
    }

    fn unwatch(&mut self, gate: &Arc<str>, plugin: PluginId, number: u32) {
        if let Some(watchers) = self.watchers.get_mut(gate) {
            watchers.remove(&(plugin, number));
            if watchers.is_empty() {
                self.watchers.remove(gate);
            }
        }
    }

    /// How an open gate stands; `None` if it is not open.
    pub(crate) fn standing(&self, plugin: PluginId, number: u32) -> Option<Standing> {
        let open = self.opens.get(&plugin)?.get(&number)?;
        let gate = self.gates.get(&open.gate);
        let function = gate.and_then(|gate| gate.function.as_ref());
        let action = gate.and_then(|gate| gate.action.as_ref());
        let print = |provided: &Provided| provided.head.fingerprint.0;
        Some(Standing {
            gate: open.gate.clone(),
            owner: gate.map(|gate| gate.owner),
            generation: gate.map_or(0, |gate| gate.generation),
            function: compare(function, &open.function),
            action: compare(action, &open.action),
            prints: [function.map(print), action.map(print)],
            blocked: open.blocked,
        })
    }

    /// Notes what a plugin is told of an open gate; `false` if that is nothing new to it.
    pub(crate) fn tell(&mut self, plugin: PluginId, number: u32, state: &GateState) -> bool {
        let Some(open) = self.open_mut(plugin, number) else {
            return false;
        };
        let news = open.told.as_ref() != Some(state);
        open.told = Some(state.clone());
        news
    }

    /// Makes no link for this open gate until its gate is provided anew.
    pub(crate) fn block(&mut self, plugin: PluginId, number: u32) {
        if let Some(open) = self.open_mut(plugin, number) {
            open.blocked = true;
            open.told = None;
        }
    }

    /// There is reason to try again.
    pub(crate) fn unblock(&mut self, plugin: PluginId, number: u32) {
        if let Some(open) = self.open_mut(plugin, number) {
            open.blocked = false;
        }
    }

    /// Notes that a plugin waits to be told how an open gate stands: whether it did not so before;
    /// `None` if the gate is not open.
    pub(crate) fn ask(&mut self, plugin: PluginId, number: u32) -> Option<bool> {
        let open = self.open_mut(plugin, number)?;
        Some(!std::mem::replace(&mut open.asked, true))
    }

    /// Notes that it was told; whether it waited.
    pub(crate) fn answer(&mut self, plugin: PluginId, number: u32) -> bool {
        let open = self.open_mut(plugin, number);
        open.is_some_and(|open| std::mem::take(&mut open.asked))
    }

    fn open_mut(&mut self, plugin: PluginId, number: u32) -> Option<&mut Open> {
        self.opens.get_mut(&plugin)?.get_mut(&number)
    }

    /// Everyone who has a gate open, with their numbers for it.
    pub(crate) fn watchers(&self, name: &str) -> Vec<(PluginId, u32)> {
        let watchers = self.watchers.get(name);
        watchers.into_iter().flatten().copied().collect()
    }

    /// All open gates that nobody provides.
    pub(crate) fn absent_opens(&self) -> Vec<(PluginId, u32, Arc<str>)> {
        let absent = self
            .watchers
            .iter()
            .filter(|(gate, _)| !self.gates.contains_key(*gate));
        let opens = absent.flat_map(|(gate, watchers)| {
            let open = |(plugin, number): &(PluginId, u32)| (*plugin, *number, gate.clone());
            watchers.iter().map(open)
        });
        opens.collect()
    }

    /// A plugin's numbers for those of its open gates that somebody else owns now.
    pub(crate) fn opens_between(&self, plugin: PluginId, owner: PluginId) -> Vec<u32> {
        let opens = self.opens.get(&plugin).into_iter().flatten();
        let owned = opens.filter(|(_, open)| {
            let gate = self.gates.get(&open.gate);
            gate.is_some_and(|gate| gate.owner == owner)
        });
        owned.map(|(number, _)| *number).collect()
    }

    /// All gates by name, each with the number of plugins that have it open.
    pub(crate) fn gates(&self) -> impl Iterator<Item = (&str, &Gate, usize)> {
        self.gates.iter().map(|(name, gate)| {
            let watchers = self.watchers.get(name).into_iter().flatten();
            let plugins: BTreeSet<PluginId> = watchers.map(|(plugin, _)| *plugin).collect();
            (&**name, gate, plugins.len())
        })
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
