//! Persistent shares: saved before they are registered, loaded if their tag has no share, removed.

use std::sync::Arc;

use super::*;

fn persistent() -> Making {
    Making {
        persistent: true,
        ..making(7)
    }
}

/// The name of a version in a file, with this number.
fn named(number: u64) -> VersionName {
    VersionName {
        incarnation: 9,
        number,
    }
}

/// A bus whose shell can keep files.
fn world() -> World {
    let mut world = World::shares();
    world.bus.keep_files(Ok(()));
    world
}

fn kept(number: u64) -> Kept {
    Kept {
        tag: TAG.into(),
        name: VersionName {
            incarnation: 5,
            number,
        },
        len: MIB,
        form: Form::Slice,
        maker: "long.gone".into(),
        signature: "[T7]".into(),
        schema: schema_of(7).into(),
    }
}

fn none(world: &mut World, version: u64) {
    let tag = TAG.into();
    let numbers = (version, version + 1);
    world.bus.version_loaded(numbers, &tag, Ok(None), world.now);
}

fn found(world: &mut World, version: u64, in_place: bool) {
    let tag = TAG.into();
    let numbers = (version, version + 1);
    let found = Ok(Some((kept(7), in_place)));
    world.bus.version_loaded(numbers, &tag, found, world.now);
}

/// If plugins were told of a version before its file is saved, it would be gone after a crash.
#[test]
fn a_version_is_kept_before_it_is_there() {
    let mut world = world();
    world.ok(A, want(1, Some(persistent())));
    world.ok(B, want(2, None));
    world.happens([(PluginId(0), "load 1")]);
    none(&mut world, 1);
    world.happens([(B, "2: NOT_READY"), (A, "1: create 4")]);
    world.ok(
        A,
        ShareToBroker::Make {
            making: 4,
            len: MIB,
        },
    );
    world.writes_all(A, 4);
    world.happens([
        (A, "write 4 of 1048576"),
        (A, "seal 4"),
        (PluginId(0), "save 4"),
    ]);
    world.bus.version_saved(4, Ok(named(1)), world.now);
    world.happens([(PluginId(0), "3 is at 1"), (A, "1: has 3 with 4")]);
    // Two versions that are published at once are saved one after the other, and numbered in that order.
    world.ok(A, publish(3, persistent(), 1));
    world.ok(B, publish(3, persistent(), 1));
    world.effects();
    world.writes_all(B, 6);
    world.writes_all(A, 5);
    world.happens([(B, "seal 6"), (PluginId(0), "save 6"), (A, "seal 5")]);
    world.bus.version_saved(6, Ok(named(2)), world.now);
    world.happens([
        (PluginId(0), "3 is at 2"),
        (B, "3: has 3 with 6"),
        (PluginId(0), "save 5"),
    ]);
    let full = Failure::new(Code::System, "no room");
    world.bus.version_saved(5, Err(full), world.now);
    world.happens([(PluginId(0), "let 5 go"), (A, "5 dropped: SYSTEM")]);
}

/// If nobody used a share, its numbers began anew, so that a version had the name of an earlier one.
#[test]
fn a_version_has_the_name_that_it_is_kept_under() {
    let mut world = world();
    world.ok(A, publish(3, persistent(), 1));
    world.effects();
    world.writes_all(A, 1);
    world.happens([(A, "seal 1"), (PluginId(0), "save 1")]);
    let name = kept(8).name;
    world.bus.version_saved(1, Ok(name), world.now);
    world.happens([(PluginId(0), "2 is at 8"), (A, "3: has 2 with 1")]);
    assert_eq!(world.bus.shares.newest(2).unwrap().1.name, name);
}

/// A share that has outlived all plugins must be found, not made anew.
#[test]
fn what_is_kept_is_found() {
    let mut world = world();
    world.ok(B, want(2, None));
    world.ok(C, want(3, Some(persistent())));
    world.happens([(PluginId(0), "load 1")]);
    found(&mut world, 1, false);
    world.happens([
        (PluginId(0), "2 is at 7"),
        (B, "2: has 2 with 1"),
        (C, "3: has 2 with 1"),
    ]);
    assert_eq!((world.shares_mib(B), world.bus.shares.bus.used()), (0, 1));
    for plugin in [B, C] {
        world.ok(plugin, ShareToBroker::Relinquish { share: 2 });
    }
    world.all_freed();
    assert!(world.bus.shares.is_empty(), "{:?}", world.bus.shares);
    // When the file is found, nobody waits for it any more.
    world.ok(B, want(4, None));
    world.happens([(PluginId(0), "load 3")]);
    world.ok(B, ShareToBroker::Forgo { request: 4 });
    found(&mut world, 3, false);
    world.happens([(PluginId(0), "let 3 go"), (PluginId(0), "end of 4")]);
    assert!(world.bus.shares.is_empty(), "{:?}", world.bus.shares);
}

/// A plugin that does not trust its peers must not map memory that any of them can change.
#[test]
fn the_file_itself_goes_to_those_that_trust_alone() {
    let mut world = world();
    let mut trusting = want(2, None);
    if let ShareToBroker::Want { trusts, .. } = &mut trusting {
        *trusts = true;
    }
    world.ok(B, trusting.clone());
    world.happens([(PluginId(0), "load 1 in place")]);
    world.ok(C, want(3, None));
    found(&mut world, 1, true);
    world.happens([
        (PluginId(0), "2 is at 7"),
        (B, "2: has 2 with 1"),
        (PluginId(0), "load 3"),
    ]);
    found(&mut world, 3, false);
    world.happens([
        (PluginId(0), "end of 4"),
        (PluginId(0), "2 is at 7"),
        (C, "3: has 2 with 3"),
    ]);
    world.ok(A, trusting);
    world.happens([(A, "2: has 2 with 3")]);
    world.ok(B, ShareToBroker::Done { version: 1 });
    world.happens([(PluginId(0), "let 1 go")]);
    for plugin in [A, B, C] {
        world.ok(plugin, ShareToBroker::Relinquish { share: 2 });
    }
    world.all_freed();
    world.bus.extents_freed(&[1, 2], world.now);
    assert!(world.bus.shares.is_empty(), "{:?}", world.bus.shares);
}

/// A share that was removed must not be found again, nor be taken from the plugins that use it.
#[test]
fn what_is_removed_is_found_no_more_and_stays_with_its_users() {
    let mut world = world();
    world.ok(B, want(2, None));
    found(&mut world, 1, false);
    world.ok(C, watch(5, Some(kept(7).name)));
    world.effects();
    let remove = ShareToBroker::Remove {
        request: 6,
        tag: TAG.into(),
    };
    world.ok(A, remove);
    world.happens([(PluginId(0), "remove Osc.Table")]);
    let tag = TAG.into();
    world.bus.file_removed((A, 6), &tag, Ok(true), world.now);
    world.happens([
        (PluginId(0), "2 hidden"),
        (C, "5: changed to None"),
        (A, "6: done"),
    ]);
    world.ok(B, fetch(3, 2, Encoding::Archive));
    world.ok(C, want(7, None));
    world.happens([(B, "3: version 1"), (PluginId(0), "load 3")]);
    none(&mut world, 3);
    world.happens([(C, "7: NOT_READY")]);
    world.ok(B, ShareToBroker::Relinquish { share: 2 });
    world.happens([(PluginId(0), "end of 2"), (PluginId(0), "let 1 go")]);
    world.bus.file_removed((A, 8), &tag, Ok(false), world.now);
    world.happens([(A, "8: NOT_READY")]);
}

/// The file must not keep an old version, or one that was never registered, instead of the last one.
#[test]
fn the_file_has_the_version_that_is_there() {
    let mut world = world();
    world.ok(A, publish(1, persistent(), 1));
    world.ok(
        B,
        publish(
            1,
            Making {
                persistent: true,
                ..making(8)
            },
            1,
        ),
    );
    world.ok(C, want(1, Some(persistent())));
    none(&mut world, 5);
    world.effects();
    let create = 8;
    world.ok(
        C,
        ShareToBroker::Make {
            making: create,
            len: 1,
        },
    );
    world.effects();
    for (maker, making) in [(A, 1), (B, 3), (C, create)] {
        world.writes_all(maker, making);
    }
    world.happens([
        (A, "seal 1"),
        (PluginId(0), "save 1"),
        (B, "seal 3"),
        (C, "seal 8"),
    ]);
    let name = VersionName {
        incarnation: 1,
        number: 1,
    };
    world.bus.version_saved(1, Ok(name), world.now);
    // The others are not saved: one is of another type, and the other one's tag has a share by now.
    world.happens([
        (PluginId(0), "2 is at 1"),
        (A, "1: has 2 with 1"),
        (PluginId(0), "let 3 go"),
        (PluginId(0), "end of 4"),
        (B, "3 dropped: SHARE_TYPE_MISMATCH"),
        (PluginId(0), "let 8 go"),
        (PluginId(0), "end of 7"),
        (C, "1: has 2 with 1"),
    ]);
    // A plugin that does not ask for a persistent version has it saved like those before it.
    world.ok(C, publish(9, making(7), 1));
    world.effects();
    world.writes_all(C, 9);
    world.happens([(C, "seal 9"), (PluginId(0), "save 9")]);
}

/// A share that was removed came back if a version of it was saved after that.
#[test]
fn what_is_kept_while_its_share_is_removed_is_removed_too() {
    let mut world = world();
    world.ok(B, want(2, None));
    found(&mut world, 1, false);
    world.effects();
    world.ok(A, publish(3, persistent(), 1));
    let tag: Arc<str> = TAG.into();
    world.ok(
        C,
        ShareToBroker::Remove {
            request: 6,
            tag: TAG.into(),
        },
    );
    world.writes_all(A, 3);
    world.happens([
        (A, "write 3 of 1"),
        (PluginId(0), "remove Osc.Table"),
        (A, "seal 3"),
        (PluginId(0), "save 3"),
    ]);
    world.bus.file_removed((C, 6), &tag, Ok(true), world.now);
    world.happens([
        (PluginId(0), "2 hidden"),
        (PluginId(0), "remove Osc.Table"),
        (PluginId(0), "let 3 go"),
        (A, "3 dropped: CANCELLED"),
        (C, "6: done"),
    ]);
    world.bus.version_saved(3, Ok(kept(8).name), world.now);
    world
        .bus
        .file_removed((PluginId(0), 0), &tag, Ok(true), world.now);
    world.happens([]);
}
