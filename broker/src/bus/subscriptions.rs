//! What plugins subscribe to, and the sources that are found for it.

use std::collections::BTreeSet;
use std::time::Instant;

use callgate_layout::control::{Failure, FeedToPlugin, Fit, Shape};
use callgate_layout::{Code, Encoding};

use super::retries::Pair;
use super::{Bus, protocol};
use crate::id::PluginId;
use crate::refused::Refused;
use crate::shape::fit;

impl Bus {
    pub(super) fn subscribe(
        &mut self,
        from: PluginId,
        (request, number): (u32, u32),
        (topic, prefix): (&str, bool),
        (shape, pulled): (Shape, bool),
        now: Instant,
    ) -> Result<(), Failure> {
        if let Err(failure) = self.check_subscribe(from, topic) {
            self.answer(from, request, Some(failure));
            return Ok(());
        }
        let Some(member) = self.members.get(&from) else {
            return Ok(());
        };
        let subscribed = self.topics.subscribe(
            (from, number),
            (topic, prefix),
            (shape, pulled),
            (request, &member.opens),
        );
        match subscribed {
            Ok(()) => {
                let feeds = self.find_all(from, number, now);
                let request = self.topics.await_feeds(from, number, feeds);
                self.subscribed(from, request);
            }
            Err(Refused::NumberInUse) => {
                return Err(protocol("it subscribed twice under one number"));
            }
            Err(refused) => {
                let failure = self.explain(&refused, topic);
                self.answer(from, request, Some(failure));
            }
        }
        Ok(())
    }

    /// Tells a plugin that its subscription is complete: every source that there was has a feed that has started, or was left, or has
    /// failed.
    pub(super) fn subscribed(&mut self, plugin: PluginId, request: Option<u32>) {
        if let Some(request) = request {
            self.send(plugin, FeedToPlugin::Subscribed { request });
        }
    }

    /// Tells a plugin of all sources that match one of its subscriptions. Returns the new feeds.
    pub(super) fn find_all(
        &mut self,
        plugin: PluginId,
        number: u32,
        now: Instant,
    ) -> BTreeSet<u64> {
        let subscription = self.topics.subscription(plugin, number);
        let sources = subscription.map(|wanted| self.topics.sources_for(&wanted.topic));
        let mut feeds = BTreeSet::new();
        for source in sources.into_iter().flatten() {
            feeds.extend(self.find((plugin, number), source, now));
        }
        feeds
    }

    /// Tells a plugin of a source that matches one of its subscriptions, unless it may not hear it. Returns the new feed.
    pub(super) fn find(
        &mut self,
        (plugin, number): (PluginId, u32),
        source: u64,
        now: Instant,
    ) -> Option<u64> {
        let subscription = self.topics.subscription(plugin, number)?;
        self.check_subscribe(plugin, &subscription.topic).ok()?;
        let found = self.topics.source(source)?;
        let provided = &found.wanted.provided;
        let fit = fit(provided, &subscription.shape);
        let offered = match fit {
            Fit::Same { encoding } => Some(encoding),
            Fit::Differs { json: true, .. } => Some(Encoding::Json),
            Fit::Differs { json: false, .. } | Fit::Unfit { .. } => None,
        };
        let schema = match fit {
            Fit::Differs { schema, .. } => Some((schema, provided.held.schema.bytes.len())),
            Fit::Same { .. } | Fit::Unfit { .. } => None,
        };
        let (topic, incarnation) = (found.topic.to_string(), found.wanted.incarnation);
        let (signature, peer) = (provided.signature.clone(), self.peer_info(found.plugin)?);
        let feed = self.topics.number();
        self.let_fetch(plugin, [schema, None]);
        self.let_answer(plugin);
        let found = FeedToPlugin::Found {
            subscription: number,
            feed,
            topic,
            peer,
            incarnation,
            signature,
            fit,
        };
        self.send(plugin, found);
        let has_room = self
            .topics
            .begin_feed(feed, (plugin, number), source, offered);
        if !has_room {
            let message = "this plugin has as many feeds as it may";
            let failure = Failure::new(Code::Overloaded, message);
            self.send(plugin, FeedToPlugin::Ended { feed, failure });
            let pair = Pair {
                source,
                plugin,
                subscription: number,
            };
            self.find_later(pair, now);
            return None;
        }
        Some(feed)
    }

    /// A plugin ends a subscription, with its feeds. Nothing happens if there is no such subscription.
    pub(super) fn unsubscribe(&mut self, from: PluginId, number: u32) {
        let subscription = self.topics.subscription(from, number);
        let feeds = subscription.map(|subscription| subscription.feeds.clone());
        self.forget_retries_of_subscription(from, number);
        // Removed before its feeds end, so that the plugin is not told `Subscribed` for it.
        self.topics.unsubscribe(from, number);
        for feed in feeds.into_iter().flatten() {
            self.end_feed(feed, None);
        }
    }

    /// After a change of policy: ends the feeds of subscriptions that a plugin may not have any more, and finds the sources of those that
    /// it may have again.
    pub(super) fn review_subscriptions(&mut self, plugin: PluginId, now: Instant) {
        for number in self.topics.subscriptions_of(plugin) {
            let Some(subscription) = self.topics.subscription(plugin, number) else {
                continue;
            };
            let (topic, feeds) = (subscription.topic.clone(), subscription.feeds.clone());
            let allowed = self.check_subscribe(plugin, &topic);
            let is_new = self.topics.allow(plugin, number, allowed.is_ok());
            match allowed {
                Ok(()) if is_new => {
                    self.find_all(plugin, number, now);
                }
                Ok(()) => {}
                Err(failure) => {
                    for feed in feeds {
                        self.end_feed(feed, Some(&failure));
                    }
                }
            }
        }
    }
}
