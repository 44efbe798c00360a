//! Twins: versions as JSON, for users of another type.

use super::*;

/// A world in which A has made a share, and B uses it as another type.
fn differing() -> World {
    let mut world = World::shares();
    world.makes(A, 2);
    world.effects();
    world.ok(B, want_of(1, (TAG, 8), None));
    world.happens([(B, "1: has 1 with nothing, which differs")]);
    world
}

/// The maker writes the JSON of a version once for all users of another type.
#[test]
fn a_twin_serves_all_that_want_the_same_version() {
    let mut world = differing();
    world.ok(B, fetch(2, 1, Encoding::Json));
    world.happens([(A, "convert 2 as 3")]);
    world.ok(C, want_of(1, (TAG, 8), None));
    world.effects();
    world.ok(C, fetch(3, 1, Encoding::Json));
    world.happens([]);
    world.ok(A, ShareToBroker::Make { making: 3, len: 5 });
    world.happens([(A, "write 3 of 5")]);
    world.writes_all(A, 3);
    world.happens([(A, "seal 3"), (B, "2: version 3"), (C, "3: version 3")]);
    // A reader that keeps the twin must not use up its maker's limit.
    assert_eq!([A, B, C].map(|who| world.shares_mib(who)), [1, 1, 1]);
    world.ok(B, ShareToBroker::Done { version: 3 });
    assert_eq!(world.shares_mib(B), 0);
    world.happens([]);
    world.ok(B, fetch(4, 1, Encoding::Json));
    world.happens([(B, "4: version 3")]);
    for plugin in [B, C] {
        world.ok(plugin, ShareToBroker::Done { version: 3 });
    }
    world.happens([(PluginId(0), "let 3 go")]);
    assert_eq!(world.shares_mib(A), 1);
    world.ok(B, fetch(5, 1, Encoding::Json));
    world.happens([(A, "convert 2 as 4")]);
}

/// The maker must not be charged for the JSON of an old version that a reader keeps.
#[test]
fn a_twin_goes_the_way_of_its_version() {
    let mut world = differing();
    world.ok(B, fetch(2, 1, Encoding::Json));
    world.ok(A, ShareToBroker::Make { making: 3, len: 5 });
    world.writes_all(A, 3);
    world.publishes(A, 4);
    world.ok(A, ShareToBroker::Done { version: 2 });
    assert_eq!((world.shares_mib(A), world.shares_mib(B)), (1, 1));
    world.effects();
    world.ok(B, fetch(5, 1, Encoding::Json));
    world.happens([(A, "convert 4 as 5")]);
    world.ok(B, ShareToBroker::Done { version: 3 });
    world.happens([(PluginId(0), "let 3 go")]);
    assert_eq!(world.shares_mib(B), 0);
    // A twin that is ready only after its version was superseded goes to the plugins that wait for it, and is charged to them.
    world.ok(A, ShareToBroker::Make { making: 5, len: 5 });
    world.publishes(A, 6);
    world.ok(A, ShareToBroker::Done { version: 4 });
    world.effects();
    world.writes_all(A, 5);
    world.happens([(A, "seal 5"), (B, "5: version 5")]);
    assert_eq!((world.shares_mib(A), world.shares_mib(B)), (1, 1));
    world.ok(B, ShareToBroker::Done { version: 5 });
    world.happens([(PluginId(0), "let 5 go")]);
    assert_eq!(world.shares_mib(B), 0);
}

/// Plugins that wait for a twin that will not be made must be told, not wait until their deadline.
#[test]
fn who_waits_for_a_twin_that_cannot_be_is_told() {
    type Fails = fn(&mut World);
    let ways: [(Fails, &str); 4] = [
        (|world| world.ok(A, gave_up(3)), "2: SHARE_TYPE_MISMATCH"),
        (
            |world| {
                let gone = Failure::new(Code::ProviderGone, "killed");
                world.bus.remove(A, &gone, world.now);
            },
            "2: SHARE_TYPE_MISMATCH",
        ),
        (
            |world| {
                world.now += Duration::from_secs(30);
                world.bus.expire(world.now);
            },
            "2: TIMEOUT",
        ),
        (
            |world| {
                let len = 9 * MIB;
                world.ok(A, ShareToBroker::Make { making: 3, len });
            },
            "2: OVERLOADED",
        ),
    ];
    for (fails, told) in ways {
        let mut world = differing();
        world.ok(B, fetch(2, 1, Encoding::Json));
        world.effects();
        fails(&mut world);
        let effects = world.effects();
        let said: Vec<_> = effects.iter().filter_map(short).collect();
        assert!(said.contains(&(B, told.into())), "{told}: {said:?}");
    }
}

/// An archive, which only its maker can convert; the numbers of a slice any reader can convert.
fn archive(json: bool) -> Making {
    Making {
        form: Form::Archive,
        json,
        ..making(7)
    }
}

/// A plugin must not become a user of a share that it cannot read because no plugin can convert it.
#[test]
fn what_cannot_be_converted_is_refused() {
    let mut world = World::shares();
    world.ok(A, publish(1, archive(false), 1));
    world.writes_all(A, 1);
    world.effects();
    world.ok(B, want_of(1, (TAG, 8), None));
    world.happens([(B, "1: SHARE_TYPE_MISMATCH")]);
    let mut world = World::shares();
    world.ok(A, publish(1, archive(true), 1));
    world.writes_all(A, 1);
    world.ok(B, want_of(1, (TAG, 8), None));
    world.effects();
    let mut exact = want_of(1, (TAG, 8), None);
    if let ShareToBroker::Want { wanted, .. } = &mut exact {
        wanted.exact = true;
    }
    world.ok(C, exact);
    world.happens([(C, "1: SHARE_TYPE_MISMATCH")]);
    // A maker that has let go of its share cannot write it as JSON.
    world.ok(A, ShareToBroker::Relinquish { share: 2 });
    world.ok(C, want_of(1, (TAG, 8), None));
    world.ok(B, fetch(2, 2, Encoding::Json));
    world.happens([(C, "1: SHARE_TYPE_MISMATCH"), (B, "2: SHARE_TYPE_MISMATCH")]);
}

/// The numbers of a slice are converted by their reader, without the maker.
#[test]
fn a_slice_is_had_without_anybody_who_converts_it() {
    let mut world = differing();
    world.ok(A, ShareToBroker::Relinquish { share: 1 });
    world.ok(C, want_of(1, (TAG, 8), None));
    world.happens([(C, "1: has 1 with nothing, which differs")]);
    world.ok(C, fetch(2, 1, Encoding::Archive));
    world.happens([(C, "2: version 2")]);
}

/// A user needs the schema to compare the types, but must not get that of a share that it may not read.
#[test]
fn the_schema_of_a_share_is_sent_to_its_users() {
    let mut world = differing();
    let ask = |share, offset| ShareToBroker::FetchSchema {
        request: 4,
        share,
        schema: 1,
        offset,
    };
    world.ok(B, ask(1, 0));
    let part = world.effects().into_iter().find_map(|effect| match effect {
        Effect::Send(B, ToPlugin::Schema(SchemaToPlugin::Part { bytes, .. })) => Some(bytes),
        _ => None,
    });
    assert_eq!(part, Some(schema_of(7)));
    world.ok(B, ask(1, 99));
    world.ok(B, ask(9, 0));
    world.ok(C, ask(1, 0));
    world.happens([
        (B, "4: INVALID_ARGUMENT"),
        (B, "4: INVALID_ARGUMENT"),
        (C, "4: INVALID_ARGUMENT"),
    ]);
}

/// A twin that is finished after its share has ended must not cause a new page of the share, which would be left.
#[test]
fn a_twin_ends_with_its_share_even_where_its_version_has_gone() {
    let mut world = differing();
    world.ok(B, fetch(2, 1, Encoding::Json));
    world.ok(C, publish(3, making(7), 1));
    world.ok(A, ShareToBroker::Relinquish { share: 1 });
    world.ok(B, ShareToBroker::Relinquish { share: 1 });
    world.writes_all(C, 4);
    world.effects();
    world.ok(C, ShareToBroker::Relinquish { share: 1 });
    world.happens([
        (PluginId(0), "end of 1"),
        (A, "3 dropped: CANCELLED"),
        (B, "2: CANCELLED"),
        (PluginId(0), "let 4 go"),
    ]);
    world.ok(A, ShareToBroker::Make { making: 3, len: 1 });
    world.happens([]);
}

impl World {
    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.bus.expire(self.now);
    }

    /// B and C use what A has made, as another type. B has had it converted, which took a second, and has let go of the twin.
    fn converted() -> World {
        let mut world = differing();
        world.ok(C, want_of(1, (TAG, 8), None));
        world.ok(B, fetch(2, 1, Encoding::Json));
        world.passes(Duration::from_secs(1));
        world.ok(A, ShareToBroker::Make { making: 3, len: 5 });
        world.writes_all(A, 3);
        world.ok(B, ShareToBroker::Done { version: 3 });
        world.effects();
        world
    }
}

/// A plugin that reads the twin again and again, and lets it go each time, would have the maker do nothing but write it, at one request
/// each.
#[test]
fn a_maker_rests_before_it_writes_the_same_again() {
    let mut world = World::converted();
    world.ok(B, fetch(3, 1, Encoding::Json));
    world.passes(Duration::from_millis(3900));
    world.happens([]);
    // If the maker gives up, that counts as work, too.
    world.passes(Duration::from_millis(100));
    world.happens([(A, "convert 2 as 4")]);
    world.passes(Duration::from_secs(2));
    world.ok(A, gave_up(4));
    world.happens([(B, "3: SHARE_TYPE_MISMATCH")]);
    world.ok(B, fetch(4, 1, Encoding::Json));
    world.passes(Duration::from_millis(7900));
    world.happens([]);
    world.passes(Duration::from_millis(100));
    world.happens([(A, "convert 2 as 5")]);
}

/// Readers that ask for the first time must not wait because of what others have done.
#[test]
fn who_asks_for_the_first_time_waits_for_no_rest() {
    let mut world = World::converted();
    world.ok(C, fetch(2, 1, Encoding::Json));
    world.happens([(A, "convert 2 as 4")]);
    let mut world = World::converted();
    world.ok(B, fetch(3, 1, Encoding::Json));
    world.happens([]);
    world.ok(C, fetch(2, 1, Encoding::Json));
    world.happens([(A, "convert 2 as 4")]);
    world.ok(A, ShareToBroker::Make { making: 4, len: 5 });
    world.effects();
    world.writes_all(A, 4);
    world.happens([(A, "seal 4"), (B, "3: version 4"), (C, "2: version 4")]);
}

/// After a rest, the version may have been superseded, or its maker may have let go of it.
#[test]
fn after_a_rest_the_newest_version_is_converted() {
    let mut world = World::converted();
    world.ok(B, fetch(3, 1, Encoding::Json));
    world.publishes(A, 5);
    world.effects();
    world.passes(Duration::from_secs(4));
    world.happens([(A, "convert 5 as 6")]);
    let mut world = World::converted();
    world.ok(B, fetch(3, 1, Encoding::Json));
    world.ok(A, ShareToBroker::Relinquish { share: 1 });
    world.passes(Duration::from_secs(4));
    world.happens([(B, "3: SHARE_TYPE_MISMATCH")]);
    // Nobody waits any more, or the share has ended: the maker is not asked at all.
    let mut world = World::converted();
    world.ok(B, fetch(3, 1, Encoding::Json));
    let gone = Failure::new(Code::ProviderGone, "killed");
    world.bus.remove(B, &gone, world.now);
    world.effects();
    world.passes(Duration::from_secs(4));
    world.happens([]);
    let mut world = World::converted();
    world.ok(B, fetch(3, 1, Encoding::Json));
    for plugin in [A, B, C] {
        world.ok(plugin, ShareToBroker::Relinquish { share: 1 });
    }
    world.happens([
        (PluginId(0), "end of 1"),
        (B, "3: CANCELLED"),
        (PluginId(0), "let 2 go"),
    ]);
}
