//! Rights that are taken back: the indexes that providers are told to refuse.

use callgate_layout::control::SessionToPlugin;

use super::*;
use crate::policy::Policy;

impl World {
    fn provide_type(&mut self, from: PluginId, gate: &str, number: u8) {
        let provide = GateToBroker::Provide {
            request: 3,
            gate: gate.into(),
            prefix: false,
            kind: CallKind::Function,
            schema: SchemaSource::Inline(schema_of(number)),
            signature: "(u8)".into(),
            encodings: Encodings::ARCHIVE,
            record: None,
            life: None,
        };
        self.ok(from, provide);
    }

    pub(super) fn set_policy(&mut self, name: &str, policy: Policy) -> u64 {
        self.bus.set_policy(name, Some(policy), self.now)
    }

    /// A world in which a caller had the gate of B open, and has closed it.
    pub(super) fn with_index_left() -> World {
        let mut world = World::new(8);
        world.provide(B, "g");
        world.open(A, 5, "g");
        world.obedient();
        world.ok(A, GateToBroker::Close { open: 5 });
        world
    }

    /// The indexes that B is told to refuse. B acknowledges them.
    fn revoked(&mut self) -> Vec<u16> {
        let mut revoked = Vec::new();
        for (end, number, indexes) in self.revokes() {
            assert_eq!(end, LinkEnd { link: 1, side: 1 });
            self.ok(B, LinkToBroker::Revoked { end, number });
            revoked.extend(indexes);
        }
        revoked
    }

    /// What B is told to refuse, with the numbers, and has not acknowledged.
    pub(super) fn revokes(&mut self) -> Vec<(LinkEnd, u64, Vec<u16>)> {
        let effects = self.effects().into_iter();
        let revokes = effects.filter_map(|effect| match effect {
            Effect::Send(
                B,
                ToPlugin::Link(LinkToPlugin::Revoke {
                    end,
                    number,
                    indexes,
                }),
            ) => Some((end, number, indexes)),
            _ => None,
        });
        revokes.collect()
    }
}

/// A subscriber closed its gate before it lost the right, and so kept an index under which the provider went on answering.
#[test]
fn who_has_closed_a_gate_loses_it_too() {
    let mut world = World::with_index_left();
    world.set_policy("a", Policy::new());
    assert_eq!(world.revoked(), [0]);
    world.set_policy("a", Policy::new());
    assert!(world.revoked().is_empty(), "said once");
}

/// A gate was withdrawn while the right to call it was taken back. It came back under its old index, which the provider had never been told
/// to refuse.
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

/// A gate changed its types and changed them back. Only the newest of its indexes was revoked, and the first one, which stands for the same
/// types, served on.
#[test]
fn every_index_that_a_gate_ever_had_is_revoked() {
    let mut world = World::new(8);
    world.open(A, 5, "g");
    // First the types that A wants, then others; a third subscription makes B grant those, too.
    let other = GateToBroker::Open {
        open: 6,
        gate: "g".into(),
        function: shape_of(8),
        action: shape(),
    };
    world.ok(A, other);
    for number in [7, 8, 7] {
        world.provide_type(B, "g", number);
        let told = world.obedient();
        assert!(told.iter().any(|(_, state)| state.route.is_some()));
        world.withdraw(B, "g");
        world.obedient();
    }
    world.set_policy("a", Policy::new());
    assert_eq!(world.revoked(), [0, 1, 2]);
}

/// A gate that its plugin may no longer provide is revoked from all plugins that could call it.
#[test]
fn a_gate_that_may_not_be_provided_is_revoked_from_all() {
    let mut world = World::with_index_left();
    world.set_policy("b", Policy::new().provide("other"));
    assert_eq!(world.revoked(), [0]);
    assert!(world.bus.registry.owned_by(B).is_empty());
}

/// The acknowledgement of a grant that was revoked meanwhile was taken for one that nobody had asked for, and ended the provider's session.
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

/// The codes with which requests of plugins are refused, or their sessions ended.
fn refusals(effects: Vec<Effect>) -> Vec<(PluginId, Code)> {
    let refusals = effects.into_iter().filter_map(|effect| {
        let (to, failure) = match effect {
            Effect::End(to, failure) => (to, failure),
            Effect::Send(to, ToPlugin::Session(SessionToPlugin::Answer { failure, .. })) => {
                (to, failure?)
            }
            Effect::Send(to, ToPlugin::Gate(GateToPlugin::OpenFailed { failure, .. })) => {
                (to, failure)
            }
            _ => return None,
        };
        Some((to, Code::from_u16(failure.code).unwrap()))
    });
    refusals.collect()
}

/// A connection for listings is accepted when others are not, so it must not do anything else.
#[test]
fn who_came_for_listings_neither_provides_nor_opens() {
    let mut world = World::new(8);
    world.bus.only_inspects(A);
    let denied = [(A, Code::PermissionDenied)];
    world.provide(A, "g");
    assert_eq!(refusals(world.effects()), denied);
    world.open(A, 5, "h");
    assert_eq!(refusals(world.effects()), denied);
    assert!(world.bus.registry.owned_by(A).is_empty());
    world.ok(A, SessionToBroker::List { request: 3 });
    assert_eq!(world.effects(), [Effect::Listing(A, 3)]);
    world.provide(B, "g");
    world.open(B, 5, "h");
    assert!(refusals(world.effects()).is_empty(), "others may");
}

/// A plugin that has no policy any more on a strict bus loses its session.
#[test]
fn a_strict_bus_ends_who_has_no_policy() {
    let mut world = World::new(8);
    let mut policies = Policies::default();
    policies.strict = true;
    for name in ["a", "b"] {
        policies.set(name, Some(Policy::new().provide("*").gates(3)));
    }
    policies.set("b", Some(Policy::new().requests_per_second(9)));
    world.bus.set_policies(policies);
    assert_eq!(world.bus.check_admission("b"), Ok(()));
    let refused = world.bus.check_admission("c").unwrap_err();
    assert_eq!(refused.code, Code::PermissionDenied as u16);
    assert!(refused.message.contains("plugin `c`"), "{refused:?}");
    assert_eq!(world.bus.requests_per_second("b"), Some(9));
    assert_eq!(world.bus.requests_per_second("a"), None);
    assert_eq!(
        (world.bus.limits_of(A).gates, world.bus.limits_of(B).gates),
        (3, 8)
    );
    world.bus.set_policy("a", None, world.now);
    assert_eq!(refusals(world.effects()), [(A, Code::PermissionDenied)]);
}
