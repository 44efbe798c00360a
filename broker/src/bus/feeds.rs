//! Records about feeds: how each of them is set up and how it ends. Which feeds there are is decided in `subscriptions.rs`.

use std::time::Instant;

use callgate_layout::control::{Failure, FeedToBroker, FeedToPlugin, PeerInfo, SourceToPlugin};
use callgate_layout::{Code, Encoding};

use super::retries::Pair;
use super::{Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::topics::{Feed, Progress, Settled};

impl Bus {
    pub(super) fn feed_record(
        &mut self,
        from: PluginId,
        record: FeedToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match record {
            FeedToBroker::Subscribe {
                request,
                subscription,
                topic,
                prefix,
                shape,
                pulled,
            } => {
                let what = (&*topic, prefix);
                self.subscribe(from, (request, subscription), what, (shape, pulled), now)?;
                Ok(self.weigh_open(from))
            }
            FeedToBroker::Unsubscribe { subscription } => {
                self.unsubscribe(from, subscription);
                Ok(Weight::Charged)
            }
            FeedToBroker::Take { feed, encoding } => self.take(from, (feed, encoding), now),
            FeedToBroker::Leave { feed } => self.leave(from, feed),
            FeedToBroker::Following { feed } => self.following(from, feed),
            FeedToBroker::FollowFailed { feed } => self.follow_failed(from, feed, now),
            FeedToBroker::Fetch {
                request,
                feed,
                schema,
                offset,
            } => {
                let part = self.part_of_feed(from, (feed, schema), offset);
                Ok(self.answer_fetch(from, request, part))
            }
        }
    }

    /// What other plugins are told of a plugin.
    pub(super) fn peer_info(&self, plugin: PluginId) -> Option<PeerInfo> {
        let member = self.members.get(&plugin)?;
        Some(PeerInfo {
            plugin: plugin.0,
            pid: member.pid,
            identity: member.identity.clone(),
        })
    }

    /// The feed that a plugin names, if it is the plugin's own; an error if it is another's or there never was one. `None` if it has ended
    /// meanwhile: the plugin's record and the broker's have crossed.
    fn own_feed(&mut self, from: PluginId, number: u64) -> Result<Option<&mut Feed>, Failure> {
        if !self.topics.was_given(number) {
            return Err(protocol("it named a feed that there never was"));
        }
        match self.topics.feed_mut(number) {
            Some(feed) if feed.plugin != from => {
                Err(protocol("it named a feed that is not its own"))
            }
            feed => Ok(feed),
        }
    }

    /// A plugin takes a feed that it was told of, in this encoding.
    fn take(
        &mut self,
        from: PluginId,
        (number, encoding): (u64, Encoding),
        now: Instant,
    ) -> Result<Weight, Failure> {
        let Some(feed) = self.own_feed(from, number)? else {
            return Ok(self.answered(from));
        };
        if feed.progress != Progress::Found || feed.offered != Some(encoding) {
            return Err(protocol("it took a feed that was not offered so"));
        }
        feed.progress = Progress::Taken;
        let source = feed.source;
        match self.need_ring(source, encoding) {
            Ok(ring) => {
                if let Some(feed) = self.topics.feed_mut(number) {
                    feed.ring = Some(ring);
                }
                if self.read_ring(ring, number) {
                    self.follow(number, now);
                }
            }
            Err(failure) => self.feed_failed(number, Some(&failure), now),
        }
        Ok(self.answered(from))
    }

    /// Called when the ring of a feed is ready: sends it to the plugin that listens.
    pub(super) fn follow(&mut self, number: u64, now: Instant) {
        let Some(feed) = self.topics.feed(number) else {
            return;
        };
        let (to, source) = (feed.plugin, self.topics.source(feed.source));
        let ring = feed
            .ring
            .and_then(|ring| Some((ring, self.rings.get(&ring)?)));
        let (Some(source), Some((ring, of))) = (source, ring) else {
            return;
        };
        let (sender, word, len) = (source.plugin, source.wanted.word, of.len());
        let Some(cursor) = self.topics.take_cursor(to) else {
            let message = "this plugin has as many feeds as its status page has cursors";
            let failure = Failure::new(Code::Overloaded, message);
            return self.feed_failed(number, Some(&failure), now);
        };
        if let Some(feed) = self.topics.feed_mut(number) {
            feed.cursor = Some(cursor);
            feed.progress = Progress::Following;
        }
        self.let_answer(to);
        let record = FeedToPlugin::Follow {
            feed: number,
            cursor,
            len,
            word,
        };
        self.effects.push_back(Effect::Follow {
            to,
            ring,
            sender,
            record,
        });
    }

    /// A plugin has mapped the ring of a feed: the source is told of the listener.
    fn following(&mut self, from: PluginId, number: u64) -> Result<Weight, Failure> {
        let Some(feed) = self.own_feed(from, number)? else {
            return Ok(self.answered(from));
        };
        if feed.progress != Progress::Following {
            return Err(protocol("it follows what it was not told to follow"));
        }
        feed.progress = Progress::Mapped;
        self.listen(number);
        Ok(self.answered(from))
    }

    /// A plugin cannot map the ring of a feed.
    fn follow_failed(
        &mut self,
        from: PluginId,
        number: u64,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let Some(feed) = self.own_feed(from, number)? else {
            return Ok(self.answered(from));
        };
        if feed.progress != Progress::Following {
            return Err(protocol(
                "it failed to follow what it was not told to follow",
            ));
        }
        self.feed_failed(number, None, now);
        Ok(self.answered(from))
    }

    /// Tells a source of a listener, at once or after it has noted others.
    fn listen(&mut self, number: u64) {
        let Some(feed) = self.topics.feed_mut(number) else {
            return;
        };
        let of = feed.source;
        let Some(sender) = self.topics.source(of).map(|source| source.plugin) else {
            return;
        };
        if self.listens.may_tell(sender, number, of)
            && let Some(feed) = self.topics.feed_mut(number)
        {
            feed.progress = Progress::Listening;
            self.introduce(number);
        }
    }

    /// A source has noted a listener, or need not any more: tells it of the next ones.
    pub(super) fn listen_next(&mut self, sender: PluginId) {
        while let Some(feed) = self.listens.next(sender) {
            self.listen(feed);
        }
    }

    fn introduce(&mut self, number: u64) {
        let Some(feed) = self.topics.feed(number) else {
            return;
        };
        let (listener, subscription) = (feed.plugin, feed.subscription);
        let subscription = self.topics.subscription(listener, subscription);
        let (Some(subscription), Some(source), Some(ring), Some(cursor), Some(peer)) = (
            subscription,
            self.topics.source(feed.source),
            feed.ring,
            feed.cursor,
            self.peer_info(listener),
        ) else {
            return;
        };
        let (to, pulled) = (source.plugin, subscription.pulled);
        let record = SourceToPlugin::Listen {
            ring,
            feed: number,
            cursor,
            pulled,
            peer,
        };
        let effect = Effect::Listen {
            to,
            listener,
            record,
        };
        self.ask(to, effect);
    }

    /// The source has noted the listener: from here on no event is missed.
    pub(super) fn start_feed(&mut self, feed: u64, (to, position, number): (PluginId, u64, u64)) {
        if let Some(feed) = self.topics.feed_mut(feed) {
            feed.progress = Progress::Started;
            let pair = Pair {
                source: feed.source,
                plugin: feed.plugin,
                subscription: feed.subscription,
            };
            self.forget_retry(pair);
        }
        self.let_answer(to);
        let start = FeedToPlugin::Start {
            feed,
            position,
            number,
        };
        self.send(to, start);
        let settled = self.topics.settle_feed(feed);
        self.settled(to, settled);
    }

    /// A plugin leaves a feed, or does not take it.
    fn leave(&mut self, from: PluginId, number: u64) -> Result<Weight, Failure> {
        if self.own_feed(from, number)?.is_some() {
            self.end_feed(number, None);
        }
        Ok(self.answered(from))
    }

    /// Ends a feed. The plugin that listens is told if there is a failure to tell; the source is told if it has heard of the listener and
    /// goes on.
    pub(super) fn end_feed(&mut self, number: u64, why: Option<&Failure>) {
        let Some(ended) = self.topics.end_feed(number) else {
            return;
        };
        let feed = ended.feed;
        if let Some(failure) = why {
            let failure = failure.clone();
            let record = FeedToPlugin::Ended {
                feed: number,
                failure,
            };
            self.send(feed.plugin, record);
        }
        if let Some(ring) = feed.ring {
            let source = self.topics.source(feed.source);
            let sender = source.map(|source| source.plugin);
            match sender {
                Some(sender) if feed.progress >= Progress::Listening => {
                    let record = SourceToPlugin::Unlisten { ring, feed: number };
                    self.tell(sender, record);
                }
                Some(sender) => self.listens.forget_feed(sender, number),
                None => {}
            }
            self.leave_ring(ring, number);
        }
        self.settled(feed.plugin, ended.settled);
    }

    fn settled(&mut self, listener: PluginId, settled: Settled) {
        self.subscribed(listener, settled.subscribed);
        if let Some(source) = settled.offered {
            self.offered(source);
        }
    }

    /// Allows a plugin one more record about feeds that is not charged to its rate, because it was told of something that it did not cause
    /// and may answer.
    pub(super) fn let_answer(&mut self, plugin: PluginId) {
        if let Some(member) = self.members.get_mut(&plugin) {
            member.feed_answers = member.feed_answers.saturating_add(1);
        }
    }

    /// The weight of a plugin's answer about a feed.
    fn answered(&mut self, plugin: PluginId) -> Weight {
        let member = self.members.get_mut(&plugin);
        let left = member.and_then(|member| {
            member.feed_answers = member.feed_answers.checked_sub(1)?;
            Some(Weight::Expected)
        });
        left.unwrap_or(Weight::Charged)
    }
}
