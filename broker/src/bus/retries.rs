//! Feeds that could not be set up, for want of memory or descriptors here or in one of their plugins. Their sources are
//! found anew after a second, and then after twice the time each, up to half a minute: as links are tried again.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use callgate_layout::control::Failure;

use super::late::{FIRST_RETRY, LAST_RETRY};
use super::{Awaited, Bus};
use crate::id::PluginId;
use crate::topics::MOST_FEEDS;

/// A subscription and one source that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pair {
    pub(super) source: u64,
    pub(super) plugin: PluginId,
    pub(super) subscription: u32,
}

/// Feeds that failed since they were last set up.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// How long the next failure of each puts it off.
    delays: BTreeMap<Pair, Duration>,
    /// How many there are of each plugin.
    counts: HashMap<PluginId, usize>,
}

impl Retries {
    /// One has failed: how long it is put off. `None` where its plugin has as many as it may have feeds.
    fn put_off(&mut self, pair: Pair) -> Option<Duration> {
        if let Some(next) = self.delays.get_mut(&pair) {
            let delay = *next;
            *next = LAST_RETRY.min(delay * 2);
            return Some(delay);
        }
        let count = self.counts.entry(pair.plugin).or_default();
        if *count == MOST_FEEDS {
            return None;
        }
        *count += 1;
        self.delays.insert(pair, FIRST_RETRY * 2);
        Some(FIRST_RETRY)
    }

    /// Forgets one; whether it was there.
    fn forget(&mut self, pair: Pair) -> bool {
        if self.delays.remove(&pair).is_none() {
            return false;
        }
        if let Some(count) = self.counts.get_mut(&pair.plugin) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&pair.plugin);
            }
        }
        true
    }

    fn of_source(&self, source: u64) -> Vec<Pair> {
        let first = Pair {
            source,
            plugin: PluginId(0),
            subscription: 0,
        };
        let after = self.delays.range(first..);
        let its = after.take_while(|(pair, _)| pair.source == source);
        its.map(|(pair, _)| *pair).collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.delays.is_empty() && self.counts.is_empty()
    }
}

impl Bus {
    /// Ends a feed that cannot be set up now; its source is found anew later. Its plugin is told why, unless it knows.
    pub(super) fn feed_failed(&mut self, number: u64, why: Option<&Failure>, now: Instant) {
        let Some(feed) = self.topics.feed(number) else {
            return;
        };
        let pair = Pair {
            source: feed.source,
            plugin: feed.plugin,
            subscription: feed.subscription,
        };
        self.end_feed(number, why);
        self.find_later(pair, now);
    }

    /// Finds a source anew later.
    pub(super) fn find_later(&mut self, pair: Pair, now: Instant) {
        if let Some(delay) = self.feed_retries.put_off(pair) {
            self.deadlines.set(Awaited::Feed(pair), Some(now + delay));
        }
    }

    /// There may be room again for what a feed needs.
    pub(super) fn find_anew(&mut self, pair: Pair, now: Instant) {
        let of = (pair.plugin, pair.subscription);
        let Some(subscription) = self.topics.subscription(of.0, of.1) else {
            return;
        };
        // It was found meanwhile where its plugin had lost the right to hear it, and has it again.
        let mut feeds = subscription.feeds.iter();
        let is_its = |feed: &u64| {
            let feed = self.topics.feed(*feed);
            feed.is_some_and(|feed| feed.source == pair.source)
        };
        if !feeds.any(is_its) {
            self.find(of, pair.source, now);
        }
    }

    /// A feed has started, or is not wanted any more: its next failure would be the first.
    pub(super) fn forget_retry(&mut self, pair: Pair) {
        if self.feed_retries.forget(pair) {
            self.deadlines.set(Awaited::Feed(pair), None);
        }
    }

    /// A source has ended.
    pub(super) fn forget_retries_of_source(&mut self, source: u64) {
        for pair in self.feed_retries.of_source(source) {
            self.forget_retry(pair);
        }
    }

    /// A subscription is about to be forgotten.
    pub(super) fn forget_retries_of_subscription(&mut self, plugin: PluginId, subscription: u32) {
        if !self.feed_retries.counts.contains_key(&plugin) {
            return;
        }
        let Some(wanted) = self.topics.subscription(plugin, subscription) else {
            return;
        };
        for source in self.topics.sources_for(&wanted.topic) {
            self.forget_retry(Pair {
                source,
                plugin,
                subscription,
            });
        }
    }
}
