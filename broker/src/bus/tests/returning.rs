//! Plugins come back and say anything, while policies change and plugins end.

use proptest::prelude::*;

use super::*;
use crate::policy::Policy;

const NAMES: [&str; 3] = ["a", "b", "c"];
const GATES: [&str; 2] = ["g", "h"];
const PROVIDED: [&str; 6] = ["g", "h", "p.", "p.x", "p.x.", "p.x.y"];

#[derive(Clone, Debug)]
enum Act {
    Says(usize, ToBroker),
    /// A plugin ends and comes back.
    Ends(usize),
    /// A plugin may call and provide only this gate, or nothing.
    May(usize, Option<&'static str>),
    /// Half of a step's time passes.
    Passes,
}

fn record() -> impl Strategy<Value = ToBroker> {
    let kind = || prop_oneof![Just(CallKind::Function), Just(CallKind::Action)];
    let gate = || proptest::sample::select(PROVIDED.to_vec());
    let standing = (0..3u32, 0..3usize, 0..3usize).prop_map(|(number, peer, gates)| {
        let gates = GATES.iter().take(gates).map(|gate| (*gate).into());
        LinkToBroker::Standing {
            number,
            peer: NAMES[peer].into(),
            gates: gates.collect(),
        }
        .into()
    });
    prop_oneof![
        3 => standing,
        3 => (0..3u32).prop_map(|number| LinkToBroker::Refused { number }.into()),
        1 => Just(SessionToBroker::Drained.into()),
        4 => (gate(), kind(), proptest::option::of(0..3u64)).prop_map(|(gate, kind, life)| {
            offer(1, gate, kind, life).into()
        }),
        2 => (gate(), kind()).prop_map(|(gate, kind)| {
            let gate = gate.into();
            GateToBroker::Withdraw { request: 2, gate, kind }.into()
        }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let may = prop_oneof![Just(None), Just(Some("g")), Just(Some("*"))];
    prop_oneof![
        12 => (0..3usize, record()).prop_map(|(plugin, record)| Act::Says(plugin, record)),
        1 => (0..3usize).prop_map(Act::Ends),
        2 => (0..3usize, may).prop_map(|(plugin, gates)| Act::May(plugin, gates)),
        1 => Just(Act::Passes),
    ]
}

proptest! {
    /// Each change of policy is in force within a step's time, and nothing stays of plugins that have ended.
    #[test]
    fn nothing_hangs_and_nothing_stays(acts in proptest::collection::vec(act(), 1..120)) {
        let mut world = World::of(NAMES, 8, First { life: 5, ..FROM_ONE });
        let (mut ids, mut next_id) = ([1, 2, 3].map(PluginId), 4);
        let (mut changes, mut in_force) = (Vec::new(), Vec::new());
        for act in acts {
            let ended = match act {
                Act::Says(plugin, record) => {
                    let said = world.bus.record(ids[plugin], record, world.now);
                    said.err().map(|failure| (plugin, failure))
                }
                Act::Ends(plugin) => Some((plugin, Failure::new(Code::ProviderGone, "killed"))),
                Act::May(plugin, gates) => {
                    let policy = gates.map_or(Policy::new(), |gate| {
                        Policy::new().call(gate).provide(gate)
                    });
                    changes.push((world.set_policy(NAMES[plugin], policy), world.now));
                    None
                }
                Act::Passes => {
                    world.now += STEP / 2;
                    world.bus.expire(world.now);
                    None
                }
            };
            if let Some((plugin, failure)) = &ended {
                world.bus.remove(ids[*plugin], failure, world.now);
            }
            for effect in world.effects() {
                if let Effect::PolicySet(change, _) = effect {
                    in_force.push(change);
                }
            }
            if let Some((plugin, _)) = ended {
                ids[plugin] = PluginId(next_id);
                next_id += 1;
                world.join(ids[plugin], NAMES[plugin]);
            }
            for (change, at) in &changes {
                prop_assert!(in_force.contains(change) || world.now < *at + STEP);
            }
            let waited_for = world.bus.lines.all();
            for (plugin, gate) in waited_for {
                prop_assert!(world.bus.registry.in_the_way(plugin, &gate).is_some());
            }
        }
        for id in ids {
            let quota = world.bus.member(id).unwrap().gates.used();
            let owned = world.bus.registry.owned_by(id).len();
            let lines = world.bus.lines.all();
            let waits = lines.iter().filter(|(plugin, _)| *plugin == id).count();
            prop_assert_eq!(quota as usize, owned + waits);
        }
        for id in ids {
            let why = Failure::new(Code::ProviderGone, "killed");
            world.bus.remove(id, &why, world.now);
        }
        prop_assert_eq!(world.bus.next_deadline(), None);
        prop_assert!(world.bus.lines.all().is_empty());
        prop_assert_eq!(world.bus.registry.shown().len(), 0);
    }
}
