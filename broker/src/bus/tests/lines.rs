//! Plugins that come back and find that another plugin provides their gate.

use callgate_layout::control::SessionToPlugin;
use proptest::prelude::*;

use super::*;
use crate::policy::Policy;

const FUNCTION: CallKind = CallKind::Function;
const ACTION: CallKind = CallKind::Action;
const C: PluginId = PluginId(3);
const FIRST: First = First {
    link: 1,
    life: 1000,
    event: 1,
    share: 1,
};

/// What a plugin is told about one of its requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Provided(u64),
    Lost(String),
    Answered(Option<u16>),
}

impl World {
    /// What plugins are told about their requests, with the numbers of these.
    fn said(&mut self) -> Vec<(PluginId, u32, Said)> {
        let records = self.obeyed().into_iter();
        let said = records.filter_map(|(to, record)| match record {
            ToPlugin::Gate(GateToPlugin::Provided { request, life }) => {
                Some((to, request, Said::Provided(life)))
            }
            ToPlugin::Gate(GateToPlugin::Lost { request, owner }) => {
                Some((to, request, Said::Lost(owner)))
            }
            ToPlugin::Session(SessionToPlugin::Answer { request, failure }) => {
                let code = failure.map(|failure| failure.code);
                Some((to, request, Said::Answered(code)))
            }
            _ => None,
        });
        said.collect()
    }

    fn comes_back(&mut self, plugin: PluginId, request: u32, kind: CallKind) {
        self.ok(plugin, offer(request, "g", kind, Some(0)));
    }

    fn withdraws(&mut self, plugin: PluginId, request: u32, kind: CallKind) {
        let gate = "g".into();
        self.ok(
            plugin,
            GateToBroker::Withdraw {
                request,
                gate,
                kind,
            },
        );
    }

    fn dies(&mut self, plugin: PluginId) {
        let why = Failure::new(Code::ProviderGone, "killed");
        self.bus.remove(plugin, &why, self.now);
    }
}

fn answered(code: Code) -> Said {
    Said::Answered(Some(code as u16))
}

/// A provides the gate, B waits with both halves, C with one.
fn with_line() -> World {
    let mut world = World::of(["a", "b", "c"], 8, FIRST);
    world.provide(A, "g");
    world.said();
    for (plugin, request, kind) in [(B, 7, ACTION), (C, 9, FUNCTION), (B, 8, FUNCTION)] {
        world.comes_back(plugin, request, kind);
        let lost = (plugin, request, Said::Lost("a".into()));
        assert_eq!(world.said(), [lost]);
    }
    world
}

/// A provider never got its gate again if another plugin had taken it before the provider came back.
#[test]
fn a_gate_goes_to_who_waits_longest_however_it_became_free() {
    type Free = fn(&mut World);
    let ways: [Free; 3] = [
        |world| world.withdraws(A, 3, FUNCTION),
        |world| world.dies(A),
        |world| {
            world.set_policy("a", Policy::new().call("*"));
        },
    ];
    for free in ways {
        let mut world = with_line();
        free(&mut world);
        let mut said = world.said();
        said.retain(|(to, ..)| *to != A);
        let provided = |request| (B, request, Said::Provided(1001));
        assert_eq!(
            said,
            [provided(7), provided(8)],
            "both halves, and one life"
        );
        // The gate is free only when its last half is gone.
        world.withdraws(B, 4, ACTION);
        assert_eq!(world.said(), [(B, 4, Said::Answered(None))]);
        world.withdraws(B, 5, FUNCTION);
        let expected = [(B, 5, Said::Answered(None)), (C, 9, Said::Provided(1002))];
        assert_eq!(world.said(), expected);
    }
}

/// A plugin that asks at the right moment must not overtake those in line.
#[test]
fn nobody_overtakes_the_line() {
    let mut world = with_line();
    world.dies(A);
    world.said();
    world.join(A, "a");
    world.provide(A, "g");
    assert_eq!(world.said(), [(A, 1, answered(Code::AlreadyProvided))]);
    world.dies(B);
    world.provide(A, "g");
    let expected = [
        (C, 9, Said::Provided(1002)),
        (A, 1, answered(Code::AlreadyProvided)),
    ];
    assert_eq!(world.said(), expected);
}

/// A plugin waited for ever for a gate that it would never be given.
#[test]
fn who_loses_the_right_leaves_the_line_and_is_told() {
    let mut world = with_line();
    world.set_policy("b", Policy::new().call("*"));
    let denied = |request| (B, request, answered(Code::PermissionDenied));
    assert_eq!(world.said(), [denied(7), denied(8)]);
    world.comes_back(B, 10, FUNCTION);
    assert_eq!(world.said(), [denied(10)]);
    world.set_policy("b", Policy::new().provide("*"));
    world.dies(A);
    assert_eq!(world.said(), [(C, 9, Said::Provided(1001))]);
}

/// Two plugins lost a right in one change of policy, and the one in line was given the gate of the other.
#[test]
fn a_gate_is_given_to_nobody_who_lost_the_right_with_its_owner() {
    let mut world = with_line();
    world.set_policy("*", Policy::new().call("*"));
    let said = world.said();
    let provided = |(.., said): &(PluginId, u32, Said)| matches!(said, Said::Provided(_));
    assert!(!said.iter().any(provided), "{said:?}");
    assert_eq!(said.len(), 3, "all who waited are told: {said:?}");
    assert_eq!(world.bus.registry.shown().len(), 0);
}

#[test]
fn an_offer_is_withdrawn_from_the_line() {
    let mut world = with_line();
    world.withdraws(B, 3, ACTION);
    world.withdraws(B, 4, ACTION);
    let expected = [
        (B, 3, Said::Answered(None)),
        (B, 4, answered(Code::NotReady)),
    ];
    assert_eq!(world.said(), expected);
    world.withdraws(C, 5, FUNCTION);
    world.dies(A);
    let expected = [(C, 5, Said::Answered(None)), (B, 8, Said::Provided(1001))];
    assert_eq!(world.said(), expected);
    world.dies(B);
    assert_eq!(world.said(), [], "nobody is in line");
}

/// A plugin stood in line for more gates than it may provide.
#[test]
fn a_place_in_line_counts_as_a_gate() {
    let mut world = World::of(["a", "b"], 8, FIRST);
    world.provide(A, "g");
    world.said();
    world.comes_back(B, 1, FUNCTION);
    world.comes_back(B, 2, FUNCTION);
    let expected = [
        (B, 1, Said::Lost("a".into())),
        (B, 2, answered(Code::AlreadyProvided)),
    ];
    assert_eq!(world.said(), expected);
    for gate in ["1", "2", "3", "4", "5", "6", "7"] {
        world.provide(B, gate);
    }
    world.said();
    assert_eq!(world.bus.member(B).unwrap().gates.used(), 8);
    world.provide(B, "8");
    assert_eq!(world.said(), [(B, 1, answered(Code::Overloaded))]);
    world.dies(A);
    assert_eq!(world.said(), [(B, 1, Said::Provided(1008))]);
    assert_eq!(
        world.bus.member(B).unwrap().gates.used(),
        8,
        "the same place"
    );
    world.withdraws(B, 3, FUNCTION);
    assert_eq!(world.bus.member(B).unwrap().gates.used(), 7);
}

/// Plugins that have the gate open are told of its next provider.
#[test]
fn watchers_hear_of_the_next_provider() {
    let mut world = with_line();
    world.open(C, 5, "g");
    assert_eq!(world.obedient()[0].1.owner, Some("a".into()));
    world.dies(A);
    let told = world.obedient();
    let [(C, state)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((&state.owner, state.generation), (&Some("b".into()), 1001));
    assert!(state.route.is_some());
}

/// A second, simple implementation of the line, to compare with.
#[derive(Default)]
struct Model {
    owner: Option<(usize, Vec<CallKind>)>,
    line: Vec<(usize, Vec<(CallKind, u32)>)>,
    forbidden: [bool; 3],
}

type Expected = Vec<(usize, u32, Said)>;

impl Model {
    fn provide(&mut self, plugin: usize, request: u32, kind: CallKind, waits: bool) -> Expected {
        let refused = |code| vec![(plugin, request, answered(code))];
        if self.forbidden[plugin] {
            return refused(Code::PermissionDenied);
        }
        match &mut self.owner {
            None => self.owner = Some((plugin, vec![kind])),
            Some((owner, kinds)) if *owner == plugin => {
                if kinds.contains(&kind) {
                    return refused(Code::AlreadyProvided);
                }
                kinds.push(kind);
            }
            Some((owner, _)) if waits => {
                let lost = vec![(plugin, request, Said::Lost(NAMES[*owner].into()))];
                match self.line.iter_mut().find(|(other, _)| *other == plugin) {
                    None => self.line.push((plugin, vec![(kind, request)])),
                    Some((_, halves)) if halves.iter().any(|(other, _)| *other == kind) => {
                        return refused(Code::AlreadyProvided);
                    }
                    Some((_, halves)) => halves.push((kind, request)),
                }
                return lost;
            }
            Some(_) => return refused(Code::AlreadyProvided),
        }
        vec![(plugin, request, Said::Provided(0))]
    }

    fn withdraw(&mut self, plugin: usize, request: u32, kind: CallKind) -> Expected {
        let done = vec![(plugin, request, Said::Answered(None))];
        for (other, halves) in &mut self.line {
            if *other == plugin && halves.iter().any(|(half, _)| *half == kind) {
                halves.retain(|(half, _)| *half != kind);
                self.line.retain(|(_, halves)| !halves.is_empty());
                return done;
            }
        }
        match &mut self.owner {
            Some((owner, kinds)) if *owner == plugin && kinds.contains(&kind) => {
                kinds.retain(|half| *half != kind);
                let is_free = kinds.is_empty();
                let next = if is_free { self.next() } else { vec![] };
                [done, next].concat()
            }
            _ => vec![(plugin, request, answered(Code::NotReady))],
        }
    }

    fn next(&mut self) -> Expected {
        self.owner = None;
        if self.line.is_empty() {
            return vec![];
        }
        let (plugin, halves) = self.line.remove(0);
        self.owner = Some((plugin, halves.iter().map(|(kind, _)| *kind).collect()));
        let provided = halves.into_iter();
        let provided = provided.map(|(_, request)| (plugin, request, Said::Provided(0)));
        provided.collect()
    }

    fn leave(&mut self, plugin: usize) -> Expected {
        let gone = self.line.extract_if(.., |(other, _)| *other == plugin);
        let requests: Vec<_> = gone.flat_map(|(_, halves)| halves).collect();
        let denied = answered(Code::PermissionDenied);
        let mut said: Expected = requests
            .into_iter()
            .map(|(_, request)| (plugin, request, denied.clone()))
            .collect();
        if self
            .owner
            .as_ref()
            .is_some_and(|(owner, _)| *owner == plugin)
        {
            said.extend(self.next());
        }
        said
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Act {
    Provide(usize, CallKind, bool),
    Withdraw(usize, CallKind),
    Die(usize),
    Allow(usize, bool),
}

fn act() -> impl Strategy<Value = Act> {
    let kind = || prop_oneof![Just(FUNCTION), Just(ACTION)];
    prop_oneof![
        6 => (0..3usize, kind(), any::<bool>()).prop_map(|(plugin, kind, waits)| {
            Act::Provide(plugin, kind, waits)
        }),
        3 => (0..3usize, kind()).prop_map(|(plugin, kind)| Act::Withdraw(plugin, kind)),
        1 => (0..3usize).prop_map(Act::Die),
        1 => (0..3usize, any::<bool>()).prop_map(|(plugin, may)| Act::Allow(plugin, may)),
    ]
}

proptest! {
    /// Each gate has one provider at a time, and no plugin in line for it is forgotten.
    #[test]
    fn each_gate_has_one_owner_and_one_line(acts in proptest::collection::vec(act(), 1..60)) {
        let (mut world, mut model) = (World::of(NAMES, 8, FIRST), Model::default());
        let (mut ids, mut next_id) = ([A, B, C], 4);
        for (request, act) in (1..).zip(acts) {
            let mut expected = match act {
                Act::Provide(plugin, kind, waits) => {
                    let had = waits.then_some(u64::from(request));
                    world.ok(ids[plugin], offer(request, "g", kind, had));
                    model.provide(plugin, request, kind, waits)
                }
                Act::Withdraw(plugin, kind) => {
                    world.withdraws(ids[plugin], request, kind);
                    model.withdraw(plugin, request, kind)
                }
                Act::Die(plugin) => {
                    world.dies(ids[plugin]);
                    let mut expected = model.leave(plugin);
                    expected.retain(|(to, ..)| *to != plugin);
                    expected
                }
                Act::Allow(plugin, may) => {
                    let policy = Policy::new().call("*");
                    let policy = if may { policy.provide("*") } else { policy };
                    world.set_policy(NAMES[plugin], policy);
                    model.forbidden[plugin] = !may;
                    if may { vec![] } else { model.leave(plugin) }
                }
            };
            let mut said: Expected = Vec::new();
            for (to, request, mut what) in world.said() {
                if let Said::Provided(life) = &mut what {
                    *life = 0;
                }
                let plugin = ids.iter().position(|id| *id == to).unwrap();
                said.push((plugin, request, what));
            }
            said.sort();
            expected.sort();
            prop_assert_eq!(said, expected);
            let owners: Vec<_> = world.bus.registry.shown().iter().map(|shown| shown.gate.owner).collect();
            let owner = model.owner.as_ref().map(|(owner, _)| ids[*owner]);
            prop_assert_eq!(owners, Vec::from_iter(owner));
            if let Act::Die(plugin) = act {
                ids[plugin] = PluginId(next_id);
                next_id += 1;
                world.join(ids[plugin], NAMES[plugin]);
            }
        }
    }
}
