//! Versions whose bytes are in the record by which they are published.

use callgate_layout::control::MAX_SHORT;

use super::*;

fn not_made(world: &mut World, version: u64) {
    let failure = Failure::new(Code::System, "no descriptor");
    let memory = AnyMemory::Version(version);
    world.bus.memory_not_made(A, memory, failure, world.now);
}

#[test]
fn a_short_version_is_there_without_a_word_more_of_its_maker() {
    let mut world = World::shares();
    world.ok(A, publish_short(1, making(7), MAX_SHORT));
    world.happens([(A, "copy 1 of 16384")]);
    world.sealed(1);
    world.happens([(PluginId(0), "2 is at 1"), (A, "1: has 2 with 1")]);
    world.ok(B, want(3, None));
    world.happens([(B, "3: has 2 with 1")]);
    world.ok(A, publish_short(2, making(7), 1));
    world.sealed(3);
    world.happens([
        (A, "copy 3 of 1"),
        (PluginId(0), "2 is at 2"),
        (A, "2: has 2 with 3"),
    ]);
    assert_eq!((world.shares_mib(A), world.shares_mib(B)), (2, 1));
    assert_eq!(world.bus.next_deadline(), None);
}

/// Longer values could fill the memory of the broker's cgroup.
#[test]
fn what_is_not_short_is_refused() {
    let mut world = World::shares();
    for len in [0, MAX_SHORT + 1] {
        world.ok(A, publish_short(1, making(7), len));
        world.happens([(A, "1: INVALID_ARGUMENT")]);
    }
    world.bus.members.get_mut(&A).unwrap().share_mib = Quota::new(0);
    world.ok(A, publish_short(2, making(7), 1));
    world.happens([(A, "2: OVERLOADED")]);
    assert!(world.bus.shares.is_empty(), "{:?}", world.bus.shares);
}

/// The maker of a short version knows no number of a making, so it is answered by the number of its request.
#[test]
fn what_comes_of_a_short_version_is_answered() {
    let mut world = World::shares();
    world.bus.keep_files(Ok(()));
    world.ok(A, publish_short(1, making(7), 1));
    world.effects();
    not_made(&mut world, 1);
    world.happens([(PluginId(0), "end of 2"), (A, "1: SYSTEM")]);
    let persistent = Making {
        persistent: true,
        ..making(7)
    };
    world.ok(A, publish_short(2, persistent, 1));
    world.sealed(3);
    world.happens([(A, "copy 3 of 1"), (PluginId(0), "save 3")]);
    let full = Err(Failure::new(Code::Overloaded, "no room"));
    world.bus.version_saved(3, full, world.now);
    world.happens([
        (PluginId(0), "let 3 go"),
        (PluginId(0), "end of 4"),
        (A, "2: OVERLOADED"),
    ]);
    world.bus.extents_freed(&[1], world.now);
    assert_eq!(world.bus.members[&A].owed, 0);
    assert_eq!(world.shares_mib(A), 0);
    assert!(world.bus.shares.is_empty(), "{:?}", world.bus.shares);
}

/// The number of the making is easily guessed, and the broker needs no word of the maker.
#[test]
fn who_says_that_it_has_written_a_short_version_is_sent_away() {
    let mut world = World::shares();
    world.bus.keep_files(Ok(()));
    let persistent = Making {
        persistent: true,
        ..making(7)
    };
    world.ok(A, publish_short(1, persistent, 1));
    world.sealed(1);
    let written = ShareToBroker::Written { making: 1 };
    assert_eq!(world.code_of(A, written), Some(Code::Protocol));
    assert_eq!(world.code_of(A, gave_up(1)), Some(Code::Protocol));
}
