//! Records about waits: what the bus accepts, and what it decides.

use super::*;
use callgate_layout::control::{Held, Needs, WaitToBroker, WaitToPlugin};
use callgate_layout::envelope::MAX_DEPTH;

/// A wait for the gate `g` of another plugin, by a thread that has its plugin's turn.
struct Waiting {
    wait: u64,
    chain: u64,
    callee: PluginId,
    needs: Needs,
    holds: Vec<Held>,
}

fn turn(plugin: PluginId) -> Held {
    Held {
        plugin: plugin.0,
        gate: None,
        of: 1,
    }
}

fn waiting(wait: u64, from: PluginId, callee: PluginId) -> Waiting {
    Waiting {
        wait,
        chain: 10 * wait + from.0,
        callee,
        needs: Needs::Answer { call: wait },
        holds: vec![turn(from)],
    }
}

impl Waiting {
    fn record(self) -> WaitToBroker {
        WaitToBroker::Waiting {
            wait: self.wait,
            chain: self.chain,
            callee: self.callee.0,
            gate: "g".into(),
            needs: self.needs,
            holds: self.holds,
            serves: Vec::new(),
        }
    }
}

impl World {
    /// Three plugins, of which the third is in the process of the first.
    fn linked() -> World {
        let mut world = World::new(8);
        let identity = Identity {
            name: "c".into(),
            ..world.bus.member(A).unwrap().identity.clone()
        };
        let from = (1, SeenClock::default());
        world.bus.admit(C, identity, from, world.now);
        world.ok(C, SessionToBroker::StatusMapped);
        world.provide(B, "g");
        world.open(A, 1, "g");
        world.obedient();
        world
    }

    /// The plugins that are asked, for which wait, and in which round.
    fn asked(&mut self) -> Vec<(PluginId, u64, u64)> {
        let effects = self.effects().into_iter();
        let asked = effects.filter_map(|effect| match effect {
            Effect::Send(to, ToPlugin::Wait(WaitToPlugin::Confirm { wait, round })) => {
                Some((to, wait, round))
            }
            _ => None,
        });
        let mut asked: Vec<_> = asked.collect();
        asked.sort();
        asked
    }

    /// The waits that are ended, with the failures.
    fn ended(&mut self) -> Vec<(PluginId, u64, Failure)> {
        let effects = self.effects().into_iter();
        let ended = effects.filter_map(|effect| match effect {
            Effect::Send(to, ToPlugin::Wait(WaitToPlugin::Deadlock { wait, failure })) => {
                Some((to, wait, failure))
            }
            _ => None,
        });
        ended.collect()
    }

    fn confirm(&mut self, asked: &[(PluginId, u64, u64)]) {
        for (plugin, wait, round) in asked.iter().copied() {
            let confirmed = WaitToBroker::Confirmed { wait, round };
            let taken = self.bus.record(plugin, confirmed.into(), self.now);
            assert_eq!(taken, Ok(Weight::Expected));
        }
    }

    /// The deadline for the answers to a round.
    fn rounds(&self) -> Option<Instant> {
        self.bus.next_deadline()
    }
}

const C: PluginId = PluginId(3);

#[test]
fn a_circle_is_named_to_the_one_that_closed_it() {
    let mut world = World::linked();
    world.ok(A, waiting(7, A, B).record());
    assert_eq!(world.asked(), []);
    world.ok(B, waiting(9, B, A).record());
    let asked = world.asked();
    assert_eq!(asked, [(A, 7, 1), (B, 9, 1)]);
    assert_eq!(world.rounds(), Some(world.now + STEP));
    world.confirm(&asked);
    let ended = world.ended();
    let [(B, 9, failure)] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(failure.code, Code::Deadlock as u16);
    let circle =
        "plugin `b` waits for `g` of plugin `a`, which waits for `g` of plugin `b`: this is";
    assert!(failure.message.starts_with(circle), "{failure:?}");
    assert!(
        failure
            .message
            .contains("The call named first was given up"),
        "{failure:?}"
    );
    assert_eq!(world.rounds(), None);
    // The wait was ignored, so its end is nothing new.
    world.ok(B, WaitToBroker::Over { wait: 9 });
    assert_eq!(world.asked(), []);
}

/// A stopped plugin must neither lose its session for not answering nor keep others from being told of circles.
#[test]
fn who_does_not_answer_is_left_out_until_it_does() {
    let mut world = World::linked();
    world.ok(A, waiting(7, A, B).record());
    world.ok(B, waiting(9, B, A).record());
    let asked = world.asked();
    world.confirm(&asked[1..]);
    world.now += STEP;
    world.bus.expire(world.now);
    assert_eq!(world.rounds(), None);
    let effects = world.effects();
    assert!(effects.is_empty(), "{effects:?}");
    world.confirm(&asked[..1]);
    let again = world.asked();
    assert_eq!(again, [(A, 7, 2), (B, 9, 2)]);
    world.confirm(&again);
    assert_eq!(world.ended().len(), 1);
}

#[test]
fn answers_to_no_question_count_as_requests() {
    let mut world = World::linked();
    world.ok(A, waiting(7, A, B).record());
    for (wait, round) in [(7, 0), (7, 1), (8, 0)] {
        let confirmed = WaitToBroker::Confirmed { wait, round };
        let taken = world.bus.record(A, confirmed.into(), world.now);
        assert_eq!(taken, Ok(Weight::Charged));
    }
    world.ok(B, waiting(9, B, A).record());
    let asked = world.asked();
    world.confirm(&asked[..1]);
    let (plugin, wait, round) = asked[0];
    let twice = WaitToBroker::Confirmed { wait, round };
    let taken = world.bus.record(plugin, twice.into(), world.now);
    assert_eq!(taken, Ok(Weight::Charged));
}

/// A plugin could have calls between other plugins ended.
#[test]
fn what_is_not_the_plugin_s_own_to_say_is_ignored() {
    let unknown = PluginId(99);
    let foreign = |wait, held: PluginId| Waiting {
        holds: vec![turn(held)],
        ..waiting(wait, A, B)
    };
    let direct = Waiting {
        needs: Needs::Turn,
        ..waiting(7, A, B)
    };
    let nothing = Waiting {
        holds: Vec::new(),
        ..waiting(7, A, B)
    };
    let ignored = [
        foreign(7, B),
        foreign(7, unknown),
        direct,
        nothing,
        waiting(7, A, unknown),
    ];
    let mut world = World::linked();
    world.ok(B, waiting(9, B, A).record());
    for wait in ignored {
        world.ok(A, wait.record());
        assert_eq!(world.asked(), []);
    }
    // Not linked with the callee, and in another process.
    let mut world = World::linked();
    world.ok(C, waiting(9, C, B).record());
    world.ok(B, waiting(9, B, C).record());
    assert_eq!(world.asked(), []);
    // Within its own process, it may report all of this.
    world.ok(A, foreign(7, C).record());
    assert_eq!(world.asked(), []);
    let mut world = World::linked();
    let visits = Waiting {
        needs: Needs::Turn,
        holds: vec![turn(A)],
        ..waiting(11, A, C)
    };
    world.ok(A, visits.record());
    world.ok(C, waiting(12, C, A).record());
    assert_eq!(world.asked().len(), 2);
}

#[test]
fn more_than_a_stack_can_have_breaks_the_protocol() {
    let with = |holds: usize, serves: usize| WaitToBroker::Waiting {
        wait: 1,
        chain: 1,
        callee: B.0,
        gate: "g".into(),
        needs: Needs::Permit,
        holds: vec![turn(A); holds],
        serves: vec![1; serves],
    };
    let mut world = World::linked();
    let most = usize::from(MAX_DEPTH);
    world.ok(A, with(2 * most, most));
    for (holds, serves) in [(2 * most + 1, 0), (0, most + 1)] {
        let code = world.code_of(A, with(holds, serves));
        assert_eq!(code, Some(Code::Protocol));
    }
}

/// Limited, because each wait takes memory of the broker.
#[test]
fn waits_beyond_a_plugin_s_share_are_ignored() {
    let mut world = World::linked();
    for wait in 0..3000 {
        world.ok(A, waiting(wait, A, B).record());
    }
    let member = world.bus.member(A).unwrap();
    assert_eq!(member.waits.used(), 4096);
    for wait in 0..3000 {
        world.ok(A, WaitToBroker::Over { wait });
    }
    assert_eq!(world.bus.member(A).unwrap().waits.used(), 0);
}

/// Plugins of a group have one turn, whichever of them a record names.
#[test]
fn plugins_with_one_doorbell_have_one_turn() {
    for (first, found) in [(C, false), (A, true)] {
        let mut world = World::linked();
        world.bus.is_served_with(C, first);
        world.ok(B, waiting(9, B, A).record());
        let as_c = Waiting {
            holds: vec![turn(C)],
            ..waiting(7, A, B)
        };
        world.ok(A, as_c.record());
        assert_eq!(!world.asked().is_empty(), found);
    }
}

/// A gate that runs one call at a time: another plugin's chain is in it, and waits for a turn that this chain has.
#[test]
fn a_gate_that_runs_one_call_at_a_time_closes_a_circle() {
    for (gate, found) in [("g", true), ("none", false)] {
        let mut world = World::linked();
        let inside = Waiting {
            holds: vec![
                Held {
                    plugin: B.0,
                    gate: Some(gate.into()),
                    of: 1,
                },
                Held { of: 9, ..turn(B) },
            ],
            ..waiting(9, B, A)
        };
        world.ok(B, inside.record());
        world.ok(A, waiting(7, A, B).record());
        assert_eq!(!world.asked().is_empty(), found);
    }
}

#[test]
fn the_end_of_a_plugin_or_of_a_link_ends_waits() {
    for dies in [true, false] {
        let mut world = World::linked();
        world.ok(A, waiting(7, A, B).record());
        world.ok(B, waiting(9, B, A).record());
        assert_eq!(world.asked().len(), 2);
        let failure = Failure::new(Code::ProviderGone, "killed");
        if dies {
            world.bus.remove(B, &failure, world.now);
        } else {
            let end = LinkEnd { link: 1, side: 0 };
            world.ok(A, LinkToBroker::Failed { end, failure });
            world.bus.expire(world.now);
        }
        let round = WaitToBroker::Confirmed { wait: 7, round: 1 };
        let taken = world.bus.record(A, round.into(), world.now);
        assert_eq!(taken, Ok(Weight::Charged), "it is over");
        assert_eq!(world.ended(), []);
        assert_eq!(world.rounds(), None);
    }
}

/// As many waits as the broker keeps, all of which depend on one another: the cost of one more record.
#[test]
fn the_broker_goes_on_with_others_while_it_looks_at_waits() {
    let mut world = World::linked();
    for wait in 0..1000 {
        world.ok(A, waiting(wait, A, B).record());
    }
    world.ok(B, waiting(1, B, A).record());
    let asked = world.asked();
    assert_eq!(asked.len(), 1001);
    world.confirm(&asked);
    // The broker has looked at very many waits, and does something else first.
    assert_eq!(world.ended().len(), 0);
    let begun = world.now;
    assert!(world.rounds().unwrap() >= begun + Duration::from_millis(1));
    let mut ended = 0;
    while let Some(due) = world.rounds() {
        world.now = due;
        world.bus.expire(due);
        ended += world.ended().len();
    }
    assert_eq!(ended, 1, "the youngest was in all circles");
    assert!(world.now < begun + Duration::from_millis(50));
}
