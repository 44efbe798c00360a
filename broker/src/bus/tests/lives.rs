//! Lives of gates, as plugins see them that have the gates open.

use proptest::prelude::*;

use super::*;

/// The world of the broker with this number in a row.
fn broker(number: u64) -> World {
    let first = First {
        link: number << 20,
        life: number << 20,
        event: 1,
        share: 1,
    };
    World::of(["a", "b"], 8, first)
}

/// What a plugin remembers about a gate from one broker to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// As a provider: the life that it was told; 0 while it waits for the gate.
    had: Option<u64>,
    /// As a caller: the life and the provider that it was told last.
    seen: (u64, Option<PluginId>),
}

/// Two plugins that both provide the same gate, or want to, and both have it open.
struct Two {
    world: World,
    brokers: u64,
    memory: [Memory; 2],
}

impl Two {
    fn new() -> Two {
        let mut two = Two {
            world: broker(1),
            brokers: 1,
            memory: [Memory::default(); 2],
        };
        two.open();
        two
    }

    fn open(&mut self) {
        for plugin in [A, B] {
            self.world.open(plugin, 5, "g");
        }
    }

    /// Notes what both plugins are told.
    fn look(&mut self) -> Result<(), TestCaseError> {
        for (to, record) in self.world.obeyed() {
            let memory = &mut self.memory[to.0 as usize - 1];
            match record {
                ToPlugin::Gate(GateToPlugin::Provided { life, .. }) => memory.had = Some(life),
                ToPlugin::Gate(GateToPlugin::Lost { .. }) => memory.had = Some(0),
                ToPlugin::Gate(GateToPlugin::State { state, .. }) => {
                    let Some(owner) = state.owner else { continue };
                    let now = (state.generation, self.world.bus.holder(&owner));
                    let before = memory.seen;
                    prop_assert!(
                        now == before || now.0 > before.0,
                        "{:?} after {:?}",
                        now,
                        before
                    );
                    memory.seen = now;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A new broker, to which both come back.
    fn restart(&mut self, first: PluginId) {
        self.brokers += 1;
        self.world = broker(self.brokers);
        for plugin in [first, PluginId(3 - first.0)] {
            if let Some(life) = self.memory[plugin.0 as usize - 1].had {
                self.world
                    .ok(plugin, offer(1, "g", CallKind::Function, Some(life)));
            }
        }
        self.open();
    }
}

/// A provider that outlived its broker was a new provider to the plugins that watched its gate.
#[test]
fn a_provider_that_stays_goes_on_with_its_life() {
    let mut two = Two::new();
    two.world.provide(B, "g");
    two.look().unwrap();
    let seen = two.memory[0].seen;
    assert_eq!(seen.1, Some(B));
    for _ in 0..3 {
        two.restart(A);
        two.look().unwrap();
        assert_eq!(two.memory[0].seen, seen);
        assert_eq!(two.memory[1].had, Some(seen.0));
    }
    two.world.withdraw(B, "g");
    two.world
        .ok(B, offer(1, "g", CallKind::Function, Some(seen.0)));
    two.look().unwrap();
    assert_eq!(two.memory[0].seen.0, 4 << 20, "it did not stay");
}

/// A plugin that came back named for its second half the life that the gate had before.
#[test]
fn both_halves_have_one_life() {
    let mut world = broker(1);
    for (request, kind, life) in [(1, CallKind::Function, 7), (2, CallKind::Action, 9)] {
        world.ok(B, offer(request, "g", kind, Some(life)));
        let life = 7;
        let provided = GateToPlugin::Provided { request, life };
        assert_eq!(world.effects(), [Effect::Send(B, provided.into())]);
    }
}

proptest! {
    /// Plugins that have a gate open see lives that grow, except the unchanged life of a provider that stayed.
    #[test]
    fn lives_grow_for_those_who_watch(acts in proptest::collection::vec((0..4u8, any::<bool>()), 1..40)) {
        let mut two = Two::new();
        for (act, is_first) in acts {
            let plugin = if is_first { A } else { B };
            match act {
                // A plugin that does not come back, and one that names a life it did not have.
                0 => two.world.provide(plugin, "g"),
                1 => two.world.ok(plugin, offer(1, "g", CallKind::Function, Some(two.brokers << 20 | 5))),
                2 => {
                    two.world.withdraw(plugin, "g");
                    two.memory[plugin.0 as usize - 1].had = None;
                }
                _ => two.restart(plugin),
            }
            two.look()?;
        }
    }
}
