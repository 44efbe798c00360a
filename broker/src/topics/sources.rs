//! Sources: each is one plugin as the sender of one topic.

use std::collections::BTreeSet;
use std::sync::Arc;

use callgate_layout::{Encoding, Encodings};

use super::Topics;
use crate::id::PluginId;
use crate::names::{is_prefix, under};
use crate::quota::Charge;
use crate::refused::Refused;
use crate::shape::Provided;

/// What a plugin says of a source that it offers.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The number of the request.
    pub(crate) request: u32,
    pub(crate) open: bool,
    pub(crate) provided: Provided,
    /// Bytes of records that a ring of archives holds.
    pub(crate) capacity: u32,
    pub(crate) history: u32,
    /// The topic word of the source.
    pub(crate) word: u16,
    pub(crate) incarnation: u64,
}

/// A plugin as the sender of one topic.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) plugin: PluginId,
    pub(crate) topic: Arc<str>,
    pub(crate) wanted: Wanted,
    /// The rings of the source: for archives, and for JSON.
    pub(crate) rings: [Option<u64>; 2],
    pub(crate) feeds: BTreeSet<u64>,
    /// The feeds that must have started or ended before `Offered` is sent.
    pub(crate) awaited: BTreeSet<u64>,
    /// Whether `Offered` was sent.
    pub(crate) is_offered: bool,
    _charge: Charge,
}

impl Source {
    pub(crate) fn new(plugin: PluginId, topic: &str, wanted: Wanted, charge: Charge) -> Source {
        Source {
            plugin,
            topic: topic.into(),
            wanted,
            rings: [None; 2],
            feeds: BTreeSet::new(),
            awaited: BTreeSet::new(),
            is_offered: false,
            _charge: charge,
        }
    }

    /// The ring of this encoding, to be read or set.
    pub(crate) fn ring_mut(&mut self, encoding: Encoding) -> &mut Option<u64> {
        &mut self.rings[match encoding {
            Encoding::Archive => 0,
            Encoding::Json => 1,
        }]
    }

    /// The encoding in which the source keeps its history, if it keeps one.
    pub(crate) fn history_in(&self) -> Option<Encoding> {
        let encodings: Encodings = self.wanted.provided.encodings;
        let mut all = [Encoding::Archive, Encoding::Json].into_iter();
        let first = all.find(|encoding| encodings.has(*encoding));
        first.filter(|_| self.wanted.history > 0)
    }

    /// Whether `Offered` is to be sent now: it was not sent, and waits for no feed any more.
    pub(super) fn is_to_be_told(&self) -> bool {
        self.awaited.is_empty() && !self.is_offered
    }
}

impl Topics {
    pub(crate) fn source(&self, number: u64) -> Option<&Source> {
        self.sources.get(&number)
    }

    pub(crate) fn source_mut(&mut self, number: u64) -> Option<&mut Source> {
        self.sources.get_mut(&number)
    }

    /// The source that a plugin has on a topic, if it has one.
    pub(crate) fn source_of(&self, plugin: PluginId, topic: &str) -> Option<u64> {
        self.by_topic.get(topic)?.get(&plugin).copied()
    }

    /// Whether a plugin has a feed on another plugin's source of this topic.
    pub(crate) fn is_heard_by(&self, sender: PluginId, topic: &str, listener: PluginId) -> bool {
        let source = self.source_of(sender, topic);
        let source = source.and_then(|number| self.sources.get(&number));
        let mut feeds = source.into_iter().flat_map(|source| source.feeds.iter());
        feeds.any(|feed| {
            let feed = self.feeds.get(feed);
            feed.is_some_and(|feed| feed.plugin == listener)
        })
    }

    /// All sources, in the order of their topics.
    pub(crate) fn all_sources(&self) -> impl Iterator<Item = &Source> {
        let numbers = self.by_topic.values().flat_map(|of| of.values());
        numbers.filter_map(|number| self.sources.get(number))
    }

    /// All sources of a plugin.
    pub(crate) fn sources_of(&self, plugin: PluginId) -> Vec<u64> {
        let own = self
            .sources
            .iter()
            .filter(|(_, source)| source.plugin == plugin);
        own.map(|(number, _)| *number).collect()
    }

    /// Adds a source and returns its number. The caller has checked that nothing is in its way.
    pub(crate) fn add_source(&mut self, source: Source) -> u64 {
        let number = self.number();
        let of_topic = self.by_topic.entry(source.topic.clone()).or_default();
        of_topic.insert(source.plugin, number);
        self.sources.insert(number, source);
        number
    }

    /// Removes a source. The caller ends its feeds.
    pub(crate) fn remove_source(&mut self, number: u64) -> Option<Source> {
        let source = self.sources.remove(&number)?;
        if let Some(of_topic) = self.by_topic.get_mut(&source.topic) {
            of_topic.remove(&source.plugin);
            if of_topic.is_empty() {
                self.by_topic.remove(&source.topic);
            }
        }
        Some(source)
    }

    /// Fails if other sources keep a plugin from offering a topic.
    pub(crate) fn check_topic(
        &self,
        plugin: PluginId,
        topic: &str,
        open: bool,
    ) -> Result<(), Refused> {
        let Some(of_topic) = self.by_topic.get_key_value(topic) else {
            return Ok(());
        };
        if of_topic.1.contains_key(&plugin) {
            return Err(Refused::SendsTwice);
        }
        match self.owner_of(of_topic.0) {
            Some(owner) => Err(Refused::Sends(owner, of_topic.0.clone())),
            None if open => Ok(()),
            None => Err(Refused::OpenTopic),
        }
    }

    /// Fails if sources keep a plugin from providing a gate or a prefix.
    pub(crate) fn check_gate(&self, plugin: PluginId, name: &str) -> Result<(), Refused> {
        if let Some((topic, _)) = self.by_topic.get_key_value(name) {
            return match self.owner_of(topic) {
                Some(owner) if owner == plugin => Ok(()),
                Some(owner) => Err(Refused::Sends(owner, topic.clone())),
                None => Err(Refused::OpenTopic),
            };
        }
        let below = under(&self.by_topic, name).take_while(|_| is_prefix(name));
        for (topic, _) in below {
            // Open topics belong to no plugin, and may lie under any prefix.
            if let Some(owner) = self.owner_of(topic).filter(|owner| *owner != plugin) {
                return Err(Refused::Sends(owner, topic.clone()));
            }
        }
        Ok(())
    }

    /// The plugin that owns a topic; `None` for an open topic.
    fn owner_of(&self, topic: &str) -> Option<PluginId> {
        let number = self.by_topic.get(topic)?.values().next()?;
        let source = self.sources.get(number)?;
        (!source.wanted.open).then_some(source.plugin)
    }
}
