//! Plugins that ask how their open gates stand.

use super::*;
use crate::policy::Policy;

impl World {
    fn sync(&mut self, from: PluginId, open: u32) {
        self.ok(from, GateToBroker::Sync { open });
    }

    /// What A is told of its open gates: the number of each, and whether it can be called; `None` for the answer to its question.
    fn told(&mut self) -> Vec<(u32, Option<bool>)> {
        let effects = self.effects().into_iter();
        let told = effects.filter_map(|effect| match effect {
            Effect::Send(A, ToPlugin::Gate(record)) => Some(match record {
                GateToPlugin::State { open, state } => (open, Some(state.route.is_some())),
                GateToPlugin::OpenFailed { open, .. } => (open, Some(false)),
                GateToPlugin::Synced { open } => (open, None),
                GateToPlugin::StartFailed { .. }
                | GateToPlugin::Provided { .. }
                | GateToPlugin::Lost { .. } => return None,
            }),
            _ => None,
        });
        told.collect()
    }

    fn synced(&mut self) -> Vec<u32> {
        let told = self.told().into_iter();
        told.map(|(open, what)| {
            assert_eq!(what, None);
            open
        })
        .collect()
    }

    /// A link between A and B, on which B was sent its first grant.
    fn with_grant_under_way() -> World {
        let mut world = World::new(8);
        world.provide(B, "first");
        world.open(A, 1, "first");
        world.obedient();
        world.open(A, 5, "g");
        world.told();
        world.provide(B, "g");
        world
    }
}

const INSTALLED: LinkToBroker = LinkToBroker::GrantInstalled {
    end: LinkEnd { link: 1, side: 1 },
    index: 1,
};

/// Nothing is being set up: the answer comes at once, after what was told before.
#[test]
fn a_gate_that_stands_is_answered_at_once() {
    let mut world = World::new(8);
    world.open(A, 5, "g");
    world.sync(A, 5);
    assert_eq!(world.told(), [(5, Some(false)), (5, None)]);
    world.provide(B, "g");
    world.obedient();
    world.sync(A, 5);
    assert_eq!(world.synced(), [5], "it was told before");
    world.withdraw(B, "g");
    world.sync(A, 5);
    assert_eq!(world.told(), [(5, Some(false)), (5, None)]);
}

/// The question was answered before the caller's link was ready.
#[test]
fn a_link_under_way_is_waited_for() {
    let mut world = World::new(8);
    world.open(A, 5, "g");
    world.provide(B, "g");
    world
        .bus
        .effects
        .retain(|effect| !matches!(effect, Effect::Send(..)));
    world.sync(A, 5);
    let mut told = Vec::new();
    while let Some(effect) = world.bus.next_effect() {
        match effect {
            Effect::Make { to, memory, .. } => world.ok(to, mapped(memory, Role::Writer)),
            Effect::Seal(_, memory) => world.bus.memory_sealed(memory, world.now),
            Effect::Peer { to, end, .. } => world.ok(to, peer_mapped(end)),
            Effect::Send(to, ToPlugin::Link(LinkToPlugin::Grant { end, index, .. })) => {
                world.ok(to, LinkToBroker::GrantInstalled { end, index });
            }
            Effect::Send(A, ToPlugin::Gate(record)) => told.push(record),
            _ => {}
        }
    }
    assert!(
        matches!(
            &told[..],
            [GateToPlugin::State { open: 5, state }, GateToPlugin::Synced { open: 5 }]
                if state.route.is_some()
        ),
        "{told:?}"
    );
}

#[test]
fn a_grant_under_way_is_waited_for() {
    let mut world = World::with_grant_under_way();
    world.sync(A, 5);
    assert_eq!(world.told(), []);
    world.ok(B, INSTALLED);
    assert_eq!(world.told(), [(5, Some(true)), (5, None)]);
    assert_eq!(world.bus.next_deadline(), None);
}

/// Something that happens, and what it is called.
type Happens = (&'static str, fn(&mut World));

/// Whatever ends the wait for a link or a grant also answers the question.
#[test]
fn what_fails_under_way_is_answered_too() {
    let ends: [Happens; 5] = [
        ("the provider is late", |world| {
            world.now += STEP;
            world.bus.expire(world.now);
        }),
        ("the provider dies", |world| {
            let why = Failure::new(Code::ProviderGone, "killed");
            world.bus.remove(B, &why, world.now);
        }),
        ("the gate is withdrawn", |world| world.withdraw(B, "g")),
        ("the right is taken back", |world| {
            world.set_policy("a", Policy::new());
        }),
        ("the link is given up", |world| {
            let end = LinkEnd { link: 1, side: 1 };
            let failure = Failure::new(Code::Protocol, "broken");
            world.ok(B, LinkToBroker::Failed { end, failure });
        }),
    ];
    for (how, end) in ends {
        let mut world = World::with_grant_under_way();
        world.sync(A, 5);
        assert_eq!(world.told(), [], "{how}");
        end(&mut world);
        let told = world.told();
        assert!(told.contains(&(5, None)), "{how}: {told:?}");
        assert!(!told.contains(&(5, Some(true))), "{how}: {told:?}");
        world.sync(A, 5);
        assert!(world.told().contains(&(5, None)), "{how}: also later");
    }
}

/// A plugin that was refused a right asks again when it has got the right.
#[test]
fn a_right_that_was_granted_is_waited_for() {
    let mut world = World::new(8);
    world.set_policy("a", Policy::new());
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.sync(A, 5);
    assert_eq!(world.told(), [(5, Some(false)), (5, None)]);
    world.set_policy("a", Policy::new().call("*"));
    world.sync(A, 5);
    let effects = world.effects();
    let synced = Effect::Send(A, GateToPlugin::Synced { open: 5 }.into());
    assert!(!effects.contains(&synced), "{effects:?}");
}

/// A plugin that asks in a loop is answered slowly, and keeps its session. No plugin that asks keeps another plugin, or another gate,
/// waiting for its turn.
#[test]
fn who_asks_in_a_loop_waits_for_its_turn() {
    let mut world = World::new(8);
    world.open(A, 5, "g");
    world.open(A, 6, "h");
    world.open(B, 5, "i");
    world.effects();
    let mut at_once = 0;
    loop {
        world.sync(A, 5);
        if world.synced() != [5] {
            break;
        }
        at_once += 1;
    }
    assert!((100..10_000).contains(&at_once), "{at_once}");
    world.sync(B, 5);
    world.sync(A, 6);
    let mut order = Vec::new();
    for _ in 0..5 {
        world.now = world.bus.next_deadline().unwrap();
        world.bus.expire(world.now);
        for effect in world.effects() {
            if let Effect::Send(to, ToPlugin::Gate(GateToPlugin::Synced { open })) = effect {
                order.push((to, open));
                if (to, open) == (A, 5) {
                    world.sync(A, 5);
                }
            }
        }
    }
    assert_eq!(order[..3], [(A, 5), (B, 5), (A, 6)]);
    assert_eq!(order[3..], [(A, 5), (A, 5)]);
}

/// If news waited for its turn as well, a gate would be invisible for that time.
#[test]
fn news_are_not_kept_until_it_is_ones_turn() {
    let mut world = World::new(8);
    world.open(A, 5, "g");
    world.effects();
    world.sync(A, 5);
    while world.synced() == [5] {
        world.sync(A, 5);
    }
    world.provide(B, "g");
    let told = world.obedient_and_told();
    assert_eq!(told, [(5, Some(true)), (5, None)]);
    assert_eq!(world.bus.asked.next(), None);
}

impl World {
    /// As `told`, and has the plugins answer everything meanwhile.
    fn obedient_and_told(&mut self) -> Vec<(u32, Option<bool>)> {
        let mut told = Vec::new();
        loop {
            let (gates, others): (Vec<_>, Vec<_>) = self
                .effects()
                .into_iter()
                .partition(|effect| matches!(effect, Effect::Send(A, ToPlugin::Gate(_))));
            if gates.is_empty() && others.is_empty() {
                return told;
            }
            self.bus.effects.extend(gates);
            told.extend(self.told());
            self.bus.effects.extend(others);
            self.obedient_once();
        }
    }

    /// Has the plugins answer what they are asked now, but not what follows from that.
    fn obedient_once(&mut self) {
        for effect in self.effects() {
            match effect {
                Effect::Make { to, memory, .. } => self.ok(to, mapped(memory, Role::Writer)),
                Effect::Seal(_, memory) => self.bus.memory_sealed(memory, self.now),
                Effect::Peer { to, end, .. } => self.ok(to, peer_mapped(end)),
                Effect::Send(to, ToPlugin::Link(LinkToPlugin::Grant { end, index, .. })) => {
                    self.ok(to, LinkToBroker::GrantInstalled { end, index });
                }
                _ => {}
            }
        }
    }
}

#[test]
fn who_asks_out_of_order_is_sent_away() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.sync(A, 5);
    // The link is being set up.
    let sync = GateToBroker::Sync { open: 5 };
    assert_eq!(world.code_of(A, sync), Some(Code::Protocol));
}

/// One thread of a plugin closes a gate while another thread has just asked how it stands. A flood of such questions is charged.
#[test]
fn a_question_about_a_closed_gate_is_charged_and_not_answered() {
    let mut world = World::new(8);
    for is_open in [false, true] {
        if is_open {
            world.open(A, 5, "g");
            world.ok(A, GateToBroker::Close { open: 5 });
            world.effects();
        }
        let sync = ToBroker::from(GateToBroker::Sync { open: 5 });
        let weight = world.bus.record(A, sync, world.now);
        assert_eq!(weight, Ok(Weight::Charged));
        assert_eq!(world.effects(), []);
    }
}

/// A gate that was closed before its turn came is skipped, and so is one of a plugin that has ended.
#[test]
fn who_has_closed_is_not_answered() {
    let mut world = World::new(8);
    world.open(A, 5, "g");
    world.open(A, 6, "h");
    world.effects();
    world.sync(A, 5);
    while world.synced() == [5] {
        world.sync(A, 5);
    }
    world.sync(A, 6);
    world.ok(A, GateToBroker::Close { open: 5 });
    world.open(A, 5, "g");
    assert_eq!(world.told(), [(5, Some(false))]);
    world.now += STEP;
    world.bus.expire(world.now);
    assert_eq!(world.synced(), [6]);
    assert_eq!(world.bus.next_deadline(), None);
}
