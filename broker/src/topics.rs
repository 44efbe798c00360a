//! Which plugins send events on which topics, and which plugins have subscribed to what: pure state.
//!
//! ```text
//! Source         a plugin as the sender of one topic
//! Subscription   a name or a prefix that a plugin has asked to hear
//! Feed           one subscription on one source, from `Found` to its end
//! ```
//!
//! An owned topic has one source. An open one has a source for each plugin that sends on it, and exists while it has one. The rings of
//! sources are memory; they are in `bus/rings.rs`.

mod cursors;
mod feed;
mod lines;
mod listens;
mod sources;
mod subscriptions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::id::PluginId;
use cursors::Cursors;

pub(crate) use feed::{Feed, Progress, Settled};
pub(crate) use lines::{InLine, SourceLines};
pub(crate) use listens::Listens;
pub(crate) use sources::{Source, Wanted};
pub(crate) use subscriptions::Subscription;

/// How many feeds one plugin may have, whatever their progress. More than it has cursors for, because it may leave some.
pub(crate) const MOST_FEEDS: usize = 4096;

/// A plugin that has feeds.
#[derive(Debug, Default)]
struct Listener {
    cursors: Cursors,
    feeds: usize,
}

/// All sources, subscriptions and feeds of a bus.
#[derive(Debug)]
pub(crate) struct Topics {
    sources: BTreeMap<u64, Source>,
    /// The sources of each topic, by plugin. No inner map is empty.
    by_topic: BTreeMap<Arc<str>, BTreeMap<PluginId, u64>>,
    subscriptions: BTreeMap<(PluginId, u32), Subscription>,
    /// The subscriptions to each name or prefix. No set is empty.
    wanted: BTreeMap<Arc<str>, BTreeSet<(PluginId, u32)>>,
    feeds: BTreeMap<u64, Feed>,
    listeners: HashMap<PluginId, Listener>,
    first: u64,
    next: u64,
}

impl Topics {
    /// Returns the state without topics. The numbers of sources, rings and feeds begin with `first`.
    pub(crate) fn new(first: u64) -> Topics {
        Topics {
            sources: BTreeMap::new(),
            by_topic: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            wanted: BTreeMap::new(),
            feeds: BTreeMap::new(),
            listeners: HashMap::new(),
            first,
            next: first,
        }
    }

    /// Returns a number that no source, ring or feed has had.
    pub(crate) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Whether this number was given to a source, ring or feed, which may have ended.
    pub(crate) fn was_given(&self, number: u64) -> bool {
        (self.first..self.next).contains(&number)
    }

    /// Forgets a plugin that has ended, and its cursors.
    pub(crate) fn forget_listener(&mut self, plugin: PluginId) {
        self.listeners.remove(&plugin);
    }

    /// Takes a free cursor of a plugin that has a feed; `None` if all are in use.
    pub(crate) fn take_cursor(&mut self, plugin: PluginId) -> Option<u16> {
        self.listeners.get_mut(&plugin)?.cursors.take()
    }
}

#[cfg(test)]
impl Topics {
    /// Whether there are no sources, subscriptions, feeds or listeners left.
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty()
            && self.by_topic.is_empty()
            && self.subscriptions.is_empty()
            && self.wanted.is_empty()
            && self.feeds.is_empty()
            && self.listeners.is_empty()
    }
}
