//! Rights that are taken away, and plugins that end.

use super::*;
use crate::policy::Policy;

fn reads() -> Policy {
    Policy::new().read_shares("Osc.*")
}

fn makes() -> Policy {
    Policy::new().create_shares("Osc.*")
}

/// Each right is for a tag. A plugin may read what it makes.
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
    ]);
    // A plugin that may make the share would find out anyway.
    world.publishes(A, 1);
    let effects = world.effects();
    let told: Vec<_> = effects.iter().filter_map(short).collect();
    assert!(
        told.contains(&(A, "2: changed to Some(1)".into())),
        "{told:?}"
    );
    world.ok(B, want(3, None));
    world.ok(B, watch(4, None));
    world.ok(C, fetch(3, 2, Encoding::Archive));
    world.happens([
        (B, "3: has 2 with 1"),
        (B, "4: changed to Some(1)"),
        (C, "3: INVALID_ARGUMENT"),
    ]);
    // To read what another plugin has made, it needs the right to read.
    world.bus.set_policy("c", Some(makes()), world.now);
    world.ok(C, want(5, Some(making(7))));
    world.happens([(C, "5: PERMISSION_DENIED")]);
}

/// A plugin that may only read, and offered to make the share, was refused although the share was there.
#[test]
fn who_may_only_read_has_what_others_make() {
    let mut world = World::shares();
    world.bus.set_policy("b", Some(reads()), world.now);
    let refusal = |world: &mut World| {
        let effects = world.effects();
        let answer = effects.into_iter().find_map(|effect| match effect {
            Effect::Send(B, ToPlugin::Session(SessionToPlugin::Answer { failure, .. })) => failure,
            _ => None,
        });
        answer.expect("a refusal").message
    };
    world.ok(B, want(1, Some(making(7))));
    let message = refusal(&mut world);
    assert!(
        message.contains("lacks share.create:Osc.Table"),
        "{message}"
    );
    // It waits while another plugin makes the share, and is told when none does.
    world.ok(A, want(1, Some(making(7))));
    world.effects();
    world.ok(B, want(2, Some(making(7))));
    world.happens([]);
    world.ok(A, gave_up(2));
    let message = refusal(&mut world);
    assert!(message.contains("lacks share.create"), "{message}");
    world.makes(A, 4);
    world.effects();
    world.ok(B, want(3, Some(making(7))));
    world.happens([(B, "3: has 3 with 4")]);
    // A plugin that waits for a file, with others that would make the share, also waits while one of them does.
    let mut world = World::shares();
    world.bus.keep_files(Ok(()));
    world.bus.set_policy("b", Some(reads()), world.now);
    world.ok(B, want(1, Some(making(7))));
    world.ok(A, want(1, Some(making(7))));
    world.happens([(PluginId(0), "load 1")]);
    let tag = TAG.into();
    world.bus.version_loaded((1, 2), &tag, Ok(None), world.now);
    world.happens([(A, "1: create 4")]);
    let making = 4;
    world.ok(A, ShareToBroker::Make { making, len: 1 });
    world.effects();
    world.writes_all(A, 4);
    world.happens([
        (A, "seal 4"),
        (PluginId(0), "3 is at 1"),
        (A, "1: has 3 with 4"),
        (B, "1: has 3 with 4"),
    ]);
}

/// A plugin must not go on using what it may not have any more.
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
    // Records that have crossed with that are accepted.
    world.ok(B, ShareToBroker::Done { version: 2 });
    world.ok(B, ShareToBroker::Relinquish { share: 1 });
    world.happens([]);
    assert_eq!(world.bus.members[&B].shares.used(), 0);
    // The maker may read what it has made, until it may not make it any more either.
    world.bus.set_policy("a", Some(makes()), world.now);
    world.happens([]);
    world.bus.set_policy("a", Some(Policy::new()), world.now);
    world.happens([
        (PluginId(0), "end of 1"),
        (PluginId(0), "let 2 go"),
        (A, "1 revoked: PERMISSION_DENIED"),
    ]);
}

/// A version lives on with its users after its maker's death; then only the bus is charged for it.
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

/// When a plugin ends, its waiting versions were sealed one after the other, each on a thread of its own.
#[test]
fn nothing_is_sealed_for_who_has_gone() {
    let mut world = World::shares();
    let member = world.bus.members.get_mut(&A).unwrap();
    (member.shares, member.share_mib) = (Quota::new(20), Quota::new(20));
    for turn in 0..20 {
        let tag = format!("t{turn}");
        world.ok(A, want_of(turn, (&tag, 7), Some(making(7))));
        let making = 2 + 2 * u64::from(turn);
        world.ok(A, ShareToBroker::Make { making, len: 1 });
        world.ok(A, ShareToBroker::Written { making });
    }
    let is_seal = |effect: &Effect| matches!(effect, Effect::Seal(..));
    assert_eq!(world.effects().iter().filter(|e| is_seal(e)).count(), 8);
    let gone = Failure::new(Code::ProviderGone, "killed");
    world.bus.remove(A, &gone, world.now);
    assert!(!world.effects().iter().any(is_seal));
    assert_eq!(world.bus.shares.makings().count(), 0);
}
