//! Lines for gates: plugins that wait for gates which other plugins provide.
//!
//! Only plugins that come back stand in line ([`GateToPlugin::Lost`](callgate_layout::control::GateToPlugin)): they had the gate, and
//! another plugin was quicker. There is a line only while the gate is provided: when its provider withdraws it, the next plugin in line
//! gets it before any other can ask for it.
//!
//! A plugin that comes back with a prefix also waits while another one has a gate under it; and with a gate, while another one has a prefix
//! over it. There is a line for each name and for each prefix. If two plugins wait for names that cannot be provided side by side, the one
//! that came first is first.
//!
//! A place in line is charged like a gate that is provided, and becomes one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use callgate_layout::envelope::CallKind;

use crate::id::PluginId;
use crate::names::{is_prefix, prefixes, under};
use crate::quota::{Charge, Quota};
use crate::refused::Refused;
use crate::shape::Provided;

/// One half of a gate that a plugin offers.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) kind: CallKind,
    pub(crate) provided: Provided,
    /// The record of the plugin's status page in which it counts the gate's calls, as it says.
    pub(crate) record: Option<u16>,
}

/// A plugin in line for a gate.
#[derive(Debug)]
pub(crate) struct InLine {
    pub(crate) plugin: PluginId,
    /// The halves that it offers, each with the number of its request.
    pub(crate) offers: Vec<(u32, Offer)>,
    pub(crate) charge: Charge,
    /// A plugin with a smaller number has stood in line longer, in whichever line.
    since: u64,
}

/// A place in a line.
#[derive(Debug)]
pub(crate) struct Place {
    /// The name that the line is for.
    pub(crate) name: Arc<str>,
    pub(crate) plugin: PluginId,
    pub(crate) since: u64,
}

/// All lines, by name. No line is empty.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: BTreeMap<Arc<str>, VecDeque<InLine>>,
    came: u64,
}

impl Lines {
    /// Puts a plugin that does not provide this gate at the end of its line; or adds the other half to the place that it has there.
    pub(crate) fn join(
        &mut self,
        plugin: PluginId,
        gate: &str,
        (request, offer): (u32, Offer),
        quota: &Quota,
    ) -> Result<(), Refused> {
        if let Some(place) = self.place(plugin, gate) {
            if place
                .offers
                .iter()
                .any(|(_, other)| other.kind == offer.kind)
            {
                return Err(Refused::Waits);
            }
            place.offers.push((request, offer));
            return Ok(());
        }
        let charge = quota.charge().ok_or(Refused::TooManyGates(quota.limit()))?;
        let place = InLine {
            plugin,
            offers: vec![(request, offer)],
            charge,
            since: self.draw(),
        };
        match self.lines.get_mut(gate) {
            Some(line) => line.push_back(place),
            None => {
                self.lines.insert(gate.into(), VecDeque::from([place]));
            }
        }
        Ok(())
    }

    /// Returns a number that is larger than those of all plugins in line.
    pub(crate) fn draw(&mut self) -> u64 {
        self.came += 1;
        self.came - 1
    }

    /// Removes a half from a plugin's place, and the place with its last half. Returns whether the half was there.
    pub(crate) fn leave(&mut self, plugin: PluginId, gate: &str, kind: CallKind) -> bool {
        let Some(place) = self.place(plugin, gate) else {
            return false;
        };
        let before = place.offers.len();
        place.offers.retain(|(_, offer)| offer.kind != kind);
        let (now, is_empty) = (place.offers.len(), place.offers.is_empty());
        if is_empty {
            self.take(plugin, gate);
        }
        now < before
    }

    /// Removes a plugin from the line for a gate, and returns its place.
    pub(crate) fn take(&mut self, plugin: PluginId, gate: &str) -> Option<InLine> {
        let line = self.lines.get_mut(gate)?;
        let at = line.iter().position(|place| place.plugin == plugin)?;
        let taken = line.remove(at);
        if line.is_empty() {
            self.lines.remove(gate);
        }
        taken
    }

    /// The places whose names could not be provided beside this gate or prefix of another plugin: those for the same name, for prefixes
    /// over it, and for names under it.
    pub(crate) fn about(&self, gone: &str) -> Vec<Place> {
        let same_or_over = std::iter::once(gone).chain(prefixes(gone));
        let same_or_over = same_or_over.filter_map(|name| self.lines.get_key_value(name));
        let below = under(&self.lines, gone).take_while(move |_| is_prefix(gone));
        let places = same_or_over.chain(below).flat_map(|(name, line)| {
            line.iter().map(|place| Place {
                name: name.clone(),
                plugin: place.plugin,
                since: place.since,
            })
        });
        places.collect()
    }

    /// All plugins in line, each with the gate.
    pub(crate) fn all(&self) -> Vec<(PluginId, Arc<str>)> {
        let lines = self.lines.iter();
        let all = lines.flat_map(|(gate, line)| {
            let places = line.iter();
            places.map(|place| (place.plugin, gate.clone()))
        });
        all.collect()
    }

    /// Removes a plugin that has ended from all lines.
    pub(crate) fn forget(&mut self, plugin: PluginId) {
        for line in self.lines.values_mut() {
            line.retain(|place| place.plugin != plugin);
        }
        self.lines.retain(|_, line| !line.is_empty());
    }

    fn place(&mut self, plugin: PluginId, gate: &str) -> Option<&mut InLine> {
        let line = self.lines.get_mut(gate)?;
        line.iter_mut().find(|place| place.plugin == plugin)
    }
}
