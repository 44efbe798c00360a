//! Feeds that could not be set up are tried again later.

use std::time::Duration;

use super::*;
use crate::policy::Policy;

fn no_room() -> Failure {
    Failure::new(Code::System, "there is no room")
}

impl World {
    /// Has B take the feed that it was told of last, and the set-up fail at this step. Returns the failure that B is told.
    fn fails(&mut self, at: &str) -> Option<Failure> {
        let feed = self.feed_of(B, 1);
        self.ok(B, take(feed, Encoding::Archive));
        match at {
            "quota" => {}
            "ring" => {
                let ring = *self.bus.rings.last_key_value().expect("it is made").0;
                let failure = no_room();
                self.ok(A, SourceToBroker::RingFailed { ring, failure });
            }
            _ => {
                self.effects();
                self.make_ring(A);
                match at {
                    "follow" => self.ok(B, FeedToBroker::FollowFailed { feed }),
                    _ => {
                        self.ok(B, FeedToBroker::Following { feed });
                        let failure = no_room();
                        self.ok(A, SourceToBroker::ListenFailed { feed, failure });
                    }
                }
            }
        }
        let effects = self.effects();
        let let_go = effects.iter().filter_map(|effect| match effect {
            Effect::LetGo { serial, .. } => *serial,
            _ => None,
        });
        // Nobody holds the ring's memory.
        self.bus.extents_freed(&Vec::from_iter(let_go), self.now);
        let unlistened = short(&effects).contains(&(A, "Unlisten".into()));
        assert!(!unlistened, "{at}: it has not noted it");
        effects.into_iter().find_map(|effect| match effect {
            Effect::Send(B, ToPlugin::Feed(FeedToPlugin::Ended { failure, .. })) => Some(failure),
            _ => None,
        })
    }

    /// Lets time pass until the next deadline. Returns how long that took.
    fn wait(&mut self) -> Duration {
        let due = self.bus.next_deadline().expect("something is due");
        let waited = due - self.now;
        self.now = due;
        self.bus.expire(due);
        waited
    }
}

fn heard_by_b(capacity: u32) -> World {
    let mut world = World::events();
    let mut offer = offer_topic(TOPIC);
    if let SourceToBroker::Offer { capacity: own, .. } = &mut offer {
        *own = capacity;
    }
    world.ok(A, offer);
    world.ok(B, subscribe(1, TOPIC));
    world
}

/// A source that a plugin could not hear for want of a descriptor was never heard, unless the program subscribed anew.
#[test]
fn a_feed_that_could_not_be_set_up_is_tried_again() {
    for at in ["quota", "ring", "follow", "listen"] {
        // A plugin may have eight MiB here.
        let capacity = if at == "quota" { 16 << 20 } else { 256 << 10 };
        let mut world = heard_by_b(capacity);
        let mut waited = Vec::new();
        for _ in 0..7 {
            let why = world.fails(at);
            match at {
                "follow" => assert_eq!(why, None, "it knows"),
                "quota" => assert!(why.is_some_and(|why| why.message.contains("8 MiB"))),
                _ => assert!(why.is_some_and(|why| why.message.ends_with("there is no room"))),
            }
            waited.push(world.wait().as_secs());
            assert_eq!(world.news(), of([(B, "Found")]), "{at}");
        }
        assert_eq!(waited, [1, 2, 4, 8, 16, 30, 30], "{at}");
        if at == "quota" {
            continue;
        }
        let feed = world.feed_of(B, 1);
        world.set_up(feed);
        assert_eq!(world.bus.next_deadline(), None, "{at}");
        assert!(world.bus.feed_retries.is_empty(), "{at}");
    }
}

/// A feed that is no longer wanted is not tried again.
#[test]
fn nothing_is_tried_again_for_who_is_gone() {
    type Ends = fn(&mut World);
    let ends: [(&str, Ends); 4] = [
        ("unsubscribed", |world| {
            world.ok(B, FeedToBroker::Unsubscribe { subscription: 1 });
        }),
        ("closed", |world| world.ok(A, close(TOPIC))),
        ("the listener", |world| {
            world.bus.remove(B, &gone(), world.now);
        }),
        ("the sender", |world| {
            world.bus.remove(A, &gone(), world.now);
        }),
    ];
    for (who, end) in ends {
        for again in [false, true] {
            let mut world = heard_by_b(256 << 10);
            world.fails("listen");
            if again {
                // Also with an attempt under way.
                world.wait();
            }
            end(&mut world);
            assert_eq!(world.bus.next_deadline(), None, "{who}");
            assert!(world.bus.feed_retries.is_empty(), "{who}");
        }
    }
}

/// A source was found twice if the right to hear it was lost and came back.
#[test]
fn one_source_is_not_found_twice() {
    let mut world = heard_by_b(256 << 10);
    world.fails("listen");
    let none = Policy::new().subscribe("other");
    world.bus.set_policy("b", Some(none), world.now);
    world.bus.set_policy("b", None, world.now);
    assert_eq!(world.feeds_of(B, 1).len(), 1);
    world.wait();
    assert_eq!(world.feeds_of(B, 1).len(), 1);
}

/// Listeners that their sender could not map were never marked as answered: after 64 of them the sender was told of no others.
#[test]
fn a_sender_that_could_not_have_many_listeners_gets_others() {
    let mut world = World::events();
    let policy = Policy::new().opens(2000).subscribe("*");
    world.bus.set_policy("d", Some(policy), world.now);
    let listener = PluginId(4);
    world.join(listener, "d");
    world.ok(A, offer_topic(TOPIC));
    world.hears(C, 1, TOPIC);
    for number in 0..200 {
        world.ok(listener, subscribe(number, TOPIC));
        let feed = world.feed_of(listener, number);
        world.ok(listener, take(feed, Encoding::Archive));
        world.effects();
        world.ok(listener, FeedToBroker::Following { feed });
        assert_eq!(world.listens(), [feed], "{number}");
        let failure = no_room();
        world.ok(A, SourceToBroker::ListenFailed { feed, failure });
    }
    world.hears(B, 1, TOPIC);
}

/// If two feeds had one cursor, each would mark the other's events as handled.
#[test]
fn a_plugin_without_a_free_cursor_is_told() {
    let mut world = World::events();
    world.ok(A, offer_topic(TOPIC));
    let first = world.hears(B, 1, TOPIC);
    while world.bus.topics.take_cursor(B).is_some() {}
    world.ok(B, subscribe(2, TOPIC));
    let feed = world.feed_of(B, 2);
    world.effects();
    world.ok(B, take(feed, Encoding::Archive));
    assert_eq!(world.news(), of([(B, "Ended"), (B, "Subscribed")]));
    world.ok(B, FeedToBroker::Leave { feed: first });
    world.effects();
    let third = world.hears(B, 3, TOPIC);
    let cursor = world.bus.topics.feed(third).and_then(|feed| feed.cursor);
    assert_eq!(cursor, Some(0), "it is free at once");
    // The feed that was refused is tried again.
    world.ok(B, FeedToBroker::Leave { feed: third });
    world.now += Duration::from_secs(1);
    world.bus.expire(world.now);
    let feed = world.feed_of(B, 2);
    world.set_up(feed);
}
