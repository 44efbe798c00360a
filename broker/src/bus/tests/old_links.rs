//! Links of the broker before this one.

use super::*;
use crate::bus::old_links::MOST;
use crate::policy::Policy;

fn standing(number: u32, peer: &str, gates: &[&str]) -> LinkToBroker {
    let gates = gates.iter().map(|gate| (*gate).to_owned()).collect();
    let peer = peer.into();
    LinkToBroker::Standing {
        number,
        peer,
        gates,
    }
}

impl World {
    /// What plugins are told to refuse, with the numbers of their old links.
    fn refuses(&mut self) -> Vec<(PluginId, u32, Vec<u16>)> {
        let effects = self.effects().into_iter();
        let refuses = effects.filter_map(|effect| match effect {
            Effect::Send(to, ToPlugin::Link(LinkToPlugin::Refuse { number, gates })) => {
                Some((to, number, gates))
            }
            _ => None,
        });
        refuses.collect()
    }

    fn has_refused(&mut self, number: u32) {
        self.ok(B, LinkToBroker::Refused { number });
    }

    /// A change of policy that forbids something to `peer`, and of which B has been told. Returns the number of the change.
    fn with_refuse(gates: &[&str]) -> (World, u64) {
        let mut world = World::new(8);
        world.ok(B, standing(3, "peer", gates));
        assert_eq!(world.refuses(), [(B, 3, vec![])]);
        world.has_refused(3);
        let change = world.set_policy("peer", Policy::new());
        (world, change)
    }

    fn policies_set(&mut self) -> Vec<(u64, Vec<String>)> {
        let effects = self.effects().into_iter();
        let set = effects.filter_map(|effect| match effect {
            Effect::PolicySet(change, missing) => Some((change, missing)),
            _ => None,
        });
        set.collect()
    }
}

/// A peer went on calling over its old link what the new broker does not allow.
#[test]
fn what_is_not_granted_is_refused_at_once() {
    let mut world = World::new(8);
    let mut refused = |number, peer, gates: &[&str]| {
        world.ok(B, standing(number, peer, gates));
        let mut told = world.refuses();
        world.has_refused(number);
        assert_eq!(told.len(), 1, "{told:?}");
        let (to, of, gates) = told.remove(0);
        assert_eq!((to, of), (B, number));
        (gates, world.bus.next_deadline())
    };
    assert_eq!(refused(1, "anybody", &["g", "h"]), (vec![], None));
    assert_eq!(refused(2, "anybody", &[]), (vec![], None));
    let mut policies = Policies::default();
    policies.set("caller", Some(Policy::new().call("g*")));
    policies.set("b", Some(Policy::new().provide("*h")));
    world.bus.set_policies(policies.clone());
    let mut refused = |number, peer, gates: &[&str]| {
        world.ok(B, standing(number, peer, gates));
        let mut told = world.refuses();
        world.has_refused(number);
        told.remove(0).2
    };
    let gates = ["gh", "g", "h", "g-h"];
    assert_eq!(refused(3, "caller", &gates), [1, 2], "by both policies");
    assert_eq!(refused(4, "stranger", &gates), [1]);
    policies.strict = true;
    world.bus.set_policies(policies);
    let mut refused = |number, peer| {
        world.ok(B, standing(number, peer, &gates));
        world.refuses().remove(0).2
    };
    assert_eq!(refused(5, "stranger"), [0, 1, 2, 3], "it may not take part");
    assert_eq!(refused(6, "caller"), [1, 2]);
}

/// A change of policy did not reach links that an older broker had made.
#[test]
fn a_change_of_policy_waits_for_old_links() {
    let (mut world, change) = World::with_refuse(&["g", "h"]);
    let again = world.set_policy("other", Policy::new());
    assert_eq!(world.refuses(), [(B, 3, vec![0, 1])], "said once");
    assert_eq!(world.policies_set(), []);
    world.has_refused(3);
    assert_eq!(world.policies_set(), [(change, vec![]), (again, vec![])]);
    assert_eq!(world.bus.next_deadline(), None);
    // The right comes back only over links of this broker.
    world.set_policy("peer", Policy::new().call("*"));
    world.set_policy("peer", Policy::new());
    assert_eq!(world.refuses(), []);
}

#[test]
fn only_what_is_newly_forbidden_is_refused() {
    let (mut world, _) = World::with_refuse(&[]);
    world.ok(B, standing(4, "other", &["g", "h", "i"]));
    world.has_refused(4);
    for (policy, expected) in [
        (Policy::new().call("g").call("h"), vec![2]),
        (Policy::new().call("h").call("i"), vec![0]),
        (Policy::new().call("h"), vec![]),
        (Policy::new(), vec![1]),
    ] {
        world.refuses();
        world.set_policy("other", policy);
        let told: Vec<u16> = world
            .refuses()
            .into_iter()
            .flat_map(|told| told.2)
            .collect();
        assert_eq!(told, expected);
    }
}

/// `set_policy` waited for a plugin that was stopped.
#[test]
fn who_does_not_refuse_in_time_is_named_and_stays() {
    let (mut world, change) = World::with_refuse(&["g"]);
    world.refuses();
    world.now += STEP - Duration::from_nanos(1);
    world.bus.expire(world.now);
    assert_eq!(world.effects(), []);
    world.now += Duration::from_nanos(1);
    world.bus.expire(world.now);
    let expected = [
        Effect::NotRefused(B),
        Effect::PolicySet(change, vec!["b".into()]),
    ];
    assert_eq!(world.effects(), expected);
    let again = world.set_policy("other", Policy::new());
    assert_eq!(world.policies_set(), [(again, vec![])], "waited for once");
    world.has_refused(3);
    assert_eq!(
        world.code_of(B, LinkToBroker::Refused { number: 3 }),
        Some(Code::Protocol)
    );
}

/// A change of policy need not wait for a plugin that has nothing to refuse.
#[test]
fn an_empty_refusal_keeps_nobody_waiting() {
    let mut world = World::new(8);
    world.ok(B, standing(3, "peer", &["g"]));
    assert_eq!(world.bus.next_deadline(), None);
    let change = world.set_policy("other", Policy::new());
    assert_eq!(world.policies_set(), [(change, vec![])]);
}

/// A plugin lost its session if its `Drained` crossed with a `Refuse`.
#[test]
fn who_has_drained_is_not_waited_for_and_may_still_acknowledge() {
    let (mut world, change) = World::with_refuse(&["g"]);
    assert!(world.bus.member(B).unwrap().is_draining());
    world.ok(B, standing(5, "other", &["g"]));
    world.has_refused(5);
    world.refuses();
    world.ok(B, SessionToBroker::Drained);
    assert!(!world.bus.member(B).unwrap().is_draining());
    assert_eq!(world.policies_set(), [(change, vec![])]);
    assert_eq!(world.bus.next_deadline(), None);
    world.has_refused(3);
    world.ok(B, SessionToBroker::Drained);
    world.set_policy("other", Policy::new());
    assert_eq!(world.refuses(), [], "nothing stands any more");
    let late = standing(4, "peer", &["g"]);
    assert_eq!(world.code_of(B, late), Some(Code::Protocol));
}

#[test]
fn a_draining_plugin_that_dies_is_not_waited_for() {
    let (mut world, change) = World::with_refuse(&["g"]);
    world.refuses();
    let why = Failure::new(Code::ProviderGone, "killed");
    world.bus.remove(B, &why, world.now);
    assert_eq!(world.policies_set(), [(change, vec![])]);
    assert_eq!(world.bus.next_deadline(), None);
}

/// Each `Refuse` is acknowledged once, by the plugin to which it was sent.
#[test]
fn what_was_not_sent_is_not_acknowledged() {
    let (mut world, change) = World::with_refuse(&["g"]);
    world.ok(B, standing(4, "peer", &[]));
    let refused = |number| LinkToBroker::Refused { number };
    assert_eq!(world.code_of(A, refused(3)), Some(Code::Protocol));
    assert_eq!(world.code_of(B, refused(5)), Some(Code::Protocol));
    world.has_refused(4);
    assert_eq!(world.policies_set(), [], "that was for another link");
    world.has_refused(3);
    assert_eq!(world.policies_set(), [(change, vec![])]);
    for number in [3, 4] {
        assert_eq!(world.code_of(B, refused(number)), Some(Code::Protocol));
    }
}

/// Two `Refuse`s for one old link are out at once: the first `Refused` acknowledges the first one.
#[test]
fn refusals_of_one_link_are_acknowledged_in_order() {
    let mut world = World::new(8);
    world.ok(B, standing(3, "peer", &["g", "h"]));
    world.set_policy("peer", Policy::new().call("h"));
    let last = world.set_policy("peer", Policy::new());
    let told = [(B, 3, vec![]), (B, 3, vec![0]), (B, 3, vec![1])];
    assert_eq!(world.refuses(), told);
    world.has_refused(3);
    assert_eq!(world.policies_set(), []);
    world.has_refused(3);
    assert_eq!(world.policies_set().len(), 1);
    world.has_refused(3);
    assert_eq!(world.policies_set(), [(last, vec![])]);
}

/// A plugin could fill the broker's memory with old links, and have it check them for ever.
#[test]
fn old_links_are_bounded() {
    const EACH: usize = 4096;
    let gates = vec!["g"; EACH];
    let mut world = World::new(8);
    let numbers = 0..(MOST / EACH) as u32;
    for number in numbers.clone() {
        world.ok(B, standing(number, "peer", &gates));
        world.has_refused(number);
    }
    let one_more = standing(numbers.end, "peer", &[]);
    assert_eq!(world.code_of(B, one_more), Some(Code::Overloaded));
    // Links without gates count, too.
    for number in 0..MOST as u32 {
        world.ok(A, standing(number, "peer", &[]));
    }
    let one_more = standing(MOST as u32, "peer", &[]);
    assert_eq!(world.code_of(A, one_more), Some(Code::Overloaded));
}

#[test]
fn old_links_have_numbers_and_names_that_can_be() {
    let long = "x".repeat(300);
    let odd = [
        standing(3, "peer", &["g"]),
        standing(4, "", &["g"]),
        standing(4, &long, &[]),
        standing(4, "peer", &["g", ""]),
        standing(4, "peer", &[&long]),
    ];
    for odd in odd {
        let (mut world, _) = World::with_refuse(&["g"]);
        assert_eq!(world.code_of(B, odd), Some(Code::Protocol));
    }
}

#[test]
fn who_came_for_listings_has_no_old_links() {
    let mut world = World::new(8);
    world.bus.only_inspects(B);
    world.ok(B, standing(3, "peer", &["g", "h"]));
    assert_eq!(world.refuses(), [(B, 3, vec![0, 1])]);
}

/// A plugin that may make few requests a second lost its session because it came back with everything that it had.
#[test]
fn coming_back_is_not_charged() {
    let mut world = World::new(8);
    let mut weight = |record: ToBroker| world.bus.record(B, record, world.now).unwrap();
    let new = offer(1, "new", CallKind::Function, None);
    assert_eq!(weight(new.into()), Weight::Charged, "that it never had");
    let mut records: Vec<ToBroker> = Vec::new();
    records.extend((0..200).map(|number| standing(number, "peer", &["g"]).into()));
    records.extend((0..200).map(|number| LinkToBroker::Refused { number }.into()));
    for gate in 1..9 {
        for kind in [CallKind::Function, CallKind::Action] {
            records.push(offer(1, &format!("g{gate}"), kind, Some(1)).into());
        }
    }
    let open = |open: u32| GateToBroker::Open {
        open,
        gate: "h".into(),
        function: shape(),
        action: shape(),
    };
    records.extend((0..8).map(|number| open(number).into()));
    records.push(SessionToBroker::Drained.into());
    for record in records {
        assert_eq!(weight(record.clone()), Weight::Expected, "{record:?}");
    }
    // It has as much as before, and what goes beyond that is charged.
    let withdraw = GateToBroker::Withdraw {
        request: 2,
        gate: "g7".into(),
        kind: CallKind::Action,
    };
    for record in [
        SessionToBroker::Drained.into(),
        withdraw.into(),
        offer(1, "g7", CallKind::Action, Some(1)).into(),
        offer(1, "g7", CallKind::Function, None).into(),
        GateToBroker::Close { open: 0 }.into(),
        open(9).into(),
        open(10).into(),
    ] {
        assert_eq!(weight(record), Weight::Charged);
    }
}
