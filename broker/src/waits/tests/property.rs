//! The graph, compared with the plain model.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::suspects::Suspects;
use super::super::tasks::Start;
use super::super::{Decision, WaitId, Waits};
use super::model::{Move, Stage, World};
use super::schedules::{begin, number_of};
use super::setup::{Dispatcher, Gate, Mode, Plugin, Setup, Target};

/// What may happen in a test case.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowed {
    pub(super) visits: bool,
    pub(super) given_up: bool,
    pub(super) later: bool,
}

/// A number that a step is chosen by: its kind, and one of the possible steps of that kind.
pub(super) type Choice = (u8, u16);

pub(super) fn setup(visits: bool) -> impl Strategy<Value = Setup> {
    let mode = prop_oneof![
        3 => Just(Mode::Thread),
        2 => (1usize..4).prop_map(Mode::Pool),
        1 => Just(Mode::Pump),
    ];
    let processes = if visits { 2 } else { 4usize };
    let dispatcher = (mode, 0..processes).prop_map(|(mode, process)| Dispatcher { mode, process });
    let limit = prop_oneof![3 => Just(None), 2 => (1usize..3).prop_map(Some)];
    let gate = (limit, prop::bool::weighted(0.15))
        .prop_map(|(limit, reentrant)| Gate { limit, reentrant });
    let plugin = (0usize..4, prop::collection::vec(gate, 1..3));
    let more = prop::collection::vec(0..processes, if visits { 0..3 } else { 0..1 });
    let all = (
        prop::collection::vec(dispatcher, 1..4),
        prop::collection::vec(plugin, 2..5),
        more,
    );
    all.prop_map(|(dispatchers, plugins, more)| {
        let count = dispatchers.len();
        // Each dispatcher has at least one plugin.
        let plugin = |(at, (dispatcher, gates)): (usize, (usize, Vec<Gate>))| Plugin {
            dispatcher: if at < count { at } else { dispatcher % count },
            gates,
        };
        let mut plugins = plugins;
        while plugins.len() < count {
            plugins.push(plugins[0].clone());
        }
        let plugins = plugins.into_iter().enumerate().map(plugin);
        Setup::new(dispatchers, plugins.collect(), &more)
    })
}

/// Two or three plugins with one or two threads each.
pub(super) fn small_setup() -> impl Strategy<Value = Setup> {
    let mode = prop_oneof![Just(Mode::Thread), (1usize..3).prop_map(Mode::Pool)];
    let modes = prop::collection::vec(mode, 2..4);
    modes.prop_map(|modes| {
        let plugin = |dispatcher| Plugin {
            dispatcher,
            gates: vec![Gate {
                limit: None,
                reentrant: false,
            }],
        };
        let plugins = (0..modes.len()).map(plugin).collect();
        let dispatcher = |(process, mode)| Dispatcher { mode, process };
        let dispatchers = modes.into_iter().enumerate().map(dispatcher);
        Setup::new(dispatchers.collect(), plugins, &[])
    })
}

pub(super) fn choices() -> impl Strategy<Value = Vec<Choice>> {
    prop::collection::vec(any::<Choice>(), 8..40)
}

/// The kind of step by which a thread gives up its call.
pub(super) const GIVE_UP: u8 = 13;
/// How many calls may be under way; more would have too many schedules.
const MOST_CALLS: usize = 10;

/// The step that a number stands for, if one of its kind is possible.
pub(super) fn step(
    setup: &Setup,
    world: &World,
    (kind, pick): Choice,
    allowed: Allowed,
) -> Option<Move> {
    let targets = || {
        let plugins = setup.plugins.iter().enumerate();
        plugins
            .flat_map(|(plugin, of)| (0..of.gates.len()).map(move |gate| Target { plugin, gate }))
    };
    let threads = 0..setup.threads.len();
    let calls = world.calls.iter();
    let under_way = calls.filter(|call| call.stage != Stage::Answered);
    let is_full = under_way.count() >= MOST_CALLS;
    let moves: Vec<Move> = match kind % 16 {
        0..2 if !is_full => targets().map(Move::Begin).collect(),
        2..10 if !is_full => threads
            .filter(|thread| kind % 16 < 3 || !world.stacks[*thread].is_empty())
            .flat_map(|thread| targets().map(move |target| Move::Call(thread, target)))
            .collect(),
        10..13 if allowed.visits => threads
            .flat_map(|thread| targets().map(move |target| Move::Visit(thread, target)))
            .collect(),
        GIVE_UP if allowed.given_up => threads.map(Move::GiveUp).collect(),
        14 if allowed.later => threads.map(|thread| Move::Return(thread, true)).collect(),
        15 => world.progress(setup),
        _ => world.quiet_progress(setup),
    };
    let possible = moves.into_iter().filter(|step| world.may(setup, *step));
    let possible: Vec<Move> = possible.collect();
    let count = possible.len();
    (count > 0).then(|| possible[usize::from(pick) % count])
}

/// Runs these steps. Returns a state in which the library has done everything that it does at once.
fn run(setup: &Setup, choices: &[Choice], allowed: Allowed) -> World {
    let mut world = World::new(setup);
    for choice in choices {
        if let Some(step) = step(setup, &world, *choice, allowed) {
            world.make(setup, step);
        }
        // Most of the time, the library does what it does at once before the next step.
        let (kind, pick) = choice;
        if kind / 16 % 8 != 0 {
            world.settle(setup, usize::from(*pick));
        }
    }
    world.settle(setup, choices.len());
    world
}

fn reports(setup: &Setup, world: &World) -> (Waits, Vec<WaitId>) {
    let mut waits = Waits::default();
    let mut all = Vec::new();
    for thread in 0..setup.threads.len() {
        if let Some((id, wait)) = world.report(setup, thread) {
            begin(&mut waits, id, wait);
            all.push(id);
        }
    }
    (waits, all)
}

fn blocked(waits: &Waits, all: &[WaitId]) -> BTreeSet<usize> {
    let blocked = all
        .iter()
        .filter(|id| Suspects::around(waits, &Start::Wait(**id)).has(**id));
    blocked.map(|id| number_of(*id)).collect()
}

/// Ends the waits that the graph gives up, until there are none.
fn end_all(setup: &Setup, mut world: World) -> Result<(World, usize), TestCaseError> {
    let mut ended = 0;
    loop {
        let (mut waits, _) = reports(setup, &world);
        let mut given_up = Vec::new();
        while waits.work().is_some() {
            while let Some(decision) = waits.next_decision() {
                match decision {
                    Decision::Ask { wait, round } => {
                        prop_assert!(world.stands(setup, wait), "{wait:?}");
                        prop_assert!(waits.confirm(wait, round));
                    }
                    Decision::GiveUp { wait, circle } => {
                        prop_assert!(!circle.is_empty());
                        given_up.push(wait);
                    }
                    Decision::Await(_) | Decision::Done(_) => {}
                }
            }
        }
        if given_up.is_empty() {
            return Ok((world, ended));
        }
        for id in given_up {
            // This must hold also after other waits of the same round were ended.
            let stuck = world.stuck(setup);
            prop_assert!(stuck.is_none_or(|stuck| stuck.contains(&number_of(id))));
            world.give_up(id);
            ended += 1;
        }
        world.settle(setup, ended);
    }
}

pub(super) fn cases(count: u32) -> ProptestConfig {
    let cases = std::env::var("CALLGATE_WAITS_CASES").ok();
    let cases = cases.and_then(|cases| cases.parse().ok()).unwrap_or(count);
    ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::with_cases(cases)
    }
}

/// The waits that are reported: those at the top of their stacks whose threads hold something.
fn reported(all: &[WaitId], stuck: &BTreeSet<usize>) -> BTreeSet<usize> {
    let numbers = all.iter().map(|id| number_of(*id));
    numbers.filter(|number| stuck.contains(number)).collect()
}

/// Asserts that every wait that the graph takes for blocked stands still; and that there are no others, if the threads report every wait
/// that stands still.
fn agrees(setup: &Setup, world: World) -> Result<(), TestCaseError> {
    let Some(stuck) = world.stuck(setup) else {
        return Ok(());
    };
    let (waits, all) = reports(setup, &world);
    let blocked = blocked(&waits, &all);
    prop_assert!(blocked.is_subset(&stuck), "{blocked:?} {stuck:?} {world:?}");
    if !world.hides_one(setup, &stuck) {
        prop_assert_eq!(&blocked, &reported(&all, &stuck), "{:?}", world);
    }
    let (after, ended) = end_all(setup, world)?;
    prop_assert_eq!(ended > 0, !blocked.is_empty());
    let stuck = after.stuck(setup).unwrap_or_default();
    if !after.hides_one(setup, &stuck) {
        prop_assert!(stuck.is_empty(), "{stuck:?} of {after:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(400))]

    /// Calls through links: with threads, pools, pumps, limits, re-entrant gates, chains that come back, and calls that were given up and
    /// are handled all the same.
    #[test]
    fn exactly_what_no_schedule_ends_is_blocked(setup in setup(false), choices in choices()) {
        let allowed = Allowed { given_up: true, ..Allowed::default() };
        let world = run(&setup, &choices, allowed);
        agrees(&setup, world)?;
    }

    /// The same, with calls inside processes, whose threads visit turns.
    #[test]
    fn visits_are_told_apart_from_calls(setup in setup(true), choices in choices()) {
        let allowed = Allowed { visits: true, ..Allowed::default() };
        let world = run(&setup, &choices, allowed);
        agrees(&setup, world)?;
    }

    /// With everything that there is, the graph may miss a wait that stands still, but never takes one for blocked that is not.
    #[test]
    fn what_is_not_known_makes_no_circle(setup in setup(true), choices in choices()) {
        let allowed = Allowed { visits: true, given_up: true, later: true };
        let world = run(&setup, &choices, allowed);
        if let Some(stuck) = world.stuck(&setup) {
            let (waits, all) = reports(&setup, &world);
            let blocked = blocked(&waits, &all);
            prop_assert!(blocked.is_subset(&stuck), "{blocked:?} {stuck:?} {world:?}");
            end_all(&setup, world)?;
        }
    }
}
