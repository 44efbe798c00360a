//! Lines for topics: plugins that came back with a source whose topic another plugin has by now.
//!
//! A place in line is charged like a source, and becomes one. The plugin that has stood in line longest is next. The order counts over the
//! lines for gates ([`lines`](crate::lines)) as well, because a topic that one plugin is given can be in the way of a gate that another
//! waits for.

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

/// All lines, by topic; the places of each by the time at which they were taken. No line is empty.
#[derive(Debug, Default)]
pub(crate) struct SourceLines {
    lines: BTreeMap<Arc<str>, BTreeMap<u64, InLine>>,
}

impl SourceLines {
    /// Puts a plugin in line, with this number as its time.
    pub(crate) fn join(&mut self, topic: &str, since: u64, place: InLine) {
        let line = self.lines.entry(topic.into()).or_default();
        line.insert(since, place);
    }

    /// Whether a plugin is in line for a topic.
    pub(crate) fn has(&self, plugin: PluginId, topic: &str) -> bool {
        self.place(plugin, topic).is_some()
    }

    /// Removes a plugin from the line for a topic, and returns its place.
    pub(crate) fn leave(&mut self, plugin: PluginId, topic: &str) -> Option<InLine> {
        let since = self.place(plugin, topic)?;
        self.take(topic, since)
    }

    /// Removes the place that was taken at this time, and returns it.
    pub(crate) fn take(&mut self, topic: &str, since: u64) -> Option<InLine> {
        let line = self.lines.get_mut(topic)?;
        let place = line.remove(&since);
        if line.is_empty() {
            self.lines.remove(topic);
        }
        place
    }

    /// The places whose turn may have come because a gate, a prefix or a topic is free: for each, its time, its topic and its plugin.
    pub(crate) fn about(&self, gone: &str) -> Vec<(u64, Arc<str>, PluginId)> {
        let exact = self.lines.get_key_value(gone).into_iter();
        let below = under(&self.lines, gone).take_while(|_| is_prefix(gone));
        exact.chain(below).flat_map(places).collect()
    }

    /// All places, in the same form.
    pub(crate) fn all(&self) -> Vec<(u64, Arc<str>, PluginId)> {
        self.lines.iter().flat_map(places).collect()
    }

    /// Removes a plugin that has ended from all lines.
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
