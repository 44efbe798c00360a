//! Sources, subscriptions and feeds, from the offer of a topic to its end.

use callgate_layout::control::{Fit, SchemaToPlugin, SessionToPlugin};

use super::*;
use crate::topics::Progress;

mod circles;
mod ends;
mod lines;
mod model;
mod names;
mod retries;
mod rights;
mod setup;
mod wrong;

const C: PluginId = PluginId(3);
const TOPIC: &str = "weather";
/// The numbers that are given if there is one of each, in this order: the source, the feed, its ring.
const FEED: u64 = 2;
const RING: u64 = 3;

/// The offer of an owned topic.
fn offer_topic(topic: &str) -> SourceToBroker {
    SourceToBroker::Offer {
        request: 1,
        topic: topic.into(),
        open: false,
        schema: SchemaSource::Inline(schema_of(7)),
        signature: "(u8)".into(),
        encodings: Encodings::BOTH,
        capacity: 256 << 10,
        history: 0,
        word: 5,
        incarnation: 77,
        returning: false,
    }
}

/// The offer of an open topic.
fn offer_open(topic: &str) -> SourceToBroker {
    let mut offer = offer_topic(topic);
    if let SourceToBroker::Offer { open, .. } = &mut offer {
        *open = true;
    }
    offer
}

/// The offer of a topic whose source keeps a history.
fn with_history(topic: &str) -> SourceToBroker {
    let mut offer = offer_topic(topic);
    if let SourceToBroker::Offer { history, .. } = &mut offer {
        *history = 5;
    }
    offer
}

fn close(topic: &str) -> SourceToBroker {
    let (request, topic) = (2, topic.into());
    SourceToBroker::Close { request, topic }
}

fn take(feed: u64, encoding: Encoding) -> FeedToBroker {
    FeedToBroker::Take { feed, encoding }
}

fn heard(feed: u64) -> SourceToBroker {
    let (position, number) = (64, 3);
    SourceToBroker::Heard {
        feed,
        position,
        number,
    }
}

/// The offer of a topic by a plugin that comes back with it.
fn offer_again(request: u32, topic: &str) -> SourceToBroker {
    let mut offer = offer_topic(topic);
    if let SourceToBroker::Offer {
        request: number,
        returning,
        ..
    } = &mut offer
    {
        (*number, *returning) = (request, true);
    }
    offer
}

/// A subscription to a name, or to a prefix.
fn subscribe(subscription: u32, topic: &str) -> FeedToBroker {
    subscribe_in(subscription, topic, Encodings::BOTH)
}

fn subscribe_in(subscription: u32, topic: &str, encodings: Encodings) -> FeedToBroker {
    FeedToBroker::Subscribe {
        request: 100 + subscription,
        subscription,
        topic: topic.into(),
        prefix: topic.ends_with('.'),
        shape: Shape {
            encodings,
            ..shape()
        },
        pulled: false,
    }
}

/// The failure of a session whose plugin was killed.
fn gone() -> Failure {
    Failure::new(Code::ProviderGone, "killed")
}

/// The records among some effects, as short texts.
fn short(effects: &[Effect]) -> Vec<(PluginId, String)> {
    effects.iter().filter_map(short_one).collect()
}

fn short_one(effect: &Effect) -> Option<(PluginId, String)> {
    let (to, record) = match effect {
        Effect::Send(to, record) => (*to, record.clone()),
        Effect::MakeRing { to, record, .. } | Effect::Listen { to, record, .. } => {
            (*to, record.clone().into())
        }
        Effect::Follow { to, record, .. } => (*to, record.clone().into()),
        Effect::Seal(to, _) => return Some((*to, "(seal)".into())),
        Effect::LetGo { users, .. } => return Some((users[0], "(let go)".into())),
        _ => return None,
    };
    let text = match record {
        ToPlugin::Source(record) => format!("{record:?}"),
        ToPlugin::Feed(record) => format!("{record:?}"),
        ToPlugin::Gate(record) => format!("{record:?}"),
        ToPlugin::Session(record) => format!("{record:?}"),
        other => format!("{other:?}"),
    };
    let name = text.split([' ', '(', '{']).next().unwrap_or_default();
    Some((to, name.into()))
}

impl World {
    /// A world of plugins that have not done anything yet.
    fn events() -> World {
        World::of(["a", "b", "c"], 8, FROM_ONE)
    }

    /// The feeds of a subscription, the oldest first.
    fn feeds_of(&self, plugin: PluginId, subscription: u32) -> Vec<u64> {
        let subscription = self.bus.topics.subscription(plugin, subscription);
        let feeds = subscription.into_iter().flat_map(|one| one.feeds.iter());
        feeds.copied().collect()
    }

    /// The one feed of a subscription.
    fn feed_of(&self, plugin: PluginId, subscription: u32) -> u64 {
        let feeds = self.feeds_of(plugin, subscription);
        assert_eq!(feeds.len(), 1);
        feeds[0]
    }

    fn progress(&self, feed: u64) -> Option<Progress> {
        self.bus.topics.feed(feed).map(|feed| feed.progress)
    }

    /// Has a plugin make the ring that it was asked for last, and the broker seal it.
    fn make_ring(&mut self, plugin: PluginId) {
        let sources = self.bus.topics.sources_of(plugin).into_iter();
        let rings = sources.filter_map(|source| self.bus.topics.source(source));
        let ring = rings.flat_map(|source| source.rings).flatten().max();
        let ring = ring.expect("there is a ring");
        self.ok(plugin, SourceToBroker::RingMade { ring });
        let sealing = Effect::Seal(plugin, AnyMemory::Ring(ring));
        assert_eq!(self.effects(), [sealing]);
        self.bus.memory_sealed(AnyMemory::Ring(ring), self.now);
    }

    /// Sets up a feed that was found, in archives.
    fn set_up(&mut self, feed: u64) {
        self.set_up_in(feed, Encoding::Archive);
    }

    fn set_up_in(&mut self, feed: u64, encoding: Encoding) {
        let of = self.bus.topics.feed(feed).expect("it is there");
        let (listener, source) = (of.plugin, of.source);
        let sender = self.bus.topics.source(source).expect("it is there").plugin;
        self.effects();
        self.ok(listener, take(feed, encoding));
        if let [Effect::MakeRing { .. }] = self.effects().as_slice() {
            self.make_ring(sender);
        }
        self.effects();
        self.ok(listener, FeedToBroker::Following { feed });
        assert_eq!(self.listens(), [feed]);
        self.ok(sender, heard(feed));
        assert_eq!(self.progress(feed), Some(Progress::Started));
    }

    /// Has a plugin subscribe to a topic with one source, and sets up the feed. Returns it.
    fn hears(&mut self, plugin: PluginId, subscription: u32, topic: &str) -> u64 {
        self.ok(plugin, subscribe(subscription, topic));
        let feed = self.feed_of(plugin, subscription);
        self.set_up(feed);
        self.effects();
        feed
    }

    /// The feeds of which sources were told since the last call.
    fn listens(&mut self) -> Vec<u64> {
        let told = self.effects().into_iter();
        let told = told.filter_map(|effect| match effect {
            Effect::Listen {
                record: SourceToPlugin::Listen { feed, .. },
                ..
            } => Some(feed),
            _ => None,
        });
        told.collect()
    }

    /// Whether any plugin was told this since the last call.
    fn heard_of(&mut self, what: &str) -> bool {
        self.news().iter().any(|(_, name)| name == what)
    }

    /// The failure with which a request was refused, if the last effect is that.
    fn refused_with(&mut self) -> Option<Failure> {
        match self.effects().pop() {
            Some(Effect::Send(_, ToPlugin::Session(SessionToPlugin::Answer { failure, .. }))) => {
                failure
            }
            _ => None,
        }
    }

    /// The code of that failure.
    fn refused(&mut self) -> Option<Code> {
        Code::from_u16(self.refused_with()?.code)
    }

    /// The effects since the last call, as short texts.
    fn news(&mut self) -> Vec<(PluginId, String)> {
        short(&self.effects())
    }
}

/// Expected effects, as short texts.
fn of<const N: usize>(expected: [(PluginId, &str); N]) -> Vec<(PluginId, String)> {
    let owned = expected.map(|(to, name)| (to, name.to_owned()));
    owned.into()
}
