//! Plugins that came back with a source whose topic is another plugin's by now, in line for it.
//!
//! A place in line is charged like a source, and turns into one. Who has stood in line longest is next, over the
//! lines for gates ([`lines`](crate::lines)) as well: what a plugin is given may be in the way of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Wanted;
use crate::id::PluginId;
use crate::names::{is_prefix, under};
use crate::quota::Charge;

/// A plugin in line for a topic.
#[derive(Debug)]
pub(crate) struct InLine {
    pub(crate) plugin: PluginId,
    pub(crate) wanted: Wanted,
    pub(crate) charge: Charge,
}

/// All lines, by topics, and in each by the time at which its places were taken. None is empty.
#[derive(Debug, Default)]
pub(crate) struct SourceLines {
    lines: BTreeMap<Arc<str>, BTreeMap<u64, InLine>>,
}

impl SourceLines {
    /// Puts a plugin in line, since this moment.
    pub(crate) fn join(&mut self, topic: &str, since: u64, place: InLine) {
        let line = self.lines.entry(topic.into()).or_default();
        line.insert(since, place);
    }

    /// Whether a plugin is in line for a topic.
    pub(crate) fn has(&self, plugin: PluginId, topic: &str) -> bool {
        self.place(plugin, topic).is_some()
    }

    /// Takes a plugin out of the line for a topic.
    pub(crate) fn leave(&mut self, plugin: PluginId, topic: &str) -> Option<InLine> {
        let since = self.place(plugin, topic)?;
        self.take(topic, since)
    }

    /// Takes out a place.
    pub(crate) fn take(&mut self, topic: &str, since: u64) -> Option<InLine> {
        let line = self.lines.get_mut(topic)?;
        let place = line.remove(&since);
        if line.is_empty() {
            self.lines.remove(topic);
        }
        place
    }

    /// Who may be next when a gate, a prefix or a topic is free: since when, for what, and who.
    pub(crate) fn about(&self, gone: &str) -> Vec<(u64, Arc<str>, PluginId)> {
        let exact = self.lines.get_key_value(gone).into_iter();
        let below = under(&self.lines, gone).take_while(|_| is_prefix(gone));
        exact.chain(below).flat_map(places).collect()
    }

    /// Everybody in line, likewise.
    pub(crate) fn all(&self) -> Vec<(u64, Arc<str>, PluginId)> {
        self.lines.iter().flat_map(places).collect()
    }

    /// Forgets a plugin that is gone.
    pub(crate) fn forget(&mut self, plugin: PluginId) {
        for line in self.lines.values_mut() {
            line.retain(|_, place| place.plugin != plugin);
        }
        self.lines.retain(|_, line| !line.is_empty());
    }

    fn place(&self, plugin: PluginId, topic: &str) -> Option<u64> {
        let mut places = self.lines.get(topic)?.iter();
        let own = places.find(|(_, place)| place.plugin == plugin);
        own.map(|(since, _)| *since)
    }
}

fn places<'l>(
    (topic, line): (&'l Arc<str>, &'l BTreeMap<u64, InLine>),
) -> impl Iterator<Item = (u64, Arc<str>, PluginId)> + use<'l> {
    let places = line.iter();
    places.map(|(since, place)| (*since, topic.clone(), place.plugin))
}
