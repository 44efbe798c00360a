//! Rights that are taken away, and plugins that go.

use super::*;
use crate::policy::Policy;

fn reads() -> Policy {
    Policy::new().read_shares("Osc.*")
}

fn makes() -> Policy {
    Policy::new().create_shares("Osc.*")
}

/// Rights are for tags; what one makes, one may read.
#[test]
fn each_right_is_for_what_it_says() {
    let mut world = World::shares();
    world.bus.set_policy("a", Some(makes()), world.now);
    world.bus.set_policy("b", Some(reads()), world.now);
    world.bus.set_policy("c", Some(Policy::new()), world.now);
    world.effects();
    world.ok(B, want(1, Some(making(7))));
    world.ok(B, publish(2, making(7), 1));
    world.ok(C, want(1, None));
    world.ok(C, watch(2, None));
    world.ok(A, want_of(1, ("Other", 7), Some(making(7))));
    world.ok(A, watch(2, None));
    world.happens([
        (B, "1: PERMISSION_DENIED"),
        (B, "2: PERMISSION_DENIED"),
        (C, "1: PERMISSION_DENIED"),
        (C, "2: PERMISSION_DENIED"),
        (A, "1: PERMISSION_DENIED"),
        (A, "2: PERMISSION_DENIED"),
    ]);
    world.publishes(A, 1);
    world.effects();
    world.ok(B, want(3, None));
    world.ok(B, watch(4, None));
    world.ok(C, fetch(3, 2, Encoding::Archive));
    world.happens([
        (B, "3: has 2 with 1"),
        (B, "4: changed to Some(1)"),
        (C, "3: INVALID_ARGUMENT"),
    ]);
    // What another plugin has made it reads only with the right to that.
    world.bus.set_policy("c", Some(makes()), world.now);
    world.ok(C, want(5, Some(making(7))));
    world.happens([(C, "5: PERMISSION_DENIED")]);
}

/// A plugin would go on to use what it may not have any more.
#[test]
fn what_is_taken_away_ends() {
    let mut world = World::shares();
    world.makes(A, 2);
    world.ok(B, want(1, None));
    let seen = world.bus.shares.newest(1).map(|(_, newest)| newest.name);
    world.ok(B, watch(5, seen));
    world.ok(C, want_of(6, ("other", 7), Some(making(7))));
    world.ok(B, want_of(7, ("other", 7), Some(making(7))));
    world.ok(B, publish(8, making(7), 1));
    world.effects();
    world.bus.set_policy("b", Some(Policy::new()), world.now);
    let effects = world.effects();
    let mut said: Vec<_> = effects.iter().filter_map(short).collect();
    said.sort();
    let expected = [
        (PluginId(0), "let 5 go"),
        (B, "1 revoked: PERMISSION_DENIED"),
        (B, "5 dropped: PERMISSION_DENIED"),
        (B, "5: PERMISSION_DENIED"),
        (B, "7: PERMISSION_DENIED"),
    ];
    assert_eq!(said, expected.map(|(who, what)| (who, what.to_owned())));
    // What has crossed with that is no offence.
    world.ok(B, ShareToBroker::Done { version: 2 });
    world.ok(B, ShareToBroker::Relinquish { share: 1 });
    world.happens([]);
    assert_eq!(world.bus.members[&B].shares.used(), 0);
    // The maker may read what it has made, until it may not make it either.
    world.bus.set_policy("a", Some(makes()), world.now);
    world.happens([]);
    world.bus.set_policy("a", Some(Policy::new()), world.now);
    world.happens([
        (PluginId(0), "end of 1"),
        (PluginId(0), "let 2 go"),
        (A, "1 revoked: PERMISSION_DENIED"),
    ]);
}

/// What a plugin has made lives on with its users, at nobody's charge but the bus's.
#[test]
fn users_keep_what_a_dead_maker_has_made() {
    let mut world = World::shares();
    world.makes(A, 2);
    world.ok(B, want(1, None));
    world.effects();
    let gone = Failure::new(Code::ProviderGone, "killed");
    world.bus.remove(A, &gone, world.now);
    world.happens([]);
    world.ok(C, want(1, None));
    world.happens([(C, "1: has 1 with 2")]);
    assert_eq!((world.shares_mib(B), world.bus.shares.bus.used()), (0, 1));
    world.join(A, "a");
    world.publishes(C, 3);
    assert_eq!((world.shares_mib(A), world.shares_mib(B)), (0, 1));
    for plugin in [B, C] {
        let gone = Failure::new(Code::ProviderGone, "killed");
        world.bus.remove(plugin, &gone, world.now);
    }
    world.all_freed();
    assert!(world.bus.shares.is_empty(), "{:?}", world.bus.shares);
    assert_eq!(world.bus.next_deadline(), None);
}
