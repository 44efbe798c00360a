//! Records about sources: plugins that send events on topics, and what they answer about their listeners.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::{
    Failure, SourceToBroker, SourceToPlugin, ToPlugin, check_gate_name,
};

use callgate_layout::Code;
use callgate_layout::events::{MAX_CAPACITY, MIN_CAPACITY, TOPIC_WORDS};

use super::{Awaited, Bus, Weight, protocol};
use crate::id::PluginId;
use crate::quota::Charge;
use crate::refused::Refused;
use crate::shape::{Provided, check_provided};
use crate::topics::{InLine, Progress, Source, Wanted};

impl Bus {
    pub(super) fn source_record(
        &mut self,
        from: PluginId,
        record: SourceToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match record {
            SourceToBroker::Offer { returning, .. } => {
                self.offer(from, record, now);
                Ok(self.weigh_offer(from, returning))
            }
            SourceToBroker::Close { request, topic } => {
                self.close_source(from, request, &topic, now);
                Ok(Weight::Charged)
            }
            SourceToBroker::RingMade { ring } => self.ring_made(from, ring, now),
            SourceToBroker::RingFailed { ring, failure } => {
                self.ring_failed(from, ring, &failure, now)
            }
            SourceToBroker::Heard {
                feed,
                position,
                number,
            } => self.heard(from, feed, (position, number)),
            SourceToBroker::ListenFailed { feed, failure } => {
                self.listen_failed(from, feed, &failure, now)
            }
        }
    }

    /// The weight of an offer. A limited number of offers of a plugin that comes back is not charged to its rate, as for gates.
    fn weigh_offer(&mut self, from: PluginId, returning: bool) -> Weight {
        let member = self.members.get_mut(&from).filter(|_| returning);
        let left = member.and_then(|member| {
            member.source_returns = member.source_returns.checked_sub(1)?;
            Some(Weight::Expected)
        });
        left.unwrap_or(Weight::Charged)
    }

    /// A plugin offers a topic, on which it will send.
    fn offer(&mut self, from: PluginId, record: SourceToBroker, now: Instant) {
        let SourceToBroker::Offer {
            request,
            topic,
            open,
            schema,
            signature,
            encodings,
            capacity,
            history,
            word,
            incarnation,
            returning,
        } = record
        else {
            return;
        };
        let Some(member) = self.members.get_mut(&from) else {
            return;
        };
        // Before anything else is checked: holding the schema ends the upload that the plugin has made for it.
        let held = member.schemas.hold(schema, &mut self.schemas);
        if let Err(failure) = self.check_offer(from, &topic, open) {
            return self.answer(from, request, Some(failure));
        }
        let wanted = held.map(|held| Wanted {
            request,
            open,
            provided: Provided {
                held,
                encodings,
                signature,
            },
            capacity,
            history,
            word,
            incarnation,
        });
        let taken =
            wanted.and_then(|wanted| self.take_source(from, &topic, wanted, returning, now));
        if let Err(refused) = taken {
            let failure = self.explain(&refused, &topic);
            self.answer(from, request, Some(failure));
        }
    }

    fn take_source(
        &mut self,
        from: PluginId,
        topic: &str,
        wanted: Wanted,
        returning: bool,
        now: Instant,
    ) -> Result<(), Refused> {
        check_gate_name(topic).map_err(Refused::Invalid)?;
        check_settings(&wanted).map_err(Refused::Invalid)?;
        if self.source_lines.has(from, topic) {
            return Err(Refused::SendsTwice);
        }
        let in_the_way = self.check_topic(from, topic, wanted.open);
        let Some(member) = self.members.get(&from) else {
            return Ok(());
        };
        let (charge, limit) = (member.gates.charge(), member.gates.limit());
        let charge = charge.ok_or(Refused::TooManyGates(limit));
        match in_the_way {
            Ok(()) => self.begin_source(from, topic, (wanted, charge?), now),
            Err(Refused::Owned(owner, _) | Refused::Sends(owner, _))
                if returning && !wanted.open =>
            {
                let (request, since) = (wanted.request, self.lines.draw());
                let place = InLine {
                    plugin: from,
                    wanted,
                    charge: charge?,
                };
                self.source_lines.join(topic, since, place);
                let owner = self.name_of(owner);
                self.send(from, SourceToPlugin::Lost { request, owner });
            }
            Err(refused) => return Err(refused),
        }
        Ok(())
    }

    /// Fails if gates or other sources keep a plugin from offering a topic.
    pub(super) fn check_topic(
        &self,
        plugin: PluginId,
        topic: &str,
        open: bool,
    ) -> Result<(), Refused> {
        self.topics.check_topic(plugin, topic, open)?;
        let gate = match open {
            true => self.registry.gate_of(topic),
            false => self.registry.in_the_way(plugin, topic),
        };
        match gate {
            Some((owner, what)) => Err(Refused::Owned(owner, what)),
            None => Ok(()),
        }
    }

    /// Gives a topic to a plugin in line for it, if nothing is in the way any more.
    pub(super) fn hand_topic_on(
        &mut self,
        plugin: PluginId,
        (topic, since): (&str, u64),
        now: Instant,
    ) {
        if self.check_topic(plugin, topic, false).is_err() {
            return;
        }
        if let Some(place) = self.source_lines.take(topic, since) {
            self.begin_source(plugin, topic, (place.wanted, place.charge), now);
        }
    }

    /// Begins a source. The plugins that have subscribed to its topic are set up first, but for no longer than a step's time; then the
    /// source may send.
    pub(super) fn begin_source(
        &mut self,
        from: PluginId,
        topic: &str,
        (wanted, charge): (Wanted, Charge),
        now: Instant,
    ) {
        let source = Source::new(from, topic, wanted, charge);
        let (request, history) = (source.wanted.request, source.history_in());
        let number = self.topics.add_source(source);
        let ring = history.map(|encoding| self.need_ring(number, encoding));
        if let Some(Err(failure)) = ring {
            self.topics.remove_source(number);
            return self.answer(from, request, Some(failure));
        }
        let mut awaited = BTreeSet::new();
        for subscription in self.topics.subscriptions_to(topic) {
            awaited.extend(self.find(subscription, number, now));
        }
        if awaited.is_empty() {
            return self.offered(number);
        }
        if let Some(source) = self.topics.source_mut(number) {
            source.awaited = awaited;
        }
        let due = Some(now + self.step);
        self.deadlines.set(Awaited::Listeners(number), due);
    }

    /// Tells a plugin that it can send events on its source now.
    pub(super) fn offered(&mut self, number: u64) {
        self.deadlines.set(Awaited::Listeners(number), None);
        let Some(source) = self.topics.source_mut(number) else {
            return;
        };
        source.awaited.clear();
        if std::mem::replace(&mut source.is_offered, true) {
            return;
        }
        let (to, request) = (source.plugin, source.wanted.request);
        let offered = SourceToPlugin::Offered {
            request,
            source: number,
        };
        self.tell(to, offered);
    }

    /// A plugin closes its source, or leaves the line for the topic.
    fn close_source(&mut self, from: PluginId, request: u32, topic: &str, now: Instant) {
        if self.source_lines.leave(from, topic).is_some() {
            return self.answer(from, request, None);
        }
        let Some(source) = self.topics.source_of(from, topic) else {
            let failure = self.explain(&Refused::SendsNot, topic);
            return self.answer(from, request, Some(failure));
        };
        let message = format!("{} sends no more events on {topic}", self.label_of(from));
        let failure = Failure::new(Code::ProviderGone, message);
        self.end_source(source, &failure);
        self.answer(from, request, None);
        self.hand_on(topic, now);
    }

    /// Ends a source, with its feeds and rings. The source's plugin is not told.
    pub(super) fn end_source(&mut self, number: u64, failure: &Failure) -> Option<Source> {
        self.deadlines.set(Awaited::Listeners(number), None);
        let source = self.topics.remove_source(number)?;
        self.forget_retries_of_source(number);
        self.let_rings_go(source.rings);
        for feed in &source.feeds {
            self.listens.forget_feed(source.plugin, *feed);
            self.end_feed(*feed, Some(failure));
        }
        self.listens.forget_source(source.plugin, number);
        self.listen_next(source.plugin);
        Some(source)
    }

    /// Ends a plugin's sources on topics on which it may not send any more.
    pub(super) fn close_forbidden(&mut self, plugin: PluginId, now: Instant) {
        for number in self.topics.sources_of(plugin) {
            let Some(source) = self.topics.source(number) else {
                continue;
            };
            let (topic, open) = (source.topic.clone(), source.wanted.open);
            let Err(failure) = self.check_offer(plugin, &topic, open) else {
                continue;
            };
            let Some(source) = self.end_source(number, &failure) else {
                continue;
            };
            match source.is_offered {
                true => {
                    let source = number;
                    self.send(plugin, SourceToPlugin::Closed { source, failure });
                }
                // The plugin does not know the source's number yet, so the answer is to its request.
                false => self.answer(plugin, source.wanted.request, Some(failure)),
            }
            self.hand_on(&topic, now);
        }
    }

    /// Removes plugins from the lines for topics on which they may not send any more.
    pub(super) fn leave_forbidden_source_lines(&mut self) {
        for (since, topic, plugin) in self.source_lines.all() {
            let Err(failure) = self.check_offer(plugin, &topic, false) else {
                continue;
            };
            if let Some(place) = self.source_lines.take(&topic, since) {
                self.answer(plugin, place.wanted.request, Some(failure));
            }
        }
    }

    /// Forgets everything that a plugin which has ended has sent and heard. Returns the topics on which it sent.
    pub(super) fn forget_events(&mut self, plugin: PluginId, failure: &Failure) -> Vec<Arc<str>> {
        self.source_lines.forget(plugin);
        self.listens.forget(plugin);
        for number in self.topics.subscriptions_of(plugin) {
            self.unsubscribe(plugin, number);
        }
        self.topics.forget_listener(plugin);
        let sources = self.topics.sources_of(plugin).into_iter();
        let ended = sources.filter_map(|source| self.end_source(source, failure));
        ended.map(|source| source.topic).collect()
    }

    /// Sends a record to a plugin, if it has not ended.
    pub(super) fn tell(&mut self, to: PluginId, record: impl Into<ToPlugin>) {
        if self.members.contains_key(&to) {
            self.send(to, record);
        }
    }

    /// A source has noted a listener: the feed starts at this position.
    fn heard(
        &mut self,
        from: PluginId,
        feed: u64,
        (position, number): (u64, u64),
    ) -> Result<Weight, Failure> {
        if let Some(to) = self.listened(from, feed)? {
            self.start_feed(feed, (to, position, number));
        }
        self.listen_next(from);
        self.acknowledged(from)
    }

    /// A source cannot note a listener; its feed is tried again later.
    fn listen_failed(
        &mut self,
        from: PluginId,
        number: u64,
        failure: &Failure,
        now: Instant,
    ) -> Result<Weight, Failure> {
        if self.listened(from, number)?.is_some() {
            if let Some(feed) = self.topics.feed_mut(number) {
                // The source has not noted this listener, so it need not be told of the feed's end.
                feed.progress = Progress::Mapped;
            }
            let code = Code::from_u16(failure.code).unwrap_or(Code::System);
            let message = format!(
                "{} cannot take note of this listener: {}",
                self.label_of(from),
                failure.message
            );
            self.feed_failed(number, Some(&Failure::new(code, message)), now);
        }
        self.listen_next(from);
        self.acknowledged(from)
    }

    /// A source has answered about a listener. Returns the plugin that listens, or `None` if the feed has ended meanwhile.
    fn listened(&mut self, from: PluginId, number: u64) -> Result<Option<PluginId>, Failure> {
        if !self.topics.was_given(number) {
            return Err(protocol("it named a feed that there never was"));
        }
        let listener = match self.topics.feed(number) {
            None => None,
            Some(feed) => {
                let source = self.topics.source(feed.source);
                let is_own = source.is_some_and(|source| source.plugin == from);
                if !is_own || feed.progress != Progress::Listening {
                    return Err(protocol("it heard of a listener of which it was not told"));
                }
                Some(feed.plugin)
            }
        };
        self.listens.noted(from, number);
        Ok(listener)
    }
}

/// Checks what a plugin says of a source that it offers.
fn check_settings(wanted: &Wanted) -> Result<(), String> {
    check_provided(&wanted.provided)?;
    let capacity = wanted.capacity;
    if !capacity.is_power_of_two() || !(MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) {
        return Err(format!(
            "a ring of events holds a power of two of bytes from {MIN_CAPACITY} to {MAX_CAPACITY}, not {capacity}"
        ));
    }
    if wanted.word >= TOPIC_WORDS {
        let word = wanted.word;
        return Err(format!(
            "a doorbell page has {TOPIC_WORDS} topic words, and no number {word}"
        ));
    }
    Ok(())
}
