//! Single cases with few waits each.

use super::super::*;
use super::schedules::begin;

/// A wait of the plugin of this number, which holds its turn.
pub(super) fn wait(plugin: u64, callee: u64) -> Wait {
    Wait {
        chain: plugin,
        process: plugin as u32,
        callee_process: callee as u32,
        callee: PluginId(callee),
        gate: "gate".into(),
        call: None,
        is_sent: false,
        needs: vec![turn(callee)],
        holds: vec![hold(turn(plugin), 1)],
        serves: Vec::new(),
    }
}

pub(super) fn turn(plugin: u64) -> Resource {
    Resource::Turn(PluginId(plugin))
}

pub(super) fn permit(plugin: u64) -> Resource {
    Resource::Permit(PluginId(plugin), "gate".into())
}

pub(super) fn hold(what: Resource, of: u32) -> Hold {
    Hold { what, of }
}

pub(super) fn id(from: u64, number: u64) -> WaitId {
    let from = PluginId(from);
    WaitId { from, number }
}

/// The decisions of a graph after all its tasks.
pub(super) fn decisions(waits: &mut Waits) -> Vec<Decision> {
    while waits.work().is_some() {}
    std::iter::from_fn(|| waits.next_decision()).collect()
}

/// The waits that are asked about, and the one round that they are in.
pub(super) fn asked(decisions: &[Decision]) -> (Vec<WaitId>, u64) {
    let asked = decisions.iter().filter_map(|decision| match decision {
        Decision::Ask { wait, round } => Some((*wait, *round)),
        _ => None,
    });
    let (mut waits, rounds): (Vec<WaitId>, Vec<u64>) = asked.unzip();
    assert!(rounds.windows(2).all(|two| two[0] == two[1]), "{rounds:?}");
    waits.sort();
    (waits, *rounds.first().expect("nobody was asked"))
}

fn given_up(decisions: &[Decision]) -> Vec<WaitId> {
    let ends = decisions.iter().filter_map(|decision| match decision {
        Decision::GiveUp { wait, .. } => Some(*wait),
        _ => None,
    });
    ends.collect()
}

/// Confirms all waits that are asked about. Returns the waits that are then given up.
fn confirm_all(waits: &mut Waits) -> Vec<WaitId> {
    let (members, round) = asked(&decisions(waits));
    for member in members {
        assert!(waits.confirm(member, round));
    }
    given_up(&decisions(waits))
}
/// A handler waited for a call that it had sent to its own plugin. Neither calls of its chain nor the sent call are served meanwhile,
/// because that call is of another chain.
#[test]
fn a_call_that_was_sent_waits_for_what_its_own_chain_holds() {
    let mut waits = Waits::default();
    begin(&mut waits, id(1, 1), wait(1, 1));
    assert_eq!(decisions(&mut waits), []);
    waits.end(id(1, 1));
    let sent = Wait {
        is_sent: true,
        ..wait(1, 1)
    };
    begin(&mut waits, id(1, 2), sent);
    let (asked, round) = asked(&decisions(&mut waits));
    assert_eq!(asked, [id(1, 2)]);
    assert!(waits.confirm(id(1, 2), round));
    assert_eq!(given_up(&decisions(&mut waits)), [id(1, 2)]);
}

#[test]
fn a_circle_is_asked_and_its_youngest_wait_given_up() {
    let mut waits = Waits::default();
    begin(&mut waits, id(1, 7), wait(1, 2));
    begin(&mut waits, id(2, 7), wait(2, 3));
    begin(&mut waits, id(9, 7), wait(9, 1));
    assert_eq!(decisions(&mut waits), [], "nobody stands still yet");
    begin(&mut waits, id(3, 7), wait(3, 1));
    let all = decisions(&mut waits);
    let (members, round) = asked(&all);
    assert_eq!(members, [id(1, 7), id(2, 7), id(3, 7)]);
    assert!(all.contains(&Decision::Await(round)));
    assert!(waits.confirm(id(1, 7), round) && waits.confirm(id(3, 7), round));
    assert!(!waits.confirm(id(3, 7), round), "it was asked once");
    assert!(!waits.confirm(id(2, 7), round + 1), "nobody asked that");
    assert_eq!(decisions(&mut waits), [], "one has not answered");
    assert!(waits.confirm(id(2, 7), round));
    let stop = |from, callee| Stop {
        from: PluginId(from),
        callee: PluginId(callee),
        gate: "gate".into(),
        is_for_events: false,
    };
    let end = Decision::GiveUp {
        wait: id(3, 7),
        circle: vec![stop(3, 1), stop(1, 2), stop(2, 3)],
    };
    assert_eq!(decisions(&mut waits), [end, Decision::Done(round)]);
}

/// An answer that was under way must not be taken for a circle.
#[test]
fn a_round_ends_when_a_member_is_over() {
    let mut waits = Waits::default();
    begin(&mut waits, id(1, 1), wait(1, 2));
    begin(&mut waits, id(2, 1), wait(2, 1));
    let (_, round) = asked(&decisions(&mut waits));
    assert!(waits.confirm(id(2, 1), round));
    waits.end(id(1, 1));
    waits.end(id(1, 1));
    assert_eq!(decisions(&mut waits), [Decision::Done(round)]);
    // The thread's next wait is asked about anew.
    begin(&mut waits, id(1, 2), wait(1, 2));
    assert_eq!(asked(&decisions(&mut waits)).0.len(), 2);
}

#[test]
fn two_circles_are_told_at_the_same_time() {
    let mut waits = Waits::default();
    for (plugin, callee) in [(1, 2), (3, 4), (2, 1), (4, 3)] {
        begin(&mut waits, id(plugin, 1), wait(plugin, callee));
    }
    let all = decisions(&mut waits);
    for decision in &all {
        if let Decision::Ask { wait, round } = decision {
            assert!(waits.confirm(*wait, *round));
        }
    }
    assert_eq!(given_up(&decisions(&mut waits)), [id(2, 1), id(4, 1)]);
}

/// A plugin that did not answer kept others from being told of another circle, or had a wait ended that was long over.
#[test]
fn who_is_late_counts_again_when_it_answers() {
    let mut waits = Waits::default();
    begin(&mut waits, id(1, 1), wait(1, 2));
    begin(&mut waits, id(2, 1), wait(2, 1));
    let (_, round) = asked(&decisions(&mut waits));
    assert!(waits.confirm(id(2, 1), round));
    waits.late(round);
    assert_eq!(decisions(&mut waits), [Decision::Done(round)]);
    assert!(waits.confirm(id(1, 1), round));
    assert_eq!(confirm_all(&mut waits), [id(2, 1)]);
}

/// The second circle was never found: when its last wait was reported, one of its waits was being asked about.
#[test]
fn a_circle_behind_a_round_is_looked_at_when_that_is_over() {
    let mut waits = Waits::default();
    let in_turn_of_1 = |callee| Wait {
        chain: 1,
        ..wait(1, callee)
    };
    begin(&mut waits, id(1, 1), in_turn_of_1(2));
    begin(&mut waits, id(2, 1), wait(2, 1));
    let (_, round) = asked(&decisions(&mut waits));
    // Another thread of the chain, in the turn that the first one lends.
    begin(&mut waits, id(1, 2), in_turn_of_1(3));
    begin(&mut waits, id(3, 1), wait(3, 1));
    assert_eq!(decisions(&mut waits), []);
    assert!(waits.confirm(id(1, 1), round) && waits.confirm(id(2, 1), round));
    let all = decisions(&mut waits);
    assert_eq!(given_up(&all), [id(2, 1)]);
    assert_eq!(asked(&all).0, [id(1, 2), id(3, 1)]);
}

/// Both threads that have a turn stand still: when the wait of one is ended, the other still holds the turn.
#[test]
fn a_round_ends_as_many_waits_as_it_has_circles() {
    let mut waits = Waits::default();
    begin(&mut waits, id(3, 1), wait(3, 1));
    begin(&mut waits, id(1, 1), wait(1, 3));
    let (_, round) = asked(&decisions(&mut waits));
    waits.late(round);
    waits.end(id(1, 1));
    // In one chain.
    begin(&mut waits, id(1, 2), wait(1, 3));
    begin(&mut waits, id(1, 3), wait(1, 3));
    assert_eq!(decisions(&mut waits), [Decision::Done(round)]);
    assert!(waits.confirm(id(3, 1), round));
    assert_eq!(confirm_all(&mut waits), [id(1, 3), id(1, 2)]);
}

/// A call that a handler has begun has had effects; one that waits in a queue has not.
#[test]
fn the_call_that_is_given_up_was_not_begun() {
    let mut waits = Waits::default();
    // A call of 1 is served by 2, which waits for 3, which waits for 1.
    let serving = Wait {
        chain: 1,
        serves: vec![77],
        ..wait(2, 3)
    };
    let served = Wait {
        call: Some(77),
        ..wait(1, 2)
    };
    begin(&mut waits, id(2, 1), serving);
    begin(&mut waits, id(3, 1), wait(3, 1));
    begin(&mut waits, id(1, 1), served);
    assert_eq!(confirm_all(&mut waits), [id(3, 1)]);
}

/// A free thread in the pool hid that the first call is served by the thread that stands still.
#[test]
fn a_call_that_a_pool_serves_is_blocked_by_that_thread_alone() {
    for (call, blocked) in [(77, true), (78, false)] {
        let mut waits = Waits::default();
        let in_pool = Wait {
            chain: 1,
            serves: vec![77],
            holds: vec![hold(turn(2), 2)],
            ..wait(2, 3)
        };
        let call = Some(call);
        begin(&mut waits, id(2, 1), in_pool);
        begin(&mut waits, id(1, 1), Wait { call, ..wait(1, 2) });
        begin(&mut waits, id(3, 1), wait(3, 1));
        assert_eq!(decisions(&mut waits).is_empty(), !blocked);
    }
}

/// A plugin that claims to serve a call to another process must not have that call ended.
#[test]
fn nobody_serves_the_calls_to_another_process() {
    let mut waits = Waits::default();
    let liar = Wait {
        serves: vec![77],
        ..wait(9, 1)
    };
    let call = Some(77);
    begin(&mut waits, id(9, 1), liar);
    begin(&mut waits, id(1, 1), Wait { call, ..wait(1, 2) });
    assert_eq!(decisions(&mut waits), []);
}

/// A gate that runs two calls at a time has room, however many calls of one chain are in it.
#[test]
fn of_the_calls_of_a_gate_those_of_one_chain_count_once() {
    for (chain, blocked) in [(5, false), (6, true)] {
        let mut waits = Waits::default();
        for (number, chain) in [(1, 5), (2, chain)] {
            let inside = Wait {
                chain,
                holds: vec![hold(permit(2), 2)],
                ..wait(2, 1)
            };
            begin(&mut waits, id(2, number), inside);
        }
        let caller = Wait {
            needs: vec![permit(2)],
            ..wait(1, 2)
        };
        begin(&mut waits, id(1, 1), caller);
        assert_eq!(decisions(&mut waits).is_empty(), !blocked);
    }
}

/// Of how much there is of a resource, the largest number that a holder says counts; and if calls may go on without it because answers come
/// later, it blocks nobody.
#[test]
fn the_largest_number_counts_and_none_where_answers_come_later() {
    for (of, blocked) in [(1, true), (2, false), (0, false)] {
        let mut waits = Waits::default();
        let holding = Wait {
            holds: vec![hold(turn(2), of), hold(turn(2), of)],
            ..wait(2, 1)
        };
        begin(&mut waits, id(2, 1), holding);
        begin(&mut waits, id(1, 1), wait(1, 2));
        assert_eq!(decisions(&mut waits).is_empty(), !blocked, "{of}");
    }
}

#[test]
fn what_ends_takes_its_waits_along() {
    let parted: [fn(&mut Waits); 3] = [
        |waits| waits.remove(PluginId(1)),
        |waits| waits.remove(PluginId(2)),
        |waits| waits.part(PluginId(1), PluginId(2)),
    ];
    for part in parted {
        let mut waits = Waits::default();
        begin(&mut waits, id(1, 1), wait(1, 2));
        begin(&mut waits, id(1, 2), wait(1, 3));
        begin(&mut waits, id(2, 1), wait(2, 1));
        let (_, round) = asked(&decisions(&mut waits));
        part(&mut waits);
        assert_eq!(decisions(&mut waits), [Decision::Done(round)]);
    }
    let mut waits = Waits::default();
    begin(&mut waits, id(1, 1), wait(1, 2));
    waits.remove(PluginId(1));
    let empty = format!("{:?}", Waits::default());
    let left = Waits {
        last_age: 0,
        tasks: Tasks::default(),
        ..waits
    };
    assert_eq!(format!("{left:?}"), empty, "nothing is left of it");
}

/// A plugin that reports very many waits makes the broker look at a limited number of them.
#[test]
fn a_circle_of_too_many_is_not_looked_for() {
    for (count, found) in [(MOST as u64 / 2, true), (MOST as u64 + 10, false)] {
        let mut waits = Waits::default();
        for number in 0..count {
            let threads = Wait {
                chain: 100 + number,
                holds: vec![hold(turn(2), count as u32)],
                ..wait(2, 1)
            };
            begin(&mut waits, id(2, number), threads);
        }
        begin(&mut waits, id(1, 1), wait(1, 2));
        assert_eq!(!decisions(&mut waits).is_empty(), found, "{count}");
    }
}

/// The broker's thread did nothing else while it looked at very many waits. So many take about a millisecond in a release build.
#[test]
fn a_look_takes_a_bounded_number_of_waits_into_account() {
    for (plugins, count, more) in [(10, 1000, 0), (500, 1000, 3), (33, 1000, 126), (4, 2000, 1)] {
        let mut waits = Waits::default();
        for number in 0..count {
            let plugin = number % plugins;
            let others = (0..more).map(|other| hold(turn(1000 + other), 1));
            let holds = std::iter::once(hold(turn(plugin), 1)).chain(others);
            let in_turn = Wait {
                chain: 1000 + number,
                holds: holds.collect(),
                ..wait(plugin, (plugin + 1) % plugins)
            };
            begin(&mut waits, id(plugin, number), in_turn);
        }
        // Only the look at the last wait, which visits all the others.
        (1..count).for_each(|_| drop(waits.tasks.pop()));
        let (mut asked, mut ended) = (0, 0);
        for _ in 0..4 {
            let cost = waits.work().unwrap_or(0);
            assert!(cost <= 2 * MOST, "{cost} of {plugins} {count} {more}");
            while let Some(decision) = waits.next_decision() {
                asked += usize::from(matches!(decision, Decision::Ask { .. }));
                ended += usize::from(matches!(decision, Decision::GiveUp { .. }));
                if let Decision::Ask { wait, round } = decision {
                    assert!(waits.confirm(wait, round));
                }
            }
        }
        assert!([0, count as usize].contains(&asked), "{asked}");
        assert_eq!(asked > 0, ended > 0);
    }
}
