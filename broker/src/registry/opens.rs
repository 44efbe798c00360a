//! Open gates: which plugin has which gate open, by number and by name.

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
    /// The state that the plugin was told last.
    told: Option<GateState>,
    /// Set when the link to the provider has failed. No other link is made for this open before the gate changes or is opened again.
    blocked: bool,
    /// Set when the provider says that it has no gate of that name. It is not asked again before another gate or prefix provides the name,
    /// or the plugin opens it again.
    denied: bool,
    /// Whether the plugin waits for `Synced`.
    asked: bool,
    _charge: Charge,
}

/// A name that at least one plugin has open.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) opens: BTreeSet<(PluginId, u32)>,
    /// The gate or prefix that provides the name: the gate of that name, or else the longest prefix over it.
    pub(super) by: Option<Arc<str>>,
}

/// The state of an open gate, as far as the registry knows it.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) gate: Arc<str>,
    /// The gate or prefix that provides the name.
    pub(crate) by: Option<Arc<str>>,
    pub(crate) owner: Option<PluginId>,
    /// The life of that gate or prefix; 0 if nobody provides the name.
    pub(crate) generation: u64,
    pub(crate) function: Availability,
    pub(crate) action: Availability,
    /// The fingerprints that are provided now: of the function and of the action.
    pub(crate) prints: Prints,
    pub(crate) blocked: bool,
}

impl Standing {
    /// Whether a call could be made over a link.
    pub(crate) fn is_ready(&self) -> bool {
        [&self.function, &self.action].into_iter().any(|half| {
            matches!(
                half,
                Availability::Ready { .. } | Availability::Differs { json: true, .. }
            )
        })
    }
}

/// Whether calls of a half are made as JSON.
fn is_json(half: &Availability) -> bool {
    matches!(
        half,
        Availability::Ready {
            encoding: Encoding::Json
        } | Availability::Differs { json: true, .. }
    )
}

impl Registry {
    /// Adds an open gate of a plugin.
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

    /// Notes that a plugin has a name open, and what provides it. If the provider has denied the name to this plugin before, it will be
    /// asked again.
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
        // Either all opens of a name are denied to a plugin, or none.
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

    /// Whether the provider has denied a name to a plugin.
    fn is_denied(&self, plugin: PluginId, name: &str) -> bool {
        let first = self.first_of_name(plugin, name);
        let open = first.and_then(|number| self.opens.get(&plugin)?.get(&number));
        open.is_some_and(|open| open.denied)
    }

    /// Removes an open gate. An unknown number is ignored, because a refusal may have crossed the request. Returns the name if the plugin
    /// has no other open of it.
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

    /// The numbers of all opens that a plugin has of a name.
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

    /// The state of an open gate; `None` if it is not open.
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

    /// The gate or prefix that provides an open name, and its state.
    fn provider_of(&self, name: &str) -> Option<(&Arc<str>, &Gate)> {
        let by = self.watched.get(name)?.by.as_ref()?;
        Some((by, self.gates.get(by)?))
    }

    /// The schema of this number, if the provider of an open gate has it.
    pub(crate) fn schema_of(&self, standing: &Standing, number: u64) -> Option<&Schema> {
        let gate = self.gates.get(standing.by.as_ref()?)?;
        let halves = [&gate.function, &gate.action].into_iter().flatten();
        let mut schemas = halves.map(|half| &*half.held.schema);
        schemas.find(|schema| schema.number == number)
    }

    /// Notes the state that a plugin is told. Returns `false` if it was told the same before.
    pub(crate) fn tell(&mut self, plugin: PluginId, number: u32, state: &GateState) -> bool {
        let Some(open) = self.open_mut(plugin, number) else {
            return false;
        };
        let news = open.told.as_ref() != Some(state);
        open.told = Some(state.clone());
        news
    }

    /// Notes that the link for an open gate has failed: none is made for it until its gate is provided anew.
    pub(crate) fn block(&mut self, plugin: PluginId, number: u32) {
        if let Some(open) = self.open_mut(plugin, number) {
            open.blocked = true;
            open.told = None;
        }
    }

    /// Notes that a link may be made for an open gate again.
    pub(crate) fn unblock(&mut self, plugin: PluginId, number: u32) {
        if let Some(open) = self.open_mut(plugin, number) {
            open.blocked = false;
        }
    }

    /// Notes that the provider of a name denies it to a plugin. Returns the plugin's opens of that name.
    pub(crate) fn deny(&mut self, plugin: PluginId, name: &str) -> Vec<u32> {
        let opens = self.opens_of_name(plugin, name);
        for number in &opens {
            if let Some(open) = self.open_mut(plugin, *number) {
                open.denied = true;
            }
        }
        opens
    }

    /// A gate or prefix provides the name anew: forgets that it was denied, or its link had failed.
    pub(super) fn renew(&mut self, plugin: PluginId, number: u32) {
        if let Some(open) = self.open_mut(plugin, number) {
            open.blocked = false;
            open.denied = false;
        }
    }

    /// Notes that a plugin waits to be told the state of an open gate. Returns `false` if it waited already; `None` if the gate is not
    /// open.
    pub(crate) fn ask(&mut self, plugin: PluginId, number: u32) -> Option<bool> {
        let open = self.open_mut(plugin, number)?;
        Some(!std::mem::replace(&mut open.asked, true))
    }

    /// Notes that a plugin was told the state of an open gate. Returns whether it waited for that.
    pub(crate) fn answer(&mut self, plugin: PluginId, number: u32) -> bool {
        let open = self.open_mut(plugin, number);
        open.is_some_and(|open| std::mem::take(&mut open.asked))
    }

    fn open_mut(&mut self, plugin: PluginId, number: u32) -> Option<&mut Open> {
        self.opens.get_mut(&plugin)?.get_mut(&number)
    }

    /// All opens of a gate, or of the names under a prefix.
    pub(crate) fn watchers(&self, name: &str) -> Vec<(PluginId, u32)> {
        let exact = self.watched.get(name).into_iter();
        let below = under(&self.watched, name).filter(|_| is_prefix(name));
        let all = exact.chain(below.map(|(_, watched)| watched));
        all.flat_map(|watched| watched.opens.iter().copied())
            .collect()
    }

    /// All opens of gates that nobody provides.
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

    /// The opens of a plugin whose gates another plugin provides now.
    pub(crate) fn opens_between(&self, plugin: PluginId, owner: PluginId) -> Vec<u32> {
        let opens = self.opens.get(&plugin).into_iter().flatten();
        let owned = opens.filter(|(_, open)| {
            let provider = self.provider_of(&open.gate);
            provider.is_some_and(|(_, gate)| gate.owner == owner)
        });
        owned.map(|(number, _)| *number).collect()
    }

    /// How many of these opens were last told to make their calls as JSON.
    pub(super) fn count_json(&self, opens: &BTreeSet<(PluginId, u32)>) -> usize {
        let told = opens.iter().filter_map(|(plugin, number)| {
            let open = self.opens.get(plugin)?.get(number)?;
            open.told.as_ref()
        });
        told.filter(|state| is_json(&state.function) || is_json(&state.action))
            .count()
    }
}
