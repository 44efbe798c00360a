//! Which plugin is charged for which memory, and until when.

use super::*;

/// A reader that stands still must not use up its maker's limit.
#[test]
fn a_superseded_version_is_charged_to_those_that_have_it() {
    let mut world = World::shares();
    world.makes(A, 2);
    world.ok(B, want(1, None));
    assert_eq!((world.shares_mib(A), world.shares_mib(B)), (1, 0));
    world.publishes(A, 3);
    assert_eq!(
        (world.shares_mib(A), world.shares_mib(B)),
        (2, 1),
        "A has both, too"
    );
    world.ok(A, ShareToBroker::Done { version: 2 });
    assert_eq!((world.shares_mib(A), world.shares_mib(B)), (1, 1));
    assert_eq!(world.bus.shares.bus.used(), 2);
    world.ok(B, ShareToBroker::Done { version: 2 });
    assert_eq!((world.shares_mib(A), world.shares_mib(B)), (1, 0));
    assert_eq!(world.bus.shares.bus.used(), 2, "somebody may hold it still");
    world.all_freed();
    assert_eq!(world.bus.shares.bus.used(), 1);
    world.ok(B, ShareToBroker::Done { version: 2 });
    assert_eq!(world.shares_mib(B), 0, "once is enough");
}

/// A reader that lets nothing go would end up with all memory of the bus.
#[test]
fn who_keeps_too_much_is_sent_nothing_more() {
    let mut world = World::shares();
    world.bus.members.get_mut(&B).unwrap().share_mib = Quota::new(2);
    world.makes(A, 2);
    world.ok(B, want(1, None));
    let mut newest = 2;
    for kept in 1..=3 {
        newest += 1;
        world.publishes(A, newest);
        world.ok(
            A,
            ShareToBroker::Done {
                version: newest - 1,
            },
        );
        world.effects();
        assert_eq!(world.shares_mib(B), kept);
        world.ok(B, fetch(5, 1, Encoding::Archive));
        match kept {
            3 => world.happens([(B, "5: OVERLOADED")]),
            _ => world.happens([(B, &*format!("5: version {newest}"))]),
        }
    }
    world.ok(B, ShareToBroker::Done { version: 2 });
    world.effects();
    world.ok(B, fetch(6, 1, Encoding::Archive));
    world.happens([(B, "6: version 5")]);
}

/// The limits of one plugin, and of all together; the failures name them.
#[test]
fn each_limit_is_said() {
    let mut world = World::shares();
    world.bus.limit_shares(10);
    world.ok(A, publish(1, making(7), 7 * MIB));
    world.writes_all(A, 1);
    world.effects();
    let refusal = |world: &mut World, from: PluginId, len: u64| {
        world.ok(from, publish(2, making(7), len));
        let effects = world.effects();
        let answer = effects.into_iter().find_map(|effect| match effect {
            Effect::Send(_, ToPlugin::Session(SessionToPlugin::Answer { failure, .. })) => failure,
            _ => None,
        });
        answer.expect("a refusal").message
    };
    let message = refusal(&mut world, A, 2 * MIB);
    assert!(
        message.contains("8 MiB that this plugin may have"),
        "{message}"
    );
    let message = refusal(&mut world, B, 4 * MIB);
    assert!(message.contains("10 MiB that all plugins"), "{message}");
    let message = refusal(&mut world, C, u64::MAX);
    assert!(
        message.contains("8 MiB that this plugin may have"),
        "{message}"
    );
    assert_eq!(
        (world.shares_mib(B), world.shares_mib(C)),
        (0, 0),
        "what was refused takes nothing"
    );
    for request in 0..8 {
        let tag = format!("t{request}");
        world.ok(
            C,
            ShareToBroker::Watch {
                request,
                tag,
                seen: None,
            },
        );
    }
    world.effects();
    world.ok(C, want(9, None));
    world.happens([(C, "9: OVERLOADED")]);
    world.ok(C, ShareToBroker::Unwatch { request: 3 });
    world.ok(C, want(9, None));
    world.happens([(C, "9: has 2 with 1")]);
}

/// A plugin that lets go of the newest version and fetches it again could do so for ever.
#[test]
fn what_was_let_go_is_fetched_anew_at_a_charge() {
    let mut world = World::shares();
    world.makes(A, 2);
    world.ok(B, want(1, None));
    world.publishes(A, 3);
    for expected in [Weight::Expected, Weight::Charged, Weight::Charged] {
        let record = fetch(2, 1, Encoding::Archive);
        let weight = world.bus.record(B, record.into(), world.now);
        assert_eq!(weight.expect("no offence"), expected);
        world.ok(B, ShareToBroker::Done { version: 3 });
    }
}

/// A plugin that follows a share which others publish often would lose its session for its many requests.
#[test]
fn news_is_not_charged_and_the_same_again_is() {
    let mut world = World::shares();
    world.makes(A, 2);
    world.effects();
    let weigh = |world: &mut World, record: ShareToBroker| {
        world
            .bus
            .record(B, record.into(), world.now)
            .expect("no offence")
    };
    assert_eq!(weigh(&mut world, want(1, None)), Weight::Charged);
    assert_eq!(
        weigh(&mut world, fetch(2, 1, Encoding::Archive)),
        Weight::Charged
    );
    world.publishes(A, 3);
    assert_eq!(
        weigh(&mut world, fetch(2, 1, Encoding::Archive)),
        Weight::Expected
    );
    assert_eq!(
        weigh(&mut world, fetch(2, 1, Encoding::Archive)),
        Weight::Charged
    );
    assert_eq!(weigh(&mut world, watch(3, None)), Weight::Charged);
    assert_eq!(
        weigh(&mut world, watch(3, None)),
        Weight::Expected,
        "it was told"
    );
    // There were two versions: a plugin that says again and again that it has seen none is told no news.
    assert_eq!(weigh(&mut world, watch(3, None)), Weight::Expected);
    assert_eq!(weigh(&mut world, watch(3, None)), Weight::Charged);
    assert_eq!(weigh(&mut world, watch(3, None)), Weight::Charged);
    assert_eq!(
        weigh(&mut world, ShareToBroker::Done { version: 2 }),
        Weight::Expected
    );
    assert_eq!(
        weigh(&mut world, ShareToBroker::Done { version: 2 }),
        Weight::Charged
    );
    assert_eq!(
        weigh(&mut world, ShareToBroker::Relinquish { share: 1 }),
        Weight::Expected
    );
    assert_eq!(
        weigh(&mut world, ShareToBroker::Relinquish { share: 1 }),
        Weight::Charged
    );
    for request in [2, 3, 77] {
        assert_eq!(
            weigh(&mut world, ShareToBroker::Forgo { request }),
            Weight::Charged
        );
        assert_eq!(
            weigh(&mut world, ShareToBroker::Unwatch { request }),
            Weight::Charged
        );
    }
}

/// Versions that others publish meanwhile can supersede the ones that the maker holds, so that it holds too much. Its own version was then
/// registered and everybody was told of it, but the maker was told that there was none.
#[test]
fn a_maker_has_what_it_has_made_however_much_it_holds() {
    let mut world = World::shares();
    world.bus.members.get_mut(&A).unwrap().share_mib = Quota::new(2);
    world.makes(B, 2);
    world.ok(A, want(1, None));
    world.ok(A, publish(2, making(7), 2 * MIB));
    world.publishes(B, 4);
    world.effects();
    assert_eq!(
        world.shares_mib(A),
        3,
        "it keeps a version that was superseded"
    );
    world.writes_all(A, 3);
    world.happens([
        (A, "seal 3"),
        (PluginId(0), "1 is at 3"),
        (A, "2: has 1 with 3"),
    ]);
    world.ok(A, publish(5, making(7), 1));
    world.happens([(A, "5: OVERLOADED")]);
}
