//! Rights that are taken back: which indexes the provider is told to refuse.

use super::*;
use crate::policy::Policy;

impl World {
    fn provide_type(&mut self, from: PluginId, gate: &str, fingerprint: u128) {
        let shape = Shape {
            fingerprint,
            ..shape()
        };
        let provide = GateToBroker::Provide {
            request: 3,
            gate: gate.into(),
            kind: CallKind::Function,
            shape,
            record: None,
        };
        self.ok(from, provide);
    }

    fn set_policy(&mut self, name: &str, policy: Policy) {
        self.bus.set_policy(name, Some(policy), self.now);
    }

    /// A caller that had the gate of B open, and has closed it.
    fn with_index_left() -> World {
        let mut world = World::new(8);
        world.provide(B, "g");
        world.open(A, 5, "g");
        world.obedient();
        world.ok(A, GateToBroker::Close { open: 5 });
        world
    }

    /// The indexes that B is told to refuse.
    fn revoked(&mut self) -> Vec<u16> {
        let effects = self.effects();
        let indexes = |effect| match effect {
            Effect::Send(B, ToPlugin::Link(LinkToPlugin::Revoke { end, indexes })) => {
                assert_eq!(end, LinkEnd { link: 1, side: 1 });
                indexes
            }
            _ => Vec::new(),
        };
        effects.into_iter().flat_map(indexes).collect()
    }
}

/// A subscriber closed its gate before its right was taken back, and so kept the index by which
/// the provider went on answering.
#[test]
fn who_has_closed_a_gate_loses_it_too() {
    let mut world = World::with_index_left();
    world.set_policy("a", Policy::new());
    assert_eq!(world.revoked(), [0]);
    world.set_policy("a", Policy::new());
    assert!(world.revoked().is_empty(), "said once");
}

/// A gate was withdrawn while the right to call it was taken back, and came back under the index
/// it had, which the provider had never been told to refuse.
#[test]
fn a_gate_that_is_away_is_revoked_too() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.obedient();
    world.withdraw(B, "g");
    world.effects();
    world.set_policy("a", Policy::new());
    assert_eq!(world.revoked(), [0]);
    world.provide(B, "g");
    assert!(world.obedient().is_empty(), "nobody is told of it");
    world.set_policy("a", Policy::new().call("*"));
    let told = world.obedient();
    assert_eq!(told[0].1.route.unwrap().index, 1, "not the refused one");
}

/// A gate changed its types and changed them back; only the newest of its indexes was revoked, and
/// the first, which stands for the same types, served on.
#[test]
fn every_index_that_a_gate_ever_had_is_revoked() {
    let mut world = World::new(8);
    world.open(A, 5, "g");
    // What A wants, then something else; a third subscription makes B grant that, too.
    let other = GateToBroker::Open {
        open: 6,
        gate: "g".into(),
        function: Shape {
            fingerprint: 8,
            ..shape()
        },
        action: shape(),
    };
    world.ok(A, other);
    for fingerprint in [7, 8, 7] {
        world.provide_type(B, "g", fingerprint);
        let told = world.obedient();
        assert!(told.iter().any(|(_, state)| state.route.is_some()));
        world.withdraw(B, "g");
        world.obedient();
    }
    world.set_policy("a", Policy::new());
    assert_eq!(world.revoked(), [0, 1, 2]);
}

/// A plugin that may no longer provide a gate has it revoked from all who could call it.
#[test]
fn a_gate_that_may_not_be_provided_is_revoked_from_all() {
    let mut world = World::with_index_left();
    world.set_policy("b", Policy::new().provide("other"));
    assert_eq!(world.revoked(), [0]);
    assert!(world.bus.registry.owned_by(B).is_empty());
}

/// The acknowledgement of a grant that was revoked meanwhile was taken for one that nobody asked
/// for, and ended the provider.
#[test]
fn a_revoked_grant_is_still_acknowledged() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.provide(B, "h");
    world.open(A, 5, "g");
    world.obedient();
    world.open(A, 6, "h");
    let end = LinkEnd { link: 1, side: 1 };
    world.set_policy("a", Policy::new().call("g"));
    assert_eq!(world.revoked(), [1]);
    world.ok(B, LinkToBroker::GrantInstalled { end, index: 1 });
    assert_eq!(world.bus.next_deadline(), None);
    world.set_policy("a", Policy::new().call("*"));
    let told = world.obedient();
    assert_eq!(told.last().unwrap().1.route.unwrap().index, 2);
}
