//! Feeds that could not be set up, for want of memory or descriptors in the broker or in one of their plugins. Their sources are found anew
//! after a second, then after twice the time each, up to half a minute, just as links are tried again.

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

/// Feeds that have failed and have not been set up since.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// The delay before the next attempt, if the feed fails again.
    delays: BTreeMap<Pair, Duration>,
    /// The number of such feeds of each plugin.
    counts: HashMap<PluginId, usize>,
}

impl Retries {
    /// Notes that a feed has failed, and returns the delay before the next attempt. `None` if its plugin has as many failed feeds as it may
    /// have feeds.
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

    /// Forgets a feed. Returns whether it had failed.
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
    /// Ends a feed that cannot be set up now, to be tried again later. The plugin that listens is told the failure, if there is one to
    /// tell.
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

    /// Sets the time at which the source is found anew.
    pub(super) fn find_later(&mut self, pair: Pair, now: Instant) {
        if let Some(delay) = self.feed_retries.put_off(pair) {
            self.deadlines.set(Awaited::Feed(pair), Some(now + delay));
        }
    }

    /// Tries a feed again: there may be memory or descriptors for it now.
    pub(super) fn find_anew(&mut self, pair: Pair, now: Instant) {
        let of = (pair.plugin, pair.subscription);
        let Some(subscription) = self.topics.subscription(of.0, of.1) else {
            return;
        };
        // It has a feed already, if its plugin lost the right to hear it and has got it again meanwhile.
        let mut feeds = subscription.feeds.iter();
        let is_its = |feed: &u64| {
            let feed = self.topics.feed(*feed);
            feed.is_some_and(|feed| feed.source == pair.source)
        };
        if !feeds.any(is_its) {
            self.find(of, pair.source, now);
        }
    }

    /// A feed has started, or is not wanted any more: its next failure counts as the first.
    pub(super) fn forget_retry(&mut self, pair: Pair) {
        if self.feed_retries.forget(pair) {
            self.deadlines.set(Awaited::Feed(pair), None);
        }
    }

    /// Forgets the failed feeds of a source that has ended.
    pub(super) fn forget_retries_of_source(&mut self, source: u64) {
        for pair in self.feed_retries.of_source(source) {
            self.forget_retry(pair);
        }
    }

    /// Forgets the failed feeds of a subscription that is about to end.
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
