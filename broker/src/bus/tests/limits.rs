//! Refusals name the limit that was reached.

use super::*;
use crate::policy::Policy;
use callgate_layout::control::SessionToPlugin;

/// A world whose plugins have limits of their own for everything, by their policies.
fn limited() -> World {
    let mut world = World::new(7);
    let policy = Policy::new().provide("*").call("*");
    let policy = policy.gates(2).opens(3).links(1).extent_mib(4);
    world.bus.set_policy("a", Some(policy), world.now);
    let identity = world.bus.member(A).unwrap().identity.clone();
    let why = Failure::new(Code::ProviderGone, "it comes again");
    world.bus.remove(A, &why, world.now);
    world
        .bus
        .admit(A, identity, (1, SeenClock::default()), world.now);
    world.ok(A, SessionToBroker::StatusMapped);
    world.effects();
    world
}

fn refusal(effects: Vec<Effect>) -> Option<Failure> {
    effects.into_iter().find_map(|effect| match effect {
        Effect::Send(A, ToPlugin::Gate(GateToPlugin::OpenFailed { failure, .. }))
        | Effect::Send(A, ToPlugin::Memory(MemoryToPlugin::Refused { failure, .. })) => {
            Some(failure)
        }
        Effect::Send(A, ToPlugin::Session(SessionToPlugin::Answer { failure, .. })) => failure,
        _ => None,
    })
}

fn expect(effects: Vec<Effect>, text: &str) {
    let failure = refusal(effects).expect("a refusal");
    assert_eq!(failure.code, Code::Overloaded as u16, "{failure:?}");
    assert!(failure.message.contains(text), "{failure:?}");
}

/// The refusal named the limit of the bus, where the plugin's policy had set another.
#[test]
fn a_refusal_names_the_limit_that_was_reached() {
    let mut world = limited();
    for gate in ["a.1", "a.2"] {
        world.provide(A, gate);
        assert_eq!(refusal(world.effects()), None);
    }
    world.provide(A, "a.3");
    expect(
        world.effects(),
        "provides 2 gates and topics already, its limit",
    );
    for open in 1..4 {
        world.open(A, open, "nobody's");
        assert_eq!(refusal(world.effects()), None);
    }
    world.open(A, 4, "nobody's");
    expect(
        world.effects(),
        "has 3 gates open or subscribed to already, its limit",
    );
}

/// The same for links, and for memory of large payloads.
#[test]
fn a_refusal_names_the_limit_of_links_and_of_memory() {
    let mut world = limited();
    world.provide(B, "g");
    world.open(A, 1, "g");
    let told = world.obedient();
    let end = told[0].1.route.expect("a link").end;
    world.provide(A, "own");
    world.effects();
    world.open(A, 2, "own");
    expect(
        world.effects(),
        "plugin `a` (pid 1) has 1 links already, its limit",
    );
    let memory = extent_of(end, 0);
    let len = (8 << 20) + callgate_layout::payload::HEADROOM;
    world.ok(A, MemoryToBroker::Want { memory, len });
    expect(world.effects(), "the 4 MiB that this plugin may have");
}
