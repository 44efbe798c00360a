//! A plugin that dies or gives up, at whatever step, takes with it only what was its own.

use super::*;

/// The steps of a feed, from the subscription to its start.
const STEPS: usize = 6;

/// A world with A as the sender and B as the listener, in which B's feed has come to this step. From step 3 on, C is a listener, too.
fn at(step: usize) -> World {
    let mut world = World::events();
    world.ok(A, offer_topic(TOPIC));
    world.ok(B, subscribe(1, TOPIC));
    let steps: [fn(&mut World); STEPS - 1] = [
        |world| world.ok(B, take(FEED, Encoding::Archive)),
        |world| world.ok(A, SourceToBroker::RingMade { ring: RING }),
        |world| world.bus.memory_sealed(AnyMemory::Ring(RING), world.now),
        |world| world.ok(B, FeedToBroker::Following { feed: FEED }),
        |world| world.ok(A, heard(FEED)),
    ];
    for step in &steps[..step] {
        step(&mut world);
    }
    world.effects();
    world
}

/// Ends all plugins, and asserts that nothing is left: it would be left for ever.
fn assert_nothing_is_left(world: &mut World, what: &str) {
    for plugin in [A, B, C] {
        world.bus.remove(plugin, &gone(), world.now);
    }
    let effects = world.effects();
    let serials = effects.iter().filter_map(|effect| match effect {
        Effect::LetGo { serial, .. } => *serial,
        _ => None,
    });
    world.bus.extents_freed(&Vec::from_iter(serials), world.now);
    world.bus.extents_freed(&[1, 2, 3, 4], world.now);
    assert!(
        world.bus.topics.is_empty(),
        "{what}: {:?}",
        world.bus.topics
    );
    assert!(world.bus.rings.is_empty(), "{what}");
    assert_eq!(world.bus.charges.used(), 0, "{what}");
    assert_eq!(world.bus.next_deadline(), None, "{what}");
}

/// The end of a listener is told to the sender only if the sender was told of that listener.
#[test]
fn the_end_of_a_listener_is_told_to_who_knows_it() {
    type End = fn(&mut World);
    let ends: [(&str, End); 3] = [
        ("dies", |world| world.bus.remove(B, &gone(), world.now)),
        ("unsubscribes", |world| {
            world.ok(B, FeedToBroker::Unsubscribe { subscription: 1 });
        }),
        ("leaves", |world| {
            world.ok(B, FeedToBroker::Leave { feed: FEED });
        }),
    ];
    for (step, (what, end)) in (0..STEPS).flat_map(|step| ends.map(|end| (step, end))) {
        let mut world = at(step);
        end(&mut world);
        let mut told = world.news();
        // `Subscribed` says that B waits for no feed any more.
        told.retain(|(to, name)| (*to, name.as_str()) != (B, "Subscribed"));
        let unlisten = (step >= 4).then_some((A, "Unlisten"));
        let drops = [(A, "DropRing"), (A, "(let go)")].map(|drop| (step >= 3).then_some(drop));
        let expected = unlisten.into_iter().chain(drops.into_iter().flatten());
        let expected: Vec<_> = expected.map(|(to, name)| (to, name.to_owned())).collect();
        assert_eq!(told, expected, "{what} at {step}");
        assert_nothing_is_left(&mut world, what);
    }
}

/// The listener is told the reason, whatever it has mapped by then.
#[test]
fn the_end_of_a_sender_is_told_to_its_listeners() {
    type End = fn(&mut World);
    let ends: [(&str, End, &str); 2] = [
        (
            "dies",
            |world| world.bus.remove(A, &gone(), world.now),
            "killed",
        ),
        (
            "closes",
            |world| world.ok(A, close(TOPIC)),
            "no more events",
        ),
    ];
    for (step, (what, end, says)) in (0..STEPS).flat_map(|step| ends.map(|end| (step, end))) {
        let mut world = at(step);
        end(&mut world);
        let effects = world.effects();
        let ended = effects.iter().find_map(|effect| match effect {
            Effect::Send(B, ToPlugin::Feed(FeedToPlugin::Ended { feed, failure })) => {
                Some((*feed, failure))
            }
            _ => None,
        });
        let (feed, failure) = ended.expect("it is told");
        assert_eq!((feed, failure.code), (FEED, Code::ProviderGone as u16));
        assert!(failure.message.contains(says), "{failure:?}");
        assert!(failure.message.contains("`a`"), "{failure:?}");
        let told = short(&effects);
        let let_go = told.contains(&(A, "(let go)".into()));
        assert_eq!(let_go, step >= 1, "{what} at {step}: {told:?}");
        let subscribed = told.contains(&(B, "Subscribed".into()));
        assert_eq!(subscribed, step < 5, "{what} at {step}: {told:?}");
        let to_it = told
            .iter()
            .filter(|(to, name)| *to == A && name != "(let go)");
        let expected: &[&str] = if what == "closes" { &["Answer"] } else { &[] };
        assert_eq!(Vec::from_iter(to_it.map(|(_, name)| name)), expected);
        // The topic is offered again, and its source is found again.
        if what == "closes" {
            world.ok(A, offer_topic(TOPIC));
            assert_eq!(world.news(), of([(B, "Found")]));
        }
        assert_nothing_is_left(&mut world, what);
    }
}

/// Answers that were under way when the other side ended are accepted, and have no effect.
#[test]
fn answers_that_cross_with_an_end_cost_nothing() {
    for step in 0..STEPS - 1 {
        let mut world = at(step);
        match step {
            1 | 2 => world.ok(A, close(TOPIC)),
            0 | 3 => world.ok(A, close(TOPIC)),
            _ => world.ok(B, FeedToBroker::Unsubscribe { subscription: 1 }),
        }
        world.effects();
        let (from, record): (PluginId, ToBroker) = match step {
            0 => (B, take(FEED, Encoding::Archive).into()),
            1 => (A, SourceToBroker::RingMade { ring: RING }.into()),
            2 => {
                world.bus.memory_sealed(AnyMemory::Ring(RING), world.now);
                assert_eq!(world.news(), of([]));
                continue;
            }
            3 => (B, FeedToBroker::Following { feed: FEED }.into()),
            _ => (A, heard(FEED).into()),
        };
        let weight = world.bus.record(from, record, world.now);
        assert_eq!(weight, Ok(Weight::Expected), "{step}");
        assert_eq!(world.news(), of([]), "{step}");
        assert_nothing_is_left(&mut world, "crossed");
    }
}

/// A sender without memory for some of its listeners goes on for the others, and may get that memory later.
#[test]
fn a_ring_that_cannot_be_had_ends_its_feeds_alone() {
    type Fail = fn(&mut World);
    let fails: [(&str, Fail, &[&str]); 3] = [
        (
            "the sender",
            |world| {
                let failure = Failure::new(Code::Overloaded, "the cgroup is full");
                let ring = world.bus.rings.last_key_value().map(|(ring, _)| *ring);
                let ring = ring.expect("it is asked for");
                world.ok(A, SourceToBroker::RingFailed { ring, failure });
            },
            &["(let go)"],
        ),
        (
            "the broker, which cannot make it",
            |world| {
                let failure = Failure::new(Code::System, "the cgroup is full");
                let ring = world.bus.rings.last_key_value().map(|(ring, _)| *ring);
                let memory = AnyMemory::Ring(ring.expect("it is asked for"));
                world.bus.memory_not_made(A, memory, failure, world.now);
            },
            &[],
        ),
        (
            "the broker, which cannot seal it",
            |world| {
                let failure = Failure::new(Code::System, "the cgroup is full");
                let ring = world.bus.rings.last_key_value().map(|(ring, _)| *ring);
                let ring = ring.expect("it is asked for");
                world.ok(A, SourceToBroker::RingMade { ring });
                world
                    .bus
                    .memory_given_up(A, AnyMemory::Ring(ring), failure, world.now);
            },
            &["(seal)", "(let go)", "DropRing"],
        ),
    ];
    for (who, fail, to_sender) in fails {
        let mut world = World::events();
        world.ok(A, offer_topic(TOPIC));
        let kept = world.hears(C, 1, TOPIC);
        world.ok(B, subscribe_in(1, TOPIC, Encodings::JSON));
        let feed = world.feed_of(B, 1);
        world.ok(B, take(feed, Encoding::Json));
        world.effects();
        fail(&mut world);
        let effects = world.effects();
        let failure = effects.iter().find_map(|effect| match effect {
            Effect::Send(B, ToPlugin::Feed(FeedToPlugin::Ended { failure, .. })) => Some(failure),
            _ => None,
        });
        let failure = failure.expect("its feed has ended");
        assert!(failure.message.contains("cgroup is full"), "{failure:?}");
        let told = short(&effects);
        assert!(told.contains(&(B, "Subscribed".into())), "{who}: {told:?}");
        let to_it = told.iter().filter(|(to, _)| *to == A);
        assert_eq!(
            Vec::from_iter(to_it.map(|(_, name)| name)),
            to_sender,
            "{who}"
        );
        assert_eq!(world.progress(kept), Some(Progress::Started));
        // A new subscription makes the broker try again.
        world.ok(B, subscribe_in(2, TOPIC, Encodings::JSON));
        let feed = world.feed_of(B, 2);
        world.set_up_in(feed, Encoding::Json);
        assert_nothing_is_left(&mut world, who);
    }
}

/// A plugin that hears itself is on both sides of its feed.
#[test]
fn a_plugin_can_hear_itself_and_one_source_twice() {
    let mut world = World::events();
    world.ok(A, offer_topic(TOPIC));
    for number in [1, 2] {
        world.hears(A, number, TOPIC);
    }
    let cursors = [1, 2].map(|number| {
        let feed = world.feed_of(A, number);
        world.bus.topics.feed(feed).and_then(|feed| feed.cursor)
    });
    assert_eq!(cursors, [Some(0), Some(1)]);
    world.ok(A, FeedToBroker::Unsubscribe { subscription: 1 });
    assert_eq!(world.news(), of([(A, "Unlisten")]));
    assert_nothing_is_left(&mut world, "hears itself");
}
