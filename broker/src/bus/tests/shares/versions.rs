//! Versions: published, superseded, watched, returned.

use callgate_layout::control::CellToBroker;

use super::*;

/// The name of the newest version of the share.
fn newest(world: &World) -> VersionName {
    let share = world.bus.shares.found(TAG).expect("it is there");
    world.bus.shares.newest(share).expect("it is there").1.name
}

/// A reader must be told of a newer version, and must not lose the one that it reads.
#[test]
fn a_new_version_is_told_and_the_old_one_stays() {
    let mut world = World::shares();
    world.ok(C, watch(8, None));
    world.makes(A, 2);
    let first = newest(&world);
    world.ok(B, want(1, None));
    world.effects();
    world.ok(C, watch(9, Some(first)));
    world.publishes(A, 3);
    let second = newest(&world);
    assert_eq!((second.incarnation, second.number), (first.incarnation, 2));
    world.happens([
        (A, "write 3 of 1048576"),
        (A, "seal 3"),
        (PluginId(0), "1 is at 2"),
        (A, "9: has 1 with 3"),
        (C, "9: changed to Some(2)"),
    ]);
    world.ok(B, fetch(4, 1, Encoding::Archive));
    world.happens([(B, "4: version 3")]);
    for plugin in [A, B] {
        world.ok(plugin, ShareToBroker::Done { version: 2 });
    }
    world.happens([(PluginId(0), "let 2 go")]);
    // A watch is answered once; the end of the share is a new change.
    world.ok(C, watch(10, Some(first)));
    world.happens([(C, "10: changed to Some(2)")]);
    world.ok(C, watch(11, Some(second)));
    world.ok(C, watch(12, Some(second)));
    world.ok(C, ShareToBroker::Unwatch { request: 12 });
    for plugin in [A, B] {
        world.ok(plugin, ShareToBroker::Relinquish { share: 1 });
    }
    world.happens([
        (PluginId(0), "end of 1"),
        (PluginId(0), "let 3 go"),
        (C, "11: changed to None"),
    ]);
}

/// Two makers must not get the same number, and none of their versions may be lost.
#[test]
fn two_makers_publish_one_after_the_other() {
    let mut world = World::shares();
    world.makes(A, 2);
    world.ok(A, publish(5, making(7), 1));
    world.ok(B, publish(5, making(7), 1));
    world.effects();
    world.ok(A, publish(6, making(7), 1));
    world.happens([(A, "6: INVALID_ARGUMENT")]);
    world.writes_all(B, 4);
    assert_eq!(newest(&world).number, 2);
    world.writes_all(A, 3);
    assert_eq!(newest(&world).number, 3);
    world.effects();
    world.ok(C, want(1, None));
    world.happens([(C, "1: has 1 with 3")]);
}

/// A reader could otherwise take one type for another.
#[test]
fn each_version_has_the_type_of_the_first_one() {
    let mut world = World::shares();
    world.makes(A, 2);
    world.effects();
    world.ok(B, publish(5, making(8), 1));
    let archive = Making {
        form: Form::Archive,
        ..making(7)
    };
    world.ok(B, publish(6, archive, 1));
    world.happens([(B, "5: SHARE_TYPE_MISMATCH"), (B, "6: SHARE_TYPE_MISMATCH")]);
    // Also if the version of another type is registered first, although it was published later.
    let mut world = World::shares();
    world.ok(A, publish(5, making(7), 1));
    world.ok(B, publish(5, making(8), 1));
    world.effects();
    world.writes_all(B, 3);
    world.effects();
    world.writes_all(A, 1);
    world.happens([
        (A, "seal 1"),
        (PluginId(0), "let 1 go"),
        (PluginId(0), "end of 2"),
        (A, "1 dropped: SHARE_TYPE_MISMATCH"),
    ]);
}

/// While a version is being published its share must not end: its numbers would begin anew.
#[test]
fn a_publication_keeps_its_share() {
    let mut world = World::shares();
    world.makes(A, 2);
    world.ok(A, publish(5, making(7), 1));
    world.ok(A, ShareToBroker::Relinquish { share: 1 });
    assert!(
        !world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::EndShare(_)))
    );
    world.writes_all(A, 3);
    assert_eq!(newest(&world).number, 2);
    world.effects();
    world.ok(A, publish(6, making(7), 1));
    world.ok(A, ShareToBroker::Relinquish { share: 1 });
    world.effects();
    world.ok(A, gave_up(4));
    world.happens([
        (PluginId(0), "let 4 go"),
        (PluginId(0), "end of 1"),
        (PluginId(0), "let 3 go"),
    ]);
    world.bus.extents_freed(&[1, 2, 3], world.now);
    assert!(world.bus.shares.is_empty(), "{:?}", world.bus.shares);
}

fn returns(request: u32, number: u64, len: u64) -> ShareToBroker {
    ShareToBroker::Return {
        request,
        tag: TAG.into(),
        make: making(7),
        name: VersionName {
            incarnation: 99,
            number,
        },
        len,
    }
}

/// Otherwise users would have to fetch again, or lose, what they had of an earlier broker.
#[test]
fn what_is_returned_keeps_its_name() {
    let mut world = World::shares();
    world.ok(A, returns(5, 3, MIB));
    world.happens([(A, "keep 1"), (A, "examine 1")]);
    assert_eq!(world.shares_mib(A), 1);
    world.sealed(1);
    world.happens([(PluginId(0), "2 is at 3"), (A, "5: has 2 with nothing")]);
    let mut had = want(6, None);
    if let ShareToBroker::Want { had, .. } = &mut had {
        *had = Some(newest(&world));
    }
    world.ok(B, had);
    world.ok(C, want(7, None));
    world.happens([(B, "6: has 2 with nothing"), (C, "7: has 2 with 1")]);
    world.publishes(A, 3);
    assert_eq!(
        newest(&world),
        VersionName {
            incarnation: 99,
            number: 4
        }
    );
    assert_eq!(
        (world.shares_mib(B), world.shares_mib(C)),
        (1, 1),
        "both hold the old one"
    );
    world.effects();
    world.ok(B, returns(8, 9, MIB));
    world.happens([(B, "8: ALREADY_PROVIDED")]);
}

/// A plugin must not be able to make the broker take any file for a share.
#[test]
fn what_cannot_be_returned_is_refused() {
    let mut world = World::shares();
    for (number, len) in [(0, 1), (1, 0), (u64::MAX, 1), (1 << 62, 1)] {
        world.ok(A, returns(1, number, len));
        world.happens([(A, "1: INVALID_ARGUMENT")]);
    }
    world.ok(A, returns(1, 1, 9 * MIB));
    world.happens([(A, "1: OVERLOADED")]);
    world.ok(A, returns(2, 1, 1));
    world.effects();
    let failure = Failure::new(Code::Protocol, "it is a pipe");
    world
        .bus
        .memory_given_up(A, AnyMemory::Version(1), failure, world.now);
    world.happens([
        (PluginId(0), "let 1 go"),
        (PluginId(0), "end of 2"),
        (A, "2: PROTOCOL"),
    ]);
    // The version that was registered first stays, whatever the other one was returned as.
    world.ok(A, returns(3, 1, 1));
    world.publishes(B, 5);
    world.effects();
    world.sealed(3);
    world.happens([
        (PluginId(0), "let 3 go"),
        (PluginId(0), "end of 4"),
        (A, "3: ALREADY_PROVIDED"),
    ]);
}

/// A plugin that has seen the first version of a share that ended must be told of another share's first version.
#[test]
fn a_share_that_comes_after_another_one_has_a_name_of_its_own() {
    let name = |world: &World| {
        let share = world.bus.shares.found(TAG)?;
        Some(world.bus.shares.newest(share)?.1.name)
    };
    let mut world = World::shares();
    world.ok(A, publish(1, making(7), 1));
    world.ok(B, publish(1, making(7), 1));
    world.writes_all(A, 1);
    let first = name(&world).unwrap();
    world.ok(A, ShareToBroker::Relinquish { share: 2 });
    assert_eq!(name(&world), None);
    world.writes_all(B, 3);
    let second = name(&world).unwrap();
    assert_eq!((first.number, second.number), (1, 1));
    assert_ne!(first.incarnation, second.incarnation);
}

/// Otherwise the tag would be that of a share and of a cell, and neither could be opened any more.
#[test]
fn what_is_returned_does_not_take_the_tag_of_a_cell() {
    let mut world = World::shares();
    world.ok(A, returns(2, 1, 1));
    world.ok(
        B,
        CellToBroker::Open {
            request: 1,
            tag: TAG.into(),
            fingerprint: 7,
            signature: "u8".into(),
            len: 1,
            writes: true,
            waits: false,
        },
    );
    world.effects();
    world.sealed(1);
    world.happens([
        (PluginId(0), "let 1 go"),
        (PluginId(0), "end of 2"),
        (A, "2: ALREADY_PROVIDED"),
    ]);
}
