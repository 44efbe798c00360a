//! Gates that plugins have open, by number and by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use callgate_layout::Encoding;
use callgate_layout::control::{Availability, GateState, Shape, check_gate_name};

use super::{Gate, Registry};
use crate::id::PluginId;
use crate::names::{is_prefix, resolve, under};
use crate::quota::{Charge, Quota};
use crate::refused::Refused;
use crate::schemas::Schema;
use crate::shape::{Prints, Provided, check, compare};

/// A gate that a plugin has open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) gate: Arc<str>,
    function: Shape,
    action: Shape,
    /// What the plugin was told last.
    told: Option<GateState>,
    /// Its link failed; no other is made before the gate changes or is opened again.
    blocked: bool,
    /// Its provider says that it has no gate of that name; not asked again before what provides it changes, or the
    /// plugin opens it again.
    denied: bool,
    /// Its plugin waits for `Synced`.
    asked: bool,
    _charge: Charge,
}

/// A name that somebody has open.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) opens: BTreeSet<(PluginId, u32)>,
    /// What provides it: the gate of that name, or else the longest prefix.
    pub(super) by: Option<Arc<str>>,
}

/// How an open gate stands now, as far as the registry knows.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) gate: Arc<str>,
    /// What provides it: the gate, or a prefix.
    pub(crate) by: Option<Arc<str>>,
    pub(crate) owner: Option<PluginId>,
    /// Which life of the gate or the prefix this is; 0 while nobody provides it.
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

/// Whether calls of a half go as JSON.
fn is_json(half: &Availability) -> bool {
    matches!(
        half,
        Availability::Ready {
            encoding: Encoding::Json
        } | Availability::Differs { json: true, .. }
    )
}

impl Registry {
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
        let gate = self.watch(plugin, number, name);
        let open = Open {
            gate,
            function,
            action,
            told: None,
            blocked: false,
            denied: false,
            asked: false,
            _charge: charge,
        };
        self.opens.entry(plugin).or_default().insert(number, open);
        Ok(())
    }

    /// Notes who has a name open, and what provides it. What its provider has said to the same plugin before counts
    /// no more.
    fn watch(&mut self, plugin: PluginId, number: u32, name: &str) -> Arc<str> {
        let Some((known, _)) = self.watched.get_key_value(name) else {
            let gate: Arc<str> = name.into();
            let watched = Watched {
                opens: [(plugin, number)].into(),
                by: resolve(&self.gates, name).cloned(),
            };
            self.watched.insert(gate.clone(), watched);
            return gate;
        };
        let gate = known.clone();
        // All of them are, or none.
        if self.is_denied(plugin, &gate) {
            for open in self.opens_of_name(plugin, &gate) {
                if let Some(open) = self.open_mut(plugin, open) {
                    open.denied = false;
                }
            }
        }
        if let Some(watched) = self.watched.get_mut(&gate) {
            watched.opens.insert((plugin, number));
        }
        gate
    }

    /// Whether a plugin was told that there is no gate of a name that it has open.
    fn is_denied(&self, plugin: PluginId, name: &str) -> bool {
        let first = self.first_of_name(plugin, name);
        let open = first.and_then(|number| self.opens.get(&plugin)?.get(&number));
        open.is_some_and(|open| open.denied)
    }

    /// Forgets an open gate; a number that is not known is left alone, because a refusal may
    /// have crossed the request. Gives back the name if it was the last one that the plugin had of it.
    pub(crate) fn close(&mut self, plugin: PluginId, number: u32) -> Option<Arc<str>> {
        let opens = self.opens.get_mut(&plugin)?;
        let open = opens.remove(&number)?;
        if opens.is_empty() {
            self.opens.remove(&plugin);
        }
        self.unwatch(&open.gate, plugin, number);
        let is_last = self.first_of_name(plugin, &open.gate).is_none();
        is_last.then_some(open.gate)
    }

    pub(super) fn unwatch(&mut self, gate: &Arc<str>, plugin: PluginId, number: u32) {
        if let Some(watched) = self.watched.get_mut(gate) {
            watched.opens.remove(&(plugin, number));
            if watched.opens.is_empty() {
                self.watched.remove(gate);
            }
        }
    }

    /// The numbers of the gates that a plugin has open.
    pub(crate) fn opens_of(&self, plugin: PluginId) -> Vec<u32> {
        let opens = self.opens.get(&plugin).into_iter().flatten();
        opens.map(|(number, _)| *number).collect()
    }

    /// A plugin's numbers for a name that it has open.
    fn opens_of_name(&self, plugin: PluginId, name: &str) -> Vec<u32> {
        let Some(watched) = self.watched.get(name) else {
            return Vec::new();
        };
        let own = watched.opens.range((plugin, 0)..=(plugin, u32::MAX));
        own.map(|(_, number)| *number).collect()
    }

    fn first_of_name(&self, plugin: PluginId, name: &str) -> Option<u32> {
        let opens = &self.watched.get(name)?.opens;
        let mut own = opens.range((plugin, 0)..=(plugin, u32::MAX));
        own.next().map(|(_, number)| *number)
    }

    /// How an open gate stands; `None` if it is not open.
    pub(crate) fn standing(&self, plugin: PluginId, number: u32) -> Option<Standing> {
        let open = self.opens.get(&plugin)?.get(&number)?;
        let provided = self.provider_of(&open.gate).filter(|_| !open.denied);
        let gate = provided.map(|(_, gate)| gate);
        let function = gate.and_then(|gate| gate.function.as_ref());
        let action = gate.and_then(|gate| gate.action.as_ref());
        Some(Standing {
            gate: open.gate.clone(),
            by: provided.map(|(by, _)| by.clone()),
            owner: gate.map(|gate| gate.owner),
            generation: gate.map_or(0, |gate| gate.generation),
            function: compare(function, &open.function),
            action: compare(action, &open.action),
            prints: [function, action].map(|half| half.map(Provided::fingerprint)),
            blocked: open.blocked,
        })
    }

    /// What provides a name that somebody has open.
    fn provider_of(&self, name: &str) -> Option<(&Arc<str>, &Gate)> {
        let by = self.watched.get(name)?.by.as_ref()?;
        Some((by, self.gates.get(by)?))
    }

    /// The schema of a number that an open gate has.
    pub(crate) fn schema_of(&self, standing: &Standing, number: u64) -> Option<&Schema> {
        let gate = self.gates.get(standing.by.as_ref()?)?;
        let halves = [&gate.function, &gate.action].into_iter().flatten();
        let mut schemas = halves.map(|half| &*half.held.schema);
        schemas.find(|schema| schema.number == number)
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

    /// The provider of a name says to one plugin that it has no gate of this name; gives back what that has open of it.
    pub(crate) fn deny(&mut self, plugin: PluginId, name: &str) -> Vec<u32> {
        let opens = self.opens_of_name(plugin, name);
        for number in &opens {
            if let Some(open) = self.open_mut(plugin, *number) {
                open.denied = true;
            }
        }
        opens
    }

    /// Something provides it anew: what was said of that before counts no more.
    pub(super) fn renew(&mut self, plugin: PluginId, number: u32) {
        if let Some(open) = self.open_mut(plugin, number) {
            open.blocked = false;
            open.denied = false;
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

    /// Everyone who has a gate open, or one under a prefix, with their numbers for it.
    pub(crate) fn watchers(&self, name: &str) -> Vec<(PluginId, u32)> {
        let exact = self.watched.get(name).into_iter();
        let below = under(&self.watched, name).filter(|_| is_prefix(name));
        let all = exact.chain(below.map(|(_, watched)| watched));
        all.flat_map(|watched| watched.opens.iter().copied())
            .collect()
    }

    /// All open gates that nobody provides.
    pub(crate) fn absent_opens(&self) -> Vec<(PluginId, u32, Arc<str>)> {
        let absent = self
            .watched
            .iter()
            .filter(|(_, watched)| watched.by.is_none());
        let opens = absent.flat_map(|(gate, watched)| {
            let open = |(plugin, number): &(PluginId, u32)| (*plugin, *number, gate.clone());
            watched.opens.iter().map(open)
        });
        opens.collect()
    }

    /// A plugin's numbers for those of its open gates that somebody else owns now.
    pub(crate) fn opens_between(&self, plugin: PluginId, owner: PluginId) -> Vec<u32> {
        let opens = self.opens.get(&plugin).into_iter().flatten();
        let owned = opens.filter(|(_, open)| {
            let provider = self.provider_of(&open.gate);
            provider.is_some_and(|(_, gate)| gate.owner == owner)
        });
        owned.map(|(number, _)| *number).collect()
    }

    /// How many of some opens were told to make their calls as JSON.
    pub(super) fn count_json(&self, opens: &BTreeSet<(PluginId, u32)>) -> usize {
        let told = opens.iter().filter_map(|(plugin, number)| {
            let open = self.opens.get(plugin)?.get(number)?;
            open.told.as_ref()
        });
        told.filter(|state| is_json(&state.function) || is_json(&state.action))
            .count()
    }
}
