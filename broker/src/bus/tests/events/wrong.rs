//! Records about events that no plugin sends that keeps to the protocol, and the limits.

use super::*;
use crate::policy::Policy;

type Step = fn(&mut World);

/// A world for each stage of a feed.
fn stages() -> Vec<(&'static str, World)> {
    let mut worlds = Vec::new();
    let begin = || {
        let mut world = World::events();
        world.ok(A, offer_topic(TOPIC));
        world.ok(B, subscribe(1, TOPIC));
        world
    };
    let steps: [(&str, Step); 6] = [
        ("found", |_| {}),
        ("taken", |world| world.ok(B, take(FEED, Encoding::Archive))),
        ("made", |world| {
            world.ok(A, SourceToBroker::RingMade { ring: RING });
        }),
        ("followed", |world| {
            world.bus.memory_sealed(AnyMemory::Ring(RING), world.now);
        }),
        ("mapped", |world| {
            world.ok(B, FeedToBroker::Following { feed: FEED });
        }),
        ("started", |world| world.ok(A, heard(FEED))),
    ];
    for last in 0..steps.len() {
        let mut world = begin();
        for (_, step) in &steps[..=last] {
            step(&mut world);
        }
        world.effects();
        worlds.push((steps[last].0, world));
    }
    worlds
}

fn listen_failed(feed: u64) -> SourceToBroker {
    let failure = Failure::new(Code::System, "no");
    SourceToBroker::ListenFailed { feed, failure }
}

fn ring_failed() -> SourceToBroker {
    SourceToBroker::RingFailed {
        ring: RING,
        failure: Failure::new(Code::System, "no"),
    }
}

/// An answer that is accepted at the wrong step would skip one: memory would be read before it is sealed, or a feed would start before its
/// source knows of it.
#[test]
fn only_what_is_asked_is_answered() {
    let archive = Encoding::Archive;
    let answers: [(&str, PluginId, ToBroker, &[&str]); 8] = [
        ("take", B, take(FEED, archive).into(), &["found"]),
        ("take as JSON", B, take(FEED, Encoding::Json).into(), &[]),
        (
            "made",
            A,
            SourceToBroker::RingMade { ring: RING }.into(),
            &["taken"],
        ),
        ("failed", A, ring_failed().into(), &["taken"]),
        (
            "following",
            B,
            FeedToBroker::Following { feed: FEED }.into(),
            &["followed"],
        ),
        (
            "follow failed",
            B,
            FeedToBroker::FollowFailed { feed: FEED }.into(),
            &["followed"],
        ),
        ("heard", A, heard(FEED).into(), &["mapped"]),
        ("listen failed", A, listen_failed(FEED).into(), &["mapped"]),
    ];
    for (what, from, record, may) in answers {
        for (stage, mut world) in stages() {
            let is_ring = matches!(what, "made" | "failed");
            if is_ring && stage == "found" {
                // Nothing has this number yet.
                assert_eq!(world.code_of(from, record.clone()), Some(Code::Protocol));
                continue;
            }
            let code = world.code_of(from, record.clone());
            let expected = (!may.contains(&stage)).then_some(Code::Protocol);
            assert_eq!(code, expected, "{what} when {stage}");
        }
        for (stage, mut world) in stages() {
            let code = world.code_of(C, record.clone());
            assert_eq!(
                code,
                Some(Code::Protocol),
                "{what} by another, when {stage}"
            );
        }
    }
}

/// A plugin must not name the feeds and rings of others, or ones that never existed.
#[test]
fn feeds_and_rings_of_others_and_of_nobody_break_the_protocol() {
    for (stage, mut world) in stages() {
        let leave = FeedToBroker::Leave { feed: FEED };
        assert_eq!(world.code_of(C, leave), Some(Code::Protocol), "{stage}");
    }
    for number in [0, 99] {
        let records: [ToBroker; 8] = [
            take(number, Encoding::Archive).into(),
            FeedToBroker::Leave { feed: number }.into(),
            FeedToBroker::Following { feed: number }.into(),
            FeedToBroker::FollowFailed { feed: number }.into(),
            heard(number).into(),
            listen_failed(number).into(),
            SourceToBroker::RingMade { ring: number }.into(),
            SourceToBroker::RingFailed {
                ring: number,
                failure: Failure::new(Code::System, "no"),
            }
            .into(),
        ];
        for record in records {
            let (_, mut world) = stages().remove(4);
            let text = format!("{record:?}");
            assert_eq!(world.code_of(A, record), Some(Code::Protocol), "{text}");
        }
    }
}

/// Two subscriptions under the same number could not be told apart.
#[test]
fn a_number_is_used_once() {
    let mut world = World::events();
    world.ok(B, subscribe(1, "x"));
    let code = world.code_of(B, subscribe(1, "y"));
    assert_eq!(code, Some(Code::Protocol));
    world.ok(C, subscribe(1, "x"));
    // The number can be used again when it is free. Ending a subscription twice does no harm.
    for _ in 0..2 {
        world.ok(B, FeedToBroker::Unsubscribe { subscription: 1 });
    }
    world.ok(B, subscribe(1, "y"));
}

/// Feeds that others end in a loop must not use up the rate of a plugin that only answers; but answers without a question are charged.
#[test]
fn answers_are_free_and_floods_are_charged() {
    let mut world = World::events();
    let weight = |world: &mut World, from, record: ToBroker| {
        let weight = world.bus.record(from, record, world.now);
        weight.expect("it is taken")
    };
    world.ok(B, subscribe(1, TOPIC));
    for round in 0..100 {
        world.ok(A, offer_topic(TOPIC));
        let feed = world.feed_of(B, 1);
        world.ok(A, close(TOPIC));
        let leave = FeedToBroker::Leave { feed };
        let free = weight(&mut world, B, leave.into());
        assert_eq!(free, Weight::Expected, "{round}");
        world.effects();
    }
    world.ok(A, offer_topic(TOPIC));
    let feed = world.feed_of(B, 1);
    world.set_up(feed);
    world.ok(A, close(TOPIC));
    let left = |world: &mut World| {
        let leave = FeedToBroker::Leave { feed };
        weight(world, B, leave.into())
    };
    // It was told `Found`, `Follow` and `Start`, and has answered two of these.
    assert_eq!(left(&mut world), Weight::Expected);
    assert_eq!(left(&mut world), Weight::Charged);
    // These are requests.
    let charged: [(PluginId, ToBroker); 4] = [
        (A, offer_topic("x").into()),
        (A, close("x").into()),
        (B, FeedToBroker::Unsubscribe { subscription: 1 }.into()),
        (B, FeedToBroker::Unsubscribe { subscription: 9 }.into()),
    ];
    for (from, record) in charged {
        let text = format!("{record:?}");
        assert_eq!(weight(&mut world, from, record), Weight::Charged, "{text}");
    }
    // Subscriptions count like open gates: the first one on each place is free, as those are with which a plugin comes back.
    for (number, expected) in [(1, Weight::Charged), (2, Weight::Expected)] {
        let record = subscribe(number, "x").into();
        assert_eq!(weight(&mut world, B, record), expected, "{number}");
    }
    for round in 0..9 {
        let back = weight(&mut world, C, offer_again(round, "y").into());
        let expected = if round < 8 {
            Weight::Expected
        } else {
            Weight::Charged
        };
        assert_eq!(back, expected, "{round}");
    }
}

/// The memory of rings and the number of feeds are limited.
#[test]
fn each_plugin_has_so_much() {
    let mut world = World::events();
    // The limit is eight MiB, which a ring of 16 MiB exceeds.
    for (name, mib) in [("big", 8), ("huge", 16)] {
        let mut offer = with_history(name);
        if let SourceToBroker::Offer { capacity, .. } = &mut offer {
            *capacity = mib << 20;
        }
        world.ok(A, offer);
        let refusal = world.refused_with();
        assert_eq!(refusal.is_some(), name == "huge", "{refusal:?}");
        if let Some(refusal) = refusal {
            assert_eq!(refusal.code, Code::Overloaded as u16);
            assert!(refusal.message.contains("8 MiB"), "{refusal:?}");
        }
    }
    assert_eq!(world.used(), (8, 8));
    world.ok(A, offer_topic("n"));
    world.ok(B, subscribe(1, "n"));
    let feed = world.feed_of(B, 1);
    world.effects();
    world.ok(B, take(feed, Encoding::Archive));
    assert_eq!(world.news(), of([(B, "Ended"), (B, "Subscribed")]));
    // A subscription takes a place of an open gate.
    for number in 2..9 {
        world.ok(B, subscribe(number, "m"));
    }
    world.effects();
    world.ok(B, subscribe(9, "m"));
    assert_eq!(world.refused(), Some(Code::Overloaded));
    world.open(B, 1, "g");
    assert!(world.heard_of("OpenFailed"));
    world.ok(B, FeedToBroker::Unsubscribe { subscription: 2 });
    world.open(B, 1, "g");
    assert!(!world.heard_of("OpenFailed"));
}

/// A plugin that subscribes to everything and answers nothing would fill the broker's memory.
#[test]
fn a_plugin_has_so_many_feeds_however_far_they_are() {
    let mut world = World::events();
    let policy = Policy::new().opens(2000).subscribe("*");
    world.bus.set_policy("d", Some(policy), world.now);
    let (sender, listener) = (A, PluginId(4));
    world.join(listener, "d");
    for name in ["p.1", "p.2", "p.3", "p.4", "p.5"] {
        world.ok(sender, offer_topic(name));
    }
    for number in 0..819 {
        world.ok(listener, subscribe(number, "p."));
    }
    world.effects();
    world.ok(listener, subscribe(900, "p."));
    let told = world.news();
    let count = |what: &str| told.iter().filter(|(_, name)| name == what).count();
    assert_eq!((count("Found"), count("Ended")), (5, 4), "{told:?}");
    // A feed that ends makes room for another.
    world.ok(listener, FeedToBroker::Unsubscribe { subscription: 7 });
    world.ok(listener, subscribe(901, "p."));
    let told = world.news();
    assert!(told.iter().all(|(_, name)| name == "Found"), "{told:?}");
}

/// A sender that keeps the kernel from sealing its ring would keep its listeners waiting, and a thread of the broker busy.
#[test]
fn who_never_lets_its_ring_be_sealed_loses_its_session() {
    let (_, mut world) = stages().remove(2);
    assert_eq!(world.bus.next_deadline(), Some(world.now + STEP * 5));
    world.now += STEP * 5;
    world.bus.expire(world.now);
    let effects = world.effects();
    let [Effect::End(A, failure)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(failure.code, Code::Timeout as u16);
    assert!(failure.message.contains("be sealed"), "{failure:?}");
}

/// A plugin that only stands still does not lose its session.
#[test]
fn nobody_is_sent_away_for_being_slow() {
    for (stage, world) in stages() {
        if stage != "made" {
            assert_eq!(world.bus.next_deadline(), None, "{stage}");
        }
    }
}

/// How types compare, and what can be taken then.
#[test]
fn a_source_is_found_with_how_it_fits() {
    let json = Encoding::Json;
    type Change = fn(&mut Shape);
    let cases: [(&str, Change, Option<Encoding>); 5] = [
        ("same", |_| {}, Some(Encoding::Archive)),
        (
            "JSON",
            |shape| shape.encodings = Encodings::JSON,
            Some(json),
        ),
        ("differs", |shape| shape.fingerprint = 1, Some(json)),
        (
            "no way",
            |shape| (shape.fingerprint, shape.encodings) = (1, Encodings::ARCHIVE),
            None,
        ),
        ("longer", |shape| shape.params = Some(3), None),
    ];
    for (what, change, may) in cases {
        for encoding in [Encoding::Archive, json] {
            let mut world = World::events();
            world.ok(A, offer_topic(TOPIC));
            world.effects();
            let mut wanted = subscribe(1, TOPIC);
            if let FeedToBroker::Subscribe { shape, .. } = &mut wanted {
                change(shape);
            }
            world.ok(B, wanted);
            let effects = world.effects();
            let [Effect::Send(B, ToPlugin::Feed(FeedToPlugin::Found { fit, peer, .. }))] =
                effects.as_slice()
            else {
                panic!("{effects:?}");
            };
            assert_eq!((peer.plugin, peer.pid), (1, 1));
            assert_eq!(peer.identity.name, "a");
            check_fit(&mut world, what, fit);
            let code = world.code_of(B, take(FEED, encoding));
            let expected = (may != Some(encoding)).then_some(Code::Protocol);
            assert_eq!(code, expected, "{what} as {encoding:?}");
        }
    }
}

fn check_fit(world: &mut World, what: &str, fit: &Fit) {
    match (what, fit) {
        ("same" | "JSON", Fit::Same { .. }) => {}
        ("differs" | "no way", Fit::Differs { schema, json }) => {
            assert_eq!(*json, what == "differs");
            let fetch = |schema, offset| FeedToBroker::Fetch {
                request: 9,
                feed: FEED,
                schema,
                offset,
            };
            let schema = *schema;
            let weight = world.bus.record(B, fetch(schema, 0).into(), world.now);
            assert_eq!(weight, Ok(Weight::Expected), "it was told of it");
            let effects = world.effects();
            let [Effect::Send(B, ToPlugin::Schema(SchemaToPlugin::Part { total, bytes, .. }))] =
                effects.as_slice()
            else {
                panic!("{effects:?}");
            };
            assert_eq!((*total as usize, &**bytes), (bytes.len(), &*schema_of(7)));
            let weight = world.bus.record(B, fetch(schema + 1, 0).into(), world.now);
            assert_eq!(weight, Ok(Weight::Charged));
            assert_eq!(world.refused(), Some(Code::InvalidArgument));
            world.ok(B, fetch(schema, *total));
            assert_eq!(world.refused(), Some(Code::InvalidArgument));
            world.ok(C, fetch(schema, 0));
            assert_eq!(world.refused(), Some(Code::NotReady), "not its feed");
        }
        ("longer", Fit::Unfit { failure }) => {
            assert_eq!(failure.code, Code::LengthMismatch as u16);
            let both = failure.message.matches("(u8)").count();
            assert_eq!(both, 2, "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
}
