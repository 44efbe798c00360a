//! The order in which a feed is set up, and the memory that it takes.

use super::*;

/// If a listener were sent a ring before that is sealed, the ring could shrink under it. If a feed started before its source knows of it,
/// it would miss events.
#[test]
fn a_feed_is_set_up_step_by_step() {
    let mut world = World::events();
    world.ok(A, offer_topic(TOPIC));
    assert_eq!(world.news(), of([(A, "Offered")]));
    world.ok(B, subscribe(4, TOPIC));
    assert_eq!(world.news(), of([(B, "Found")]));
    world.ok(B, take(FEED, Encoding::Archive));
    let effects = world.effects();
    let [
        Effect::MakeRing {
            to: A,
            ring: RING,
            len,
            record:
                SourceToPlugin::MakeRing {
                    request: 1,
                    encoding: Encoding::Archive,
                    ..
                },
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}");
    };
    assert_eq!(*len, (256 << 10) + 4096);
    world.ok(A, SourceToBroker::RingMade { ring: RING });
    let sealing = Effect::Seal(A, AnyMemory::Ring(RING));
    assert_eq!(world.effects(), [sealing]);
    world.bus.memory_sealed(AnyMemory::Ring(RING), world.now);
    let record = FeedToPlugin::Follow {
        feed: FEED,
        cursor: 0,
        len: *len,
        word: 5,
    };
    let follow = Effect::Follow {
        to: B,
        ring: RING,
        sender: A,
        record,
    };
    assert_eq!(world.effects(), [follow]);
    world.ok(B, FeedToBroker::Following { feed: FEED });
    assert_eq!(world.news(), of([(A, "Listen")]));
    world.ok(A, heard(FEED));
    let start = FeedToPlugin::Start {
        feed: FEED,
        position: 64,
        number: 3,
    };
    let subscribed = FeedToPlugin::Subscribed { request: 104 };
    let told = [start, subscribed].map(|record| Effect::Send(B, record.into()));
    assert_eq!(world.effects(), told);
    assert_eq!(world.bus.next_deadline(), None);
    world.ok(A, close(TOPIC));
    let told = of([(A, "(let go)"), (B, "Ended"), (A, "Answer")]);
    assert_eq!(world.news(), told);
}

/// Otherwise an event that is sent as soon as the program may send would not reach plugins that subscribed before.
#[test]
fn who_has_asked_before_is_set_up_first() {
    let mut world = World::events();
    world.ok(B, subscribe(4, TOPIC));
    world.ok(C, subscribe(5, "w."));
    assert_eq!(world.news(), of([(B, "Subscribed"), (C, "Subscribed")]));
    world.ok(A, offer_topic("w.x"));
    assert_eq!(world.news(), of([(C, "Found")]), "B has asked for another");
    world.ok(A, close("w.x"));
    world.effects();
    world.ok(A, offer_topic(TOPIC));
    assert_eq!(world.news(), of([(B, "Found")]));
    world.ok(C, subscribe(6, TOPIC));
    assert_eq!(world.news(), of([(C, "Found")]));
    let (of_b, of_c) = (world.feed_of(B, 4), world.feed_of(C, 6));
    world.ok(B, take(of_b, Encoding::Archive));
    world.ok(C, take(of_c, Encoding::Archive));
    assert_eq!(world.news(), of([(A, "MakeRing")]), "one for both");
    world.make_ring(A);
    assert_eq!(world.news(), of([(B, "Follow"), (C, "Follow")]));
    for (plugin, feed) in [(C, of_c), (B, of_b)] {
        world.ok(plugin, FeedToBroker::Following { feed });
        assert_eq!(world.news(), of([(A, "Listen")]));
    }
    world.ok(A, heard(of_c));
    let told = of([(C, "Start"), (C, "Subscribed")]);
    assert_eq!(world.news(), told, "that came later, and is not waited for");
    world.ok(A, heard(of_b));
    assert_eq!(world.news(), of([(B, "Start"), (A, "Offered")]));
    assert_eq!(world.bus.next_deadline(), None);
}

/// A listener that stands still must not keep a program from sending, nor other listeners from hearing it.
#[test]
fn an_offer_waits_a_steps_time_for_its_listeners() {
    let mut world = World::events();
    world.ok(B, subscribe(4, TOPIC));
    world.ok(A, offer_topic(TOPIC));
    assert_eq!(world.news(), of([(B, "Subscribed"), (B, "Found")]));
    assert_eq!(world.bus.next_deadline(), Some(world.now + STEP));
    world.now += STEP;
    world.bus.expire(world.now);
    assert_eq!(world.news(), of([(A, "Offered")]));
    // The late answer of that listener is accepted.
    let feed = world.feed_of(B, 4);
    world.set_up(feed);
    assert_eq!(world.progress(feed), Some(Progress::Started));
    assert_eq!(world.bus.next_deadline(), None);
}

/// `Subscribed` before the feeds have started would promise too much; but it must not wait for feeds that will never start.
#[test]
fn a_subscription_waits_for_what_was_there() {
    let mut world = World::events();
    for (plugin, topic) in [(A, "w.1"), (B, "w.2"), (A, "w.3")] {
        world.ok(plugin, offer_topic(topic));
    }
    world.effects();
    world.ok(C, subscribe(1, "w."));
    let found = |count| Vec::from_iter(std::iter::repeat_n((C, "Found".to_owned()), count));
    assert_eq!(world.news(), found(3));
    world.ok(B, offer_topic("w.4"));
    let feeds = Vec::from_iter(world.feeds_of(C, 1));
    assert_eq!(world.news(), found(1), "a later one");
    world.set_up(feeds[0]);
    assert!(!world.heard_of("Subscribed"));
    world.ok(C, FeedToBroker::Leave { feed: feeds[1] });
    assert_eq!(world.news(), of([]));
    world.ok(A, close("w.3"));
    let told = of([(C, "Ended"), (C, "Subscribed"), (A, "Answer")]);
    assert_eq!(world.news(), told);
    assert_eq!(world.feeds_of(C, 1).len(), 2);
}

/// A ring is made once for all listeners, and is not kept when there are none.
#[test]
fn a_ring_lasts_as_long_as_a_feed_reads_it() {
    let mut world = World::events();
    world.ok(A, offer_topic(TOPIC));
    let first = world.hears(B, 1, TOPIC);
    world.ok(C, subscribe(2, TOPIC));
    let second = world.feed_of(C, 2);
    world.effects();
    world.ok(C, take(second, Encoding::Archive));
    assert_eq!(world.news(), of([(C, "Follow")]), "it is there");
    world.ok(C, FeedToBroker::Following { feed: second });
    world.ok(A, heard(second));
    world.effects();
    world.ok(B, FeedToBroker::Leave { feed: first });
    assert_eq!(world.news(), of([(A, "Unlisten")]));
    assert_eq!(world.used(), (1, 1));
    world.ok(C, FeedToBroker::Unsubscribe { subscription: 2 });
    let told = of([(A, "Unlisten"), (A, "DropRing"), (A, "(let go)")]);
    assert_eq!(world.news(), told);
    assert_eq!(world.used(), (1, 1), "somebody may hold it");
    world.bus.extents_freed(&[1], world.now);
    assert_eq!(world.used(), (0, 0));
    // The next listener causes a new ring.
    world.hears(B, 3, TOPIC);
    assert_eq!(world.used(), (1, 1));
}

/// A plugin that takes and leaves feeds in a loop could fill the queue of a sender that stands still with descriptors.
#[test]
fn never_more_than_one_ring_is_on_its_way() {
    let mut world = World::events();
    world.ok(A, offer_topic(TOPIC));
    world.effects();
    for round in 0..10 {
        world.ok(B, subscribe(1, TOPIC));
        let feed = world.feed_of(B, 1);
        world.ok(B, take(feed, Encoding::Archive));
        let told = world.news();
        let makes = told.contains(&(A, "MakeRing".to_owned()));
        assert_eq!(makes, round == 0, "{told:?}");
        world.ok(B, FeedToBroker::Unsubscribe { subscription: 1 });
        assert_eq!(world.news(), of([]));
    }
    world.make_ring(A);
    assert_eq!(world.news(), of([(A, "DropRing"), (A, "(let go)")]));
    assert!(world.bus.rings.is_empty());
}

/// The same for listeners, each of which comes with three descriptors.
#[test]
fn few_listeners_are_told_at_once() {
    let mut world = World::events();
    world.ok(A, offer_topic(TOPIC));
    world.hears(C, 1, TOPIC);
    let mut told = 0;
    let mut feeds = Vec::new();
    for _ in 0..100 {
        world.ok(B, subscribe(1, TOPIC));
        let feed = world.feed_of(B, 1);
        world.ok(B, take(feed, Encoding::Archive));
        world.ok(B, FeedToBroker::Following { feed });
        let listens = world.listens();
        told += listens.len();
        feeds.extend(listens);
        world.ok(B, FeedToBroker::Unsubscribe { subscription: 1 });
        world.effects();
    }
    assert_eq!(told, 64);
    world.ok(B, subscribe(1, TOPIC));
    let last = world.feed_of(B, 1);
    world.ok(B, take(last, Encoding::Archive));
    world.ok(B, FeedToBroker::Following { feed: last });
    assert!(world.listens().is_empty());
    // All of these feeds have ended, and are still answered.
    world.ok(A, heard(feeds[0]));
    assert_eq!(world.listens(), [last]);
    world.ok(A, heard(last));
    assert_eq!(world.progress(last), Some(Progress::Started));
}

/// A sender that has closed a topic does not answer for its listeners any more; other listeners waited for that in vain.
#[test]
fn what_a_closed_source_was_told_is_not_waited_for() {
    let mut world = World::events();
    for topic in ["closed", "kept"] {
        world.ok(A, offer_topic(topic));
        world.hears(C, topic.len() as u32, topic);
    }
    for _ in 0..64 {
        world.ok(B, subscribe(1, "closed"));
        let feed = world.feed_of(B, 1);
        world.ok(B, take(feed, Encoding::Archive));
        world.ok(B, FeedToBroker::Following { feed });
        world.ok(B, FeedToBroker::Unsubscribe { subscription: 1 });
    }
    world.ok(B, subscribe(1, "kept"));
    let feed = world.feed_of(B, 1);
    world.ok(B, take(feed, Encoding::Archive));
    world.effects();
    world.ok(B, FeedToBroker::Following { feed });
    assert!(world.listens().is_empty());
    world.ok(A, close("closed"));
    assert_eq!(world.listens(), [feed]);
}

/// A history must not begin only with the first listener.
#[test]
fn a_source_with_history_has_its_ring_at_once_and_keeps_it() {
    let mut world = World::events();
    world.ok(A, with_history(TOPIC));
    let effects = world.effects();
    assert_eq!(short(&effects), of([(A, "MakeRing"), (A, "Offered")]));
    world.make_ring(A);
    let feed = world.hears(B, 1, TOPIC);
    world.ok(B, FeedToBroker::Leave { feed });
    assert_eq!(world.news(), of([(A, "Unlisten")]));
    assert_eq!(world.bus.rings.len(), 1);
    // Its JSON twin comes and goes with its listeners.
    world.ok(C, subscribe_in(1, TOPIC, Encodings::JSON));
    let feed = world.feed_of(C, 1);
    world.set_up_in(feed, Encoding::Json);
    assert_eq!((world.bus.rings.len(), world.used()), (2, (2, 2)));
    world.ok(C, FeedToBroker::Leave { feed });
    assert_eq!(world.bus.rings.len(), 1);
}

/// A source that takes only JSON has no archives to keep.
#[test]
fn a_history_is_kept_in_the_encoding_that_there_is() {
    let mut world = World::events();
    let mut offer = with_history(TOPIC);
    if let SourceToBroker::Offer { encodings, .. } = &mut offer {
        *encodings = Encodings::JSON;
    }
    world.ok(A, offer);
    let effects = world.effects();
    let ring = effects.iter().find_map(|effect| match effect {
        Effect::MakeRing {
            record: SourceToPlugin::MakeRing { encoding, len, .. },
            ..
        } => Some((*encoding, *len)),
        _ => None,
    });
    assert_eq!(ring, Some((Encoding::Json, (1 << 20) + 4096)));
}
