//! Subscriptions: names and prefixes of topics that plugins have asked to hear.

use std::collections::BTreeSet;
use std::sync::Arc;

use callgate_layout::control::{Shape, check_gate_name, check_prefix};

use super::Topics;
use crate::id::PluginId;
use crate::names::{is_prefix, prefixes, under};
use crate::quota::{Charge, Quota};
use crate::refused::Refused;
use crate::shape::check;

/// What a plugin has subscribed to.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// The name, or the prefix, which ends in `.`.
    pub(crate) topic: Arc<str>,
    pub(crate) shape: Shape,
    pub(crate) pulled: bool,
    pub(crate) feeds: BTreeSet<u64>,
    /// The feeds that must have started or ended before `Subscribed` is sent.
    pub(super) awaited: BTreeSet<u64>,
    /// The number of the request; `None` once it is answered.
    request: Option<u32>,
    /// Whether the plugin had the right to hear the topic when the policy was last checked.
    is_allowed: bool,
    _charge: Charge,
}

impl Subscription {
    /// Returns a subscription without feeds.
    pub(crate) fn new(
        (topic, shape, pulled): (&str, Shape, bool),
        request: u32,
        charge: Charge,
    ) -> Subscription {
        Subscription {
            topic: topic.into(),
            shape,
            pulled,
            feeds: BTreeSet::new(),
            awaited: BTreeSet::new(),
            request: Some(request),
            is_allowed: true,
            _charge: charge,
        }
    }

    /// Takes the request out, if it can be answered now.
    pub(super) fn take_request(&mut self) -> Option<u32> {
        self.request.take_if(|_| self.awaited.is_empty())
    }
}

impl Topics {
    pub(crate) fn subscription(&self, plugin: PluginId, number: u32) -> Option<&Subscription> {
        self.subscriptions.get(&(plugin, number))
    }

    /// Adds a subscription.
    pub(crate) fn subscribe(
        &mut self,
        (plugin, number): (PluginId, u32),
        (topic, prefix): (&str, bool),
        (shape, pulled): (Shape, bool),
        (request, quota): (u32, &Quota),
    ) -> Result<(), Refused> {
        match prefix {
            true => check_prefix(topic),
            false => check_gate_name(topic),
        }
        .and_then(|()| check(&shape))
        .map_err(Refused::Invalid)?;
        if self.subscriptions.contains_key(&(plugin, number)) {
            return Err(Refused::NumberInUse);
        }
        let charge = quota.charge().ok_or(Refused::TooManyOpens(quota.limit()))?;
        let subscription = Subscription::new((topic, shape, pulled), request, charge);
        let wanted = self.wanted.entry(subscription.topic.clone()).or_default();
        wanted.insert((plugin, number));
        self.subscriptions.insert((plugin, number), subscription);
        Ok(())
    }

    /// Sets the feeds that `Subscribed` waits for. Returns the request if there are none, to be answered at once.
    pub(crate) fn await_feeds(
        &mut self,
        plugin: PluginId,
        number: u32,
        feeds: BTreeSet<u64>,
    ) -> Option<u32> {
        let subscription = self.subscriptions.get_mut(&(plugin, number))?;
        subscription.awaited = feeds;
        subscription.take_request()
    }

    /// Removes a subscription. The caller ends its feeds.
    pub(crate) fn unsubscribe(&mut self, plugin: PluginId, number: u32) {
        let Some(subscription) = self.subscriptions.remove(&(plugin, number)) else {
            return;
        };
        if let Some(wanted) = self.wanted.get_mut(&subscription.topic) {
            wanted.remove(&(plugin, number));
            if wanted.is_empty() {
                self.wanted.remove(&subscription.topic);
            }
        }
    }

    /// The numbers of a plugin's subscriptions.
    pub(crate) fn subscriptions_of(&self, plugin: PluginId) -> Vec<u32> {
        let own = self.subscriptions.range((plugin, 0)..=(plugin, u32::MAX));
        own.map(|((_, number), _)| *number).collect()
    }

    /// The subscriptions that a topic matches, by its name or by a prefix.
    pub(crate) fn subscriptions_to(&self, topic: &str) -> Vec<(PluginId, u32)> {
        let names = std::iter::once(topic).chain(prefixes(topic));
        let wanted = names.filter_map(|name| self.wanted.get(name));
        wanted.flatten().copied().collect()
    }

    /// The sources that match this name or prefix.
    pub(crate) fn sources_for(&self, wanted: &str) -> Vec<u64> {
        let exact = self.by_topic.get(wanted).into_iter();
        let below = under(&self.by_topic, wanted).take_while(|_| is_prefix(wanted));
        let all = exact.chain(below.map(|(_, sources)| sources));
        all.flat_map(|sources| sources.values().copied()).collect()
    }

    /// Notes whether a plugin may hear what it has subscribed to. Returns whether that has changed.
    pub(crate) fn allow(&mut self, plugin: PluginId, number: u32, is_allowed: bool) -> bool {
        let subscription = self.subscriptions.get_mut(&(plugin, number));
        subscription.is_some_and(|subscription| {
            std::mem::replace(&mut subscription.is_allowed, is_allowed) != is_allowed
        })
    }
}
