//! The broker's records about feeds: which sources match the plugin's subscriptions, and how feeds on them are set
//! up.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Instant;

use callgate_layout::control::{FeedToBroker, FeedToPlugin, Fit, PeerInfo};
use callgate_layout::events::capacity_of;
use callgate_layout::pages::{DOORBELL_LEN, Doorbell};
use callgate_layout::view::ReadView;
use callgate_layout::{Code, Encoding};
use mio::Token;

use super::memory::{caller, expect};
use super::plugin::{PluginWork, ended};
use crate::base::error::{Error, Result};
use crate::events::feed::{End, PlaceParts, Sender};
use crate::events::notice::EventNotice;
use crate::link::peer::Caller;
use crate::session::connection::failure as error_of;
use crate::session::events::feeds::{FeedStep, Following, Told};
use crate::session::here;
use crate::session::mapping::{map_read_only, map_writable, system};
use crate::session::notices::BrokerEvent;

/// A source that matches a subscription, as the broker has described it.
struct Found {
    subscription: u32,
    feed: u64,
    topic: String,
    peer: PeerInfo,
    incarnation: u64,
    fit: Fit,
}

/// Where a feed lies, as the broker has described it.
struct Where {
    cursor: u16,
    len: u32,
    word: u16,
}

impl PluginWork<'_> {
    pub(super) fn feed_record(&mut self, record: FeedToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            FeedToPlugin::Subscribed { request } => self.subscribed(request, Ok(())),
            FeedToPlugin::Found {
                subscription,
                feed,
                topic,
                peer,
                incarnation,
                signature: _,
                fit,
            } => self.found(Found {
                subscription,
                feed,
                topic,
                peer,
                incarnation,
                fit,
            }),
            FeedToPlugin::Follow {
                feed,
                cursor,
                len,
                word,
            } => {
                let place = Where { cursor, len, word };
                let outcome = self.follow(feed, &place, descriptors);
                self.followed(feed, outcome);
            }
            FeedToPlugin::Start {
                feed,
                position,
                number,
            } => self.start(feed, (position, number)),
            FeedToPlugin::Ended { feed, failure } => self.feed_ended(feed, &error_of(failure)),
        }
        self.let_go_of_senders();
    }

    /// Handles the broker's answer to a subscription.
    pub(super) fn subscribed(&mut self, request: u32, outcome: Result<()>) {
        let plugin = &self.plugin;
        let asked = plugin.membership.followed.answered(request);
        let Some(subscribed) = asked.and_then(|asked| asked.upgrade()) else {
            return;
        };
        let name = &subscribed.hearing.name;
        let outcome = outcome.map_err(|error| error.at_gate(name.clone()));
        let refused = outcome.as_ref().err().cloned();
        // If a thread waits for the subscription, it returns the error to the program.
        let is_awaited = subscribed.answered(outcome);
        if let Some(error) = refused.filter(|_| !is_awaited) {
            tracing::warn!(%error, "the broker does not let this plugin hear a topic again");
            let gate = name.to_string();
            plugin
                .state
                .notices
                .tell(BrokerEvent::GateRefused { gate, error });
        }
    }

    fn found(&mut self, found: Found) {
        let Found {
            subscription,
            feed,
            topic,
            peer,
            incarnation,
            fit,
        } = found;
        let Some(subscribed) = self.plugin.state.subscriptions.get(subscription) else {
            // The subscription has ended; the record that tells the broker is under way.
            return self.send(&FeedToBroker::Leave { feed }.into());
        };
        let is_untyped = subscribed.wanted.is_untyped();
        let mut told = Told::new(subscribed, (topic, caller(peer)), incarnation);
        match fit {
            Fit::Unfit { failure } => self.unfit(feed, told, error_of(failure)),
            Fit::Differs { json: false, .. } => {
                let text = "the types differ, and its events cannot come as JSON to be converted: this subscription or their sender is \
                            exact_only, or a type of theirs has no JSON";
                self.unfit(feed, told, Error::new(Code::TypeMismatch, text));
            }
            Fit::Differs { schema, .. } if !is_untyped => {
                self.plugin.membership.followed.add(feed, told);
                self.plugin.feed_schemas.wait(feed, schema);
                self.go_on_with_feed_schemas();
            }
            Fit::Differs { .. } => self.take(feed, told, (Encoding::Json, false)),
            Fit::Same { encoding } => {
                told.following = Following::Found;
                self.take(feed, told, (encoding, false));
            }
        }
    }

    /// Asks the broker to set a feed up.
    fn take(&mut self, feed: u64, mut told: Told, (encoding, is_converted): (Encoding, bool)) {
        told.following = Following::Taken {
            encoding,
            is_converted,
        };
        self.plugin.membership.followed.add(feed, told);
        self.send(&FeedToBroker::Take { feed, encoding }.into());
    }

    /// Reports a source whose types do not fit, and leaves its feed.
    fn unfit(&mut self, feed: u64, told: Told, why: Error) {
        let why = why.at_gate(told.about.topic.clone());
        let notice = EventNotice::unfit(&told.about, why);
        told.subscribed.hearing.tell(&told.about, notice);
        self.send(&FeedToBroker::Leave { feed }.into());
    }

    /// Maps the memory of a feed. Returns `false` if the feed is not one that this plugin has taken.
    fn follow(&mut self, feed: u64, place: &Where, descriptors: Vec<OwnedFd>) -> Result<bool> {
        let membership = self.plugin.membership.clone();
        let taken = membership.followed.with(feed, |told| match told.following {
            Following::Taken {
                encoding,
                is_converted,
            } => Some((
                told.plugin,
                told.about.sender.clone(),
                encoding,
                is_converted,
            )),
            _ => None,
        });
        let Some((plugin, who, encoding, is_converted)) = taken.flatten() else {
            return Ok(false);
        };
        let [ring, bell, process] = expect(descriptors)?;
        if capacity_of(place.len).is_none() {
            let text = "the broker sent a ring of an impossible size";
            return Err(Error::new(Code::Protocol, text));
        }
        let ring: ReadView = map_read_only(ring, place.len as usize)?;
        let sender = self.sender_of((plugin, who), bell, process)?;
        let cursor = membership.memory.cursors.take(place.cursor);
        let cursor = cursor.ok_or_else(|| {
            let text = "a feed that has ended still has the cursor that the broker gave; this one is set up later";
            Error::new(Code::Overloaded, text)
        })?;
        membership.memory.status.cursor(place.cursor).clear();
        let parts = PlaceParts {
            membership: membership.id.number(),
            memory: membership.memory.clone(),
            cursor,
            sender,
            word: place.word,
            encoding,
            is_converted,
            end: Arc::new(End::default()),
        };
        let mapped = Following::Mapped(Box::new(parts), ring);
        membership
            .followed
            .with(feed, |told| told.following = mapped);
        Ok(true)
    }

    /// Tells the broker whether a feed could be set up.
    pub(super) fn followed(&mut self, feed: u64, outcome: Result<bool>) {
        match outcome {
            Ok(true) => self.send(&FeedToBroker::Following { feed }.into()),
            // Nobody asked for the feed, or it has ended.
            Ok(false) => {}
            Err(error) => {
                if self.feed_failed(feed, &error) {
                    self.send(&FeedToBroker::FollowFailed { feed }.into());
                }
            }
        }
    }

    /// Tells the program that a feed cannot be set up. Returns `false` if the feed had ended before.
    fn feed_failed(&mut self, feed: u64, error: &Error) -> bool {
        let Some(told) = self.plugin.membership.followed.remove(feed) else {
            return false;
        };
        let error = error.clone().at_gate(told.about.topic.clone());
        let notice = EventNotice::failed(&told.about, error);
        told.subscribed.hearing.tell(&told.about, notice);
        true
    }

    /// The mapped memory of a sending plugin. If it is not mapped yet, maps it and watches the plugin's process.
    fn sender_of(
        &mut self,
        (plugin, who): (u64, Arc<Caller>),
        bell: OwnedFd,
        process: OwnedFd,
    ) -> Result<Arc<Sender>> {
        let watched = &mut *self.plugin;
        let membership = &watched.membership;
        let is_here = here::is_here(membership.bus, plugin);
        let (poller, number, senders) = (&mut *self.poller, watched.number, &mut watched.senders);
        membership.followed.sender(plugin, || {
            let sender = Arc::new(Sender {
                who,
                bell: Doorbell::new(map_writable(bell, DOORBELL_LEN)?),
            });
            // A plugin in this process cannot end without it, and the broker tells when the plugin leaves.
            if !is_here {
                let process = Arc::new(process);
                let token = poller.watch(number, &process);
                let token = token.map_err(|error| system("watching a sender of events", &error))?;
                senders.insert(token, (plugin, Arc::downgrade(&sender), process));
            }
            Ok(sender)
        })
    }

    fn start(&mut self, feed: u64, start: (u64, u64)) {
        let started = self
            .plugin
            .membership
            .followed
            .with(feed, |told| told.start(start));
        if let Some(Err(error)) = started {
            self.over(&error);
        }
    }

    fn feed_ended(&mut self, feed: u64, why: &Error) {
        self.plugin.feed_schemas.forget(feed);
        let Some(told) = self.plugin.membership.followed.remove(feed) else {
            return;
        };
        let why = why.clone().at_gate(told.about.topic.clone());
        match &told.following {
            Following::Started(_) => told.end(&why),
            // That the sender has ended while the feed was set up is no failure.
            _ if why.code() == Code::ProviderGone => {}
            _ => {
                let notice = EventNotice::failed(&told.about, why);
                told.subscribed.hearing.tell(&told.about, notice);
            }
        }
        self.go_on_with_feed_schemas();
    }

    /// Handles the end of a process, if it was a sender's. What it had published is still taken. Returns whether it
    /// was one.
    pub(super) fn sender_ended(&mut self, token: Token) -> bool {
        let plugin = &mut *self.plugin;
        let Some((number, sender, process)) = plugin.senders.remove(&token) else {
            return false;
        };
        self.poller.unwatch(token, &process);
        let sender = sender.upgrade();
        let why = ended(sender.as_ref().map(|sender| &*sender.who), &process);
        plugin.membership.followed.sender_ended(number, &why);
        true
    }

    /// Stops watching plugins that are not heard any more.
    fn let_go_of_senders(&mut self) {
        let is_over = |_: &Token, (_, sender, _): &mut (u64, Weak<Sender>, Arc<OwnedFd>)| {
            sender.strong_count() == 0
        };
        for (token, (_, _, process)) in self.plugin.senders.extract_if(is_over) {
            self.poller.unwatch(token, &process);
        }
    }

    /// Decodes, compares and fetches schemas for feeds, as long as the pace allows.
    pub(super) fn go_on_with_feed_schemas(&mut self) {
        while self.plugin.feed_schemas.is_step_due() {
            let begun = Instant::now();
            if !self.pace.allows(begun) {
                self.pace.is_awaited = true;
                return;
            }
            let plugin = &mut *self.plugin;
            let membership = &plugin.membership;
            let number = || membership.connection.next_number();
            let step = plugin.feed_schemas.step(&membership.followed, number);
            self.pace.spend(begun, Instant::now());
            match step {
                Some(FeedStep::Ask(fetch)) => self.send(&fetch.into()),
                Some(FeedStep::Compared(feed, Ok(difference))) => {
                    self.converts(feed, (&difference.text, difference.is_meant));
                }
                Some(FeedStep::Compared(feed, Err(error))) => self.cannot_convert(feed, error),
                Some(FeedStep::More) => {}
                None => return,
            }
        }
    }

    fn converts(&mut self, feed: u64, (difference, is_meant): (&str, bool)) {
        let Some(told) = self.plugin.membership.followed.remove(feed) else {
            return;
        };
        if told.subscribed.hearing.count_converted() && !is_meant {
            let (topic, sender) = (&told.about.topic, told.about.sender.name());
            tracing::warn!(%topic, sender, difference, "events are converted, by way of JSON: the types differ");
        }
        self.take(feed, told, (Encoding::Json, true));
    }

    fn cannot_convert(&mut self, feed: u64, error: Error) {
        if let Some(told) = self.plugin.membership.followed.remove(feed) {
            self.unfit(feed, told, error);
        }
    }

    /// Adds a part of a schema that was fetched for a feed.
    pub(super) fn feed_schema_part(&mut self, total: u32, bytes: &[u8]) {
        let plugin = &mut *self.plugin;
        let number = || plugin.membership.connection.next_number();
        match plugin.feed_schemas.part((total, bytes), number) {
            Ok(Some(next)) => self.send(&next.into()),
            Ok(None) => {}
            Err((feeds, error)) => self.no_schema(feeds, &error),
        }
        self.go_on_with_feed_schemas();
    }

    /// Fails the feeds that wait for a schema which the broker does not send.
    pub(super) fn feed_fetch_refused(&mut self, error: &Error) {
        let feeds = self.plugin.feed_schemas.fail();
        self.no_schema(feeds, error);
        self.go_on_with_feed_schemas();
    }

    fn no_schema(&mut self, feeds: Vec<u64>, error: &Error) {
        for feed in feeds {
            if self.feed_failed(feed, error) {
                self.send(&FeedToBroker::Leave { feed }.into());
            }
        }
    }
}
