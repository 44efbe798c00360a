//! Changes of policy that wait for providers to acknowledge what they have to refuse.

use super::*;
use crate::policy::Policy;

impl World {
    /// The changes that are in force, each with the plugins that have not acknowledged it; and the plugins whose sessions end.
    fn in_force(&mut self) -> (Vec<(u64, Vec<String>)>, Vec<PluginId>) {
        let (mut changes, mut ended) = (Vec::new(), Vec::new());
        for effect in self.effects() {
            match effect {
                Effect::PolicySet(change, missing) => changes.push((change, missing)),
                Effect::End(plugin, _) => ended.push(plugin),
                _ => {}
            }
        }
        (changes, ended)
    }

    /// A change of policy that B has been told of.
    fn with_revoke() -> (World, u64, (LinkEnd, u64)) {
        let mut world = World::with_index_left();
        let change = world.set_policy("a", Policy::new());
        let revokes = world.revokes();
        let [(end, number, _)] = revokes[..] else {
            panic!("{revokes:?}");
        };
        (world, change, (end, number))
    }
}

/// Calls were still served after `set_policy` had returned, because the provider had not yet read what it was to refuse.
#[test]
fn a_change_is_in_force_when_it_is_acknowledged() {
    let (mut world, change, (end, number)) = World::with_revoke();
    assert_eq!(world.in_force(), (vec![], vec![]));
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert_eq!(world.in_force().0, [(change, vec![])]);
    assert_eq!(world.bus.next_deadline(), None);
    // Nothing more has to be refused.
    let again = world.set_policy("a", Policy::new());
    assert_eq!(world.in_force().0, [(again, vec![])]);
}

/// The second change has nothing to revoke, and relies on what the first one has revoked.
#[test]
fn a_change_waits_for_an_earlier_one() {
    let (mut world, first, (end, number)) = World::with_revoke();
    let second = world.set_policy("a", Policy::new());
    assert_eq!(world.in_force().0, []);
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert_eq!(world.in_force().0, [(first, vec![]), (second, vec![])]);
}

#[test]
fn who_is_late_loses_its_link_and_is_named() {
    let (mut world, change, (end, number)) = World::with_revoke();
    world.open(A, 6, "g");
    world.now += STEP - Duration::from_nanos(1);
    world.bus.expire(world.now);
    assert_eq!(world.in_force().0, []);
    world.now += Duration::from_nanos(1);
    world.bus.expire(world.now);
    let effects = world.effects();
    let gone = |effect: &&Effect| {
        matches!(
            effect,
            Effect::Send(_, ToPlugin::Link(LinkToPlugin::Gone { .. }))
        )
    };
    assert_eq!(effects.iter().filter(gone).count(), 2, "{effects:?}");
    let refused = |effect: &&Effect| {
        matches!(
            effect,
            Effect::Send(_, ToPlugin::Gate(GateToPlugin::OpenFailed { .. }))
        )
    };
    assert_eq!(
        effects.iter().filter(refused).count(),
        0,
        "the caller was told that it may not call, and still may not"
    );
    let set = Effect::PolicySet(change, vec!["b".into()]);
    assert!(effects.contains(&set), "{effects:?}");
    assert!(world.bus.links.is_empty());
    // Only revocations that are out are waited for: B is stopped, and has no link that could be used.
    let again = world.set_policy("a", Policy::new());
    assert_eq!(world.in_force().0, [(again, vec![])]);
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert_eq!(world.bus.next_deadline(), None);
    assert!(world.bus.silent.is_empty(), "it goes on");
}

/// If the link ends meanwhile, that does not say what its provider still serves.
#[test]
fn the_end_of_a_link_acknowledges_nothing() {
    let (mut world, change, (end, number)) = World::with_revoke();
    let failure = Failure::new(Code::ProviderGone, "closed");
    world.ok(
        A,
        LinkToBroker::Failed {
            end: end.other(),
            failure,
        },
    );
    assert_eq!(world.in_force().0, []);
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert_eq!(world.in_force().0, [(change, vec![])]);
}

#[test]
fn a_provider_that_dies_is_not_waited_for() {
    let (mut world, change, _) = World::with_revoke();
    let why = Failure::new(Code::ProviderGone, "killed");
    world.bus.remove(B, &why, world.now);
    assert_eq!(world.in_force().0, [(change, vec![])]);
    assert_eq!(world.bus.next_deadline(), None);
}

#[test]
fn what_was_not_asked_is_an_offence() {
    let (mut world, _, (end, number)) = World::with_revoke();
    let revoked = |end, number| LinkToBroker::Revoked { end, number };
    assert_eq!(
        world.code_of(B, revoked(end, number + 1)),
        Some(Code::Protocol)
    );
    assert_eq!(
        world.code_of(B, revoked(end.other(), number)),
        Some(Code::Protocol)
    );
    let strange = LinkEnd { link: 9, side: 1 };
    assert_eq!(
        world.code_of(B, revoked(strange, number)),
        Some(Code::Protocol)
    );
    assert_eq!(world.code_of(A, revoked(end, number)), Some(Code::Protocol));
    assert_eq!(
        world.code_of(A, revoked(end.other(), number)),
        Some(Code::Protocol)
    );
    world.ok(B, revoked(end, number));
    assert_eq!(world.code_of(B, revoked(end, number)), Some(Code::Protocol));
}

/// A caller whose session a strict bus ends was still served by its providers, until they read that its link had ended.
#[test]
fn who_is_sent_away_is_refused_first() {
    let mut world = World::with_index_left();
    let mut policies = Policies::default();
    policies.strict = true;
    policies.set("a", Some(Policy::new().call("*")));
    policies.set("b", Some(Policy::new().provide("*")));
    world.bus.set_policies(policies);
    let change = world.bus.set_policy("a", None, world.now);
    let (end, number, _) = world.revokes()[0];
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert_eq!(world.in_force(), (vec![(change, vec![])], vec![A]));
    // The plugin gets the right back before that, and stays.
    let mut world = World::with_index_left();
    let mut policies = Policies::default();
    policies.strict = true;
    policies.set("a", Some(Policy::new().call("*")));
    policies.set("b", Some(Policy::new().provide("*")));
    world.bus.set_policies(policies);
    world.bus.set_policy("a", None, world.now);
    let (end, number, _) = world.revokes()[0];
    world.set_policy("a", Policy::new().call("*"));
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert_eq!(world.in_force().1, []);
}
