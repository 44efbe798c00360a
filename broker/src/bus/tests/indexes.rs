//! Indexes of names that are closed: they become free again, whatever crosses with the close.

use super::*;
use crate::policy::Policy;

impl World {
    fn close(&mut self, from: PluginId, open: u32) {
        self.ok(from, GateToBroker::Close { open });
    }

    /// Has the plugins answer everything, and returns how many grants and how many revoked indexes were sent.
    fn counted(&mut self) -> (usize, usize) {
        let said = self.obeyed();
        let count =
            |what: fn(&ToPlugin) -> usize| said.iter().map(|(_, record)| what(record)).sum();
        let grants = count(|record| match record {
            ToPlugin::Link(LinkToPlugin::Grant { .. }) => 1,
            _ => 0,
        });
        let revoked = count(|record| match record {
            ToPlugin::Link(LinkToPlugin::Revoke { indexes, .. }) => indexes.len(),
            _ => 0,
        });
        (grants, revoked)
    }

    fn index_of(&mut self, from: PluginId, open: u32, gate: &str) -> u16 {
        self.open(from, open, gate);
        let (_, state) = self.obedient().pop().unwrap();
        state.route.unwrap().index
    }
}

/// The 65,537th name on a link failed for good, and every closed name stayed in the broker's memory.
#[test]
fn nothing_grows_with_names_that_were_opened_and_closed() {
    let mut world = World::new(8);
    world.provide(B, "a.");
    let (mut grants, mut revoked) = (0, 0);
    for number in 0..200_000_u32 {
        world.open(A, number, &format!("a.{number}"));
        let counted = world.counted();
        world.close(A, number);
        let more = world.counted();
        grants += counted.0 + more.0;
        revoked += counted.1 + more.1;
    }
    assert_eq!((grants, revoked), (200_000, 200_000));
    assert!(world.bus.registry.opens_of(A).is_empty());
    assert!(world.bus.registry.watchers("a.").is_empty());
    let link = world.bus.links.values().next().unwrap();
    assert_eq!(link.grants_known(), 0);
    assert_eq!(world.bus.next_deadline(), None);
    assert_eq!(world.bus.member(B).unwrap().owed, 0);
    assert_eq!(world.bus.revocations_under_way(), 0);
}

/// The same for a gate that is not under a prefix.
#[test]
fn the_last_close_of_a_gate_takes_its_index_back() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 1, "g");
    world.open(A, 2, "g");
    world.obedient();
    world.close(A, 1);
    assert_eq!(world.counted(), (0, 0), "it is open once more");
    world.close(A, 2);
    assert_eq!(world.counted(), (0, 1));
    world.close(A, 2);
    assert_eq!(world.counted(), (0, 0));
    assert_eq!(world.index_of(A, 3, "g"), 1, "an index rests");
}

/// A plugin that calls its own gates has both ends of their link.
#[test]
fn a_plugin_closes_its_own_gate() {
    let mut world = World::new(8);
    world.provide(A, "g");
    world.open(A, 1, "g");
    world.obedient();
    world.close(A, 1);
    assert_eq!(world.counted(), (0, 1));
}

/// A plugin that opens and closes all the time makes the broker send a provider no more than it acknowledges.
#[test]
fn one_revoke_of_closed_names_is_out_at_a_time() {
    let mut world = World::new(8);
    world.provide(B, "a.");
    for open in 0..8 {
        world.open(A, open, &format!("a.{open}"));
    }
    world.obedient();
    for open in 0..8 {
        world.close(A, open);
    }
    let first = world.revokes();
    let [(end, number, _)] = first[..] else {
        panic!("{first:?}");
    };
    assert_eq!(first[0].2, [0]);
    world.ok(B, LinkToBroker::Revoked { end, number });
    let second = world.revokes();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].2, Vec::from_iter(1..8));
    assert_eq!(
        world.code_of(B, LinkToBroker::Revoked { end, number }),
        Some(Code::Protocol)
    );
}

/// A name that is opened again while its index is being revoked stays callable.
#[test]
fn a_name_is_opened_again_while_its_revoke_is_out() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 1, "g");
    world.obedient();
    world.close(A, 1);
    let revokes = world.revokes();
    let (end, number, _) = revokes[0];
    assert_eq!(world.index_of(A, 1, "g"), 1);
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert!(world.obedient().is_empty(), "nothing new to its caller");
    assert_eq!(world.index_of(A, 2, "g"), 1);
}

/// A gate is withdrawn and provided again while a caller closes it.
#[test]
fn a_close_crosses_with_the_end_of_a_gate() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 1, "g");
    world.obedient();
    world.withdraw(B, "g");
    world.close(A, 1);
    world.provide(B, "g");
    assert_eq!(world.counted(), (0, 1));
    assert_eq!(world.index_of(A, 1, "g"), 1);
    // Another plugin provides the gate meanwhile; the index at the first one becomes free, too.
    world.withdraw(B, "g");
    world.obedient();
    world.provide(A, "g");
    world.obedient();
    world.close(A, 1);
    assert_eq!(world.counted(), (0, 2));
    let known = world.bus.links.values().map(Link::grants_known);
    assert_eq!(known.sum::<usize>(), 0);
}

/// A has two gates of B open and closes `g`. B is stopped, so its `Revoke` is late.
fn with_late_revoke() -> (World, LinkEnd, u64) {
    let mut world = World::new(8);
    for (open, gate) in [(1, "g"), (2, "h")] {
        world.provide(B, gate);
        world.open(A, open, gate);
    }
    world.obedient();
    world.close(A, 1);
    let (end, number, _) = world.revokes()[0];
    world.now += 3 * STEP;
    world.bus.expire(world.now);
    (world, end, number)
}

/// A plugin that closed a gate of a stopped provider lost all other calls under way on that link.
#[test]
fn a_provider_that_does_not_refuse_what_is_closed_keeps_the_link() {
    let (mut world, end, number) = with_late_revoke();
    assert!(world.effects().is_empty(), "nobody is told anything");
    assert_eq!(world.bus.links.len(), 1);
    assert_eq!(world.bus.next_deadline(), None);
    assert!(world.bus.silent.is_empty(), "new links may be made with it");
    // The name gets another index. What is closed after that waits for the first `Revoke`.
    assert_eq!(world.index_of(A, 1, "g"), 2);
    world.close(A, 1);
    assert!(world.revokes().is_empty(), "one is out");
    world.ok(B, LinkToBroker::Revoked { end, number });
    let revokes = world.revokes();
    assert_eq!(revokes.len(), 1);
    assert_eq!(revokes[0].2, [2]);
    let number = revokes[0].1;
    world.ok(B, LinkToBroker::Revoked { end, number });
    let link = world.bus.links.values().next().unwrap();
    assert_eq!(link.grants_known(), 1);
    assert_eq!(link.callable(1, "h"), Some(1));
    assert_eq!(world.bus.revocations_under_way(), 0);
}

/// A change of policy relies on a `Revoke` that was sent because the gate was closed.
#[test]
fn what_was_closed_and_is_forbidden_then_has_a_step_s_time() {
    let (mut world, end, number) = with_late_revoke();
    let change = world.set_policy("a", Policy::new().call("h"));
    let is_set = |effects: &[Effect], missing: &[&str]| {
        let missing = missing.iter().map(|name| (*name).into()).collect();
        effects.contains(&Effect::PolicySet(change, missing))
    };
    let revokes = |effect: &Effect| {
        let revoke =
            |record: &ToPlugin| matches!(record, ToPlugin::Link(LinkToPlugin::Revoke { .. }));
        matches!(effect, Effect::Send(_, record) if revoke(record))
    };
    let effects = world.effects();
    assert!(!is_set(&effects, &[]), "{effects:?}");
    assert!(!effects.iter().any(revokes), "it is out already");
    // A second change does not give the provider more time.
    world.now += STEP / 2;
    let again = world.set_policy("a", Policy::new().call("h"));
    world.now += STEP / 2 - Duration::from_nanos(1);
    world.bus.expire(world.now);
    assert!(world.effects().is_empty());
    world.now += Duration::from_nanos(1);
    world.bus.expire(world.now);
    let effects = world.effects();
    assert!(is_set(&effects, &["b"]), "{effects:?}");
    assert!(effects.contains(&Effect::PolicySet(again, vec!["b".into()])));
    assert!(world.bus.links.is_empty());
    world.ok(B, LinkToBroker::Revoked { end, number });
    assert!(world.bus.silent.is_empty(), "it goes on");
}

/// The same, if the provider acknowledges in time.
#[test]
fn what_was_closed_and_is_forbidden_then_may_be_acknowledged() {
    let (mut world, end, number) = with_late_revoke();
    let change = world.set_policy("a", Policy::new().call("h"));
    world.now += STEP / 2;
    world.ok(B, LinkToBroker::Revoked { end, number });
    let effects = world.effects();
    assert!(effects.contains(&Effect::PolicySet(change, vec![])));
    assert_eq!(world.bus.next_deadline(), None);
    assert_eq!(world.bus.links.len(), 1);
}

/// A change of policy that does not concern a stopped provider neither waits for it nor ends its link.
#[test]
fn a_change_does_not_wait_for_what_is_only_closed() {
    let (mut world, ..) = with_late_revoke();
    let change = world.set_policy("a", Policy::new().call("g").call("h"));
    let effects = world.effects();
    assert!(effects.contains(&Effect::PolicySet(change, vec![])));
    // What the change forbids is revoked at once, beside the `Revoke` that is out.
    let change = world.set_policy("a", Policy::new().call("g"));
    let revokes = world.revokes();
    assert_eq!(revokes.len(), 1);
    let (end, number, ref indexes) = revokes[0];
    assert_eq!(*indexes, [1]);
    world.ok(B, LinkToBroker::Revoked { end, number });
    let effects = world.effects();
    assert!(effects.contains(&Effect::PolicySet(change, vec![])));
    assert_eq!(world.bus.next_deadline(), None);
    assert_eq!(world.bus.links.len(), 1);
}

/// A provider installs grants, and never acknowledges that it refuses anything.
#[test]
fn where_all_indexes_are_out_opening_fails() {
    let mut world = World::new(8);
    for gate in ["a.", "h"] {
        world.provide(B, gate);
    }
    let kept = world.index_of(A, 1, "h");
    let mut out = None;
    for number in 0..65_535_u32 {
        world.open(A, 2, &format!("a.{number}"));
        while let Some(effect) = world.bus.next_effect() {
            if let Effect::Send(B, ToPlugin::Link(LinkToPlugin::Grant { end, index, .. })) = effect
            {
                world.ok(B, LinkToBroker::GrantInstalled { end, index });
            } else if let Effect::Send(B, ToPlugin::Link(LinkToPlugin::Revoke { .. })) = effect {
                panic!("a second one is out");
            }
        }
        world.close(A, 2);
        if number == 0 {
            out = world.revokes().pop();
        }
    }
    let refused = |world: &mut World| {
        world.open(A, 2, "a.more");
        world.effects().into_iter().any(|effect| {
            let failed = |failure: &Failure| failure.code == Code::Overloaded as u16;
            matches!(
                effect,
                Effect::Send(A, ToPlugin::Gate(GateToPlugin::OpenFailed { open: 2, failure }))
                    if failed(&failure)
            )
        })
    };
    assert!(refused(&mut world));
    let link = world.bus.links.values().next().unwrap();
    assert_eq!(link.callable(1, "h"), Some(kept), "others are not touched");
    assert_eq!(world.bus.revocations_under_way(), 1);
    // The provider acknowledges after all.
    world.close(A, 2);
    let (end, number, _) = out.expect("the first one was revoked");
    world.ok(B, LinkToBroker::Revoked { end, number });
    world.obedient();
    assert_eq!(world.index_of(A, 2, "a.more"), 1, "freed first");
    let link = world.bus.links.values().next().unwrap();
    assert_eq!(link.grants_known(), 2);
}
