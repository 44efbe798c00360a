//! The protocol with records that are under way: a plugin that is told of a circle was in one when its round began.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::super::{Decision, Wait, WaitId, Waits};
use super::model::{Item, Move, World};
use super::property::{Allowed, Choice, GIVE_UP, cases, choices, setup, small_setup, step};
use super::schedules::{begin, number_of};
use super::setup::{Dispatcher, Gate, Mode, Plugin, Setup, Target};

/// How often each thread reports, answers and is heard until nothing is left to do: many times as often as there are calls.
const MOST_TURNS: usize = 1000;

enum Record {
    Waiting(WaitId, Wait),
    Over(WaitId),
    Confirmed(WaitId, u64),
}

/// Threads and the broker, with the records between them. Each thread has a session of its own.
struct Run<'a> {
    setup: &'a Setup,
    world: World,
    waits: Waits,
    /// For each thread, the wait that it has reported and not ended.
    reported: Vec<Option<WaitId>>,
    records: Vec<VecDeque<Record>>,
    questions: Vec<VecDeque<(WaitId, u64)>>,
    /// A copy of the world at the beginning of each round.
    begun: BTreeMap<u64, World>,
    round_of: BTreeMap<WaitId, u64>,
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup) -> Run<'a> {
        let threads = setup.threads.len();
        let none = || (0..threads).map(|_| VecDeque::new());
        Run {
            setup,
            world: World::new(setup),
            waits: Waits::default(),
            reported: vec![None; threads],
            records: none().collect(),
            questions: (0..threads).map(|_| VecDeque::new()).collect(),
            begun: BTreeMap::new(),
            round_of: BTreeMap::new(),
        }
    }

    /// A thread reports what is new about its wait. Returns whether there was anything.
    fn report(&mut self, thread: usize) -> bool {
        let wait = self.world.report(self.setup, thread);
        let now = wait.as_ref().map(|(id, _)| *id);
        if now == self.reported[thread] {
            return false;
        }
        let over = std::mem::replace(&mut self.reported[thread], now);
        self.records[thread].extend(over.map(Record::Over));
        self.records[thread].extend(wait.map(|(id, wait)| Record::Waiting(id, wait)));
        true
    }

    /// A thread answers the question that it was asked first.
    fn answer(&mut self, thread: usize) -> bool {
        let Some((id, round)) = self.questions[thread].pop_front() else {
            return false;
        };
        self.report(thread);
        if self.reported[thread] == Some(id) {
            let stands = self.world.stands(self.setup, id);
            let record = match stands {
                true => Record::Confirmed(id, round),
                false => Record::Over(id),
            };
            if !stands {
                self.reported[thread] = None;
            }
            self.records[thread].push_back(record);
        }
        true
    }

    /// The broker handles a thread's next record.
    fn deliver(&mut self, thread: usize) -> Result<bool, TestCaseError> {
        match self.records[thread].pop_front() {
            None => return Ok(false),
            Some(Record::Waiting(id, wait)) => begin(&mut self.waits, id, wait),
            Some(Record::Over(id)) => self.waits.end(id),
            Some(Record::Confirmed(id, round)) => {
                self.waits.confirm(id, round);
            }
        }
        while self.waits.work().is_some() {}
        while let Some(decision) = self.waits.next_decision() {
            match decision {
                Decision::Ask { wait, round } => {
                    self.questions[wait.from.0 as usize].push_back((wait, round));
                    self.round_of.insert(wait, round);
                }
                Decision::Await(round) => {
                    self.begun.insert(round, self.world.clone());
                }
                Decision::Done(_) => {}
                Decision::GiveUp { wait, .. } => self.give_up(wait)?,
            }
        }
        Ok(true)
    }

    fn give_up(&mut self, wait: WaitId) -> Result<(), TestCaseError> {
        let begun = &self.begun[&self.round_of[&wait]];
        if let Some(stuck) = begun.stuck(self.setup) {
            prop_assert!(stuck.contains(&number_of(wait)), "{wait:?} {begun:?}");
        }
        self.world.give_up(wait);
        Ok(())
    }

    fn make(&mut self, step: Move) {
        self.world.make(self.setup, step);
    }

    /// Makes these moves, and then goes on until nothing is left to do.
    fn play(&mut self, moves: &[Move]) -> Result<(), TestCaseError> {
        moves.iter().for_each(|step| self.make(*step));
        self.finish()
    }

    fn next(&mut self, choice: Choice, allowed: Allowed) -> Result<(), TestCaseError> {
        let (kind, pick) = choice;
        let thread = usize::from(pick) % self.setup.threads.len();
        let choice = match kind / 16 {
            0..3 => return self.deliver(thread).map(|_| ()),
            3..5 => {
                self.answer(thread);
                return Ok(());
            }
            5..8 => {
                self.report(thread);
                return Ok(());
            }
            8 => (GIVE_UP, pick),
            _ => choice,
        };
        if let Some(step) = step(self.setup, &self.world, choice, allowed) {
            self.make(step);
            self.world.settle(self.setup, usize::from(pick));
        }
        Ok(())
    }

    /// Goes on until nothing is left to do. No plugin may ask and be told the same for ever.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..MOST_TURNS {
            self.world.settle(self.setup, 0);
            let mut found = false;
            for thread in 0..self.setup.threads.len() {
                found |= self.report(thread);
                found |= self.answer(thread);
                found |= self.deliver(thread)?;
            }
            if !found {
                return Ok(());
            }
        }
        Err(TestCaseError::fail(format!("no end of {:?}", self.world)))
    }

    /// Lets all handlers return that can.
    fn return_all(&mut self) -> Result<(), TestCaseError> {
        loop {
            self.finish()?;
            let mut stacks = self.world.stacks.iter();
            let runs = stacks.position(|stack| matches!(stack.last(), Some(Item::Handler { .. })));
            let Some(thread) = runs else {
                return Ok(());
            };
            self.make(Move::Return(thread, false));
        }
    }
}

/// A dispatcher with one plugin for each of these, whose gates have these limits.
fn plugins(all: &[(Mode, &[Option<usize>])]) -> Setup {
    let dispatchers = all
        .iter()
        .map(|(mode, _)| Dispatcher {
            mode: *mode,
            process: 0,
        })
        .collect();
    let gate = |limit: &Option<usize>| Gate {
        limit: *limit,
        reentrant: false,
    };
    let plugins = all
        .iter()
        .enumerate()
        .map(|(dispatcher, (_, limits))| Plugin {
            dispatcher,
            gates: limits.iter().map(gate).collect(),
        });
    Setup::new(dispatchers, plugins.collect(), &[])
}

/// A thread of a pool gave up a call. That call's handler went on, on top of the wait of the call which the thread itself handles. The
/// lower wait stands still, and the handler on top waits for one that only takes long. The property took this for a circle that the broker
/// misses; the circle is reported when the handlers on top have returned.
#[test]
fn a_circle_below_a_wait_that_will_be_over_is_told_after_it() -> Result<(), TestCaseError> {
    let setup = plugins(&[(Mode::Pool(3), &[None, Some(1)]), (Mode::Thread, &[None])]);
    let target = |plugin, gate| Target { plugin, gate };
    let (pool, pool_alone, turn) = (target(0, 0), target(0, 1), target(1, 0));
    // Three threads of the pool, and the thread of the other plugin.
    let [inner, outer, other, single] = [0, 1, 2, 3];
    let mut run = Run::new(&setup);
    run.play(&[
        Move::Begin(turn),
        Move::Serve(single, 0),
        Move::Call(single, pool),
        Move::Serve(outer, 1),
        Move::Call(outer, turn),
        Move::Serve(single, 2),
        Move::Call(single, pool),
        Move::Serve(inner, 3),
        Move::GiveUp(outer),
        Move::Begin(pool_alone),
        Move::Serve(other, 4),
        Move::Call(other, turn),
        Move::Call(outer, pool_alone),
    ])?;
    let stuck = run.world.stuck(&setup).unwrap_or_default();
    let number = |thread| run.world.wait(thread).map_or(0, |wait| wait.number);
    prop_assert!(stuck.contains(&number(outer)) && stuck.contains(&number(other)));
    prop_assert!(!stuck.contains(&number(single)), "it will be over");
    prop_assert!(run.world.hides_one(&setup, &stuck));
    prop_assert!(run.begun.is_empty(), "nobody was asked");
    run.return_all()?;
    prop_assert_eq!(run.begun.len(), 1);
    prop_assert_eq!(run.world.standing(), BTreeSet::new());
    Ok(())
}

/// The thread of the model reported a wait that had its answer, and only waited for a turn that it had lent. When it was asked, it said
/// that the wait was over, and then reported it again, for ever. A plugin says that the wait is over, and then waits for the turn.
#[test]
fn a_wait_for_a_turn_that_was_lent_is_not_reported() -> Result<(), TestCaseError> {
    let setup = plugins(&[(Mode::Thread, &[None][..]); 3]);
    let target = |plugin| Target { plugin, gate: 0 };
    let mut run = Run::new(&setup);
    // A handler goes on after its caller has given it up, and takes the turn that the caller lends again.
    run.play(&[
        Move::Begin(target(0)),
        Move::Serve(0, 0),
        Move::Call(0, target(1)),
        Move::Serve(1, 1),
        Move::GiveUp(0),
        Move::Call(0, target(2)),
        Move::Serve(2, 2),
        Move::Visit(1, target(0)),
        Move::Return(2, false),
    ])?;
    prop_assert!(run.world.wait(0).is_some(), "it waits for its turn");
    prop_assert_eq!(&run.reported, &[None, None, None]);
    run.return_all()?;
    prop_assert_eq!(run.world.standing(), BTreeSet::new());
    Ok(())
}

proptest! {
    #![proptest_config(cases(300))]

    /// Few plugins, so that much happens to each of them.
    #[test]
    fn what_was_true_once_ends_nobody(
        setup in small_setup(), choices in prop::collection::vec(any::<Choice>(), 40..200),
    ) {
        let allowed = Allowed { given_up: true, ..Allowed::default() };
        let mut run = Run::new(&setup);
        for choice in choices {
            run.next(choice, allowed)?;
        }
    }

    /// What the broker knows is a moment old: calls end, begin and are given up while it asks.
    #[test]
    fn who_is_ended_stood_still_when_its_round_began(
        setup in setup(true), choices in prop::collection::vec(any::<Choice>(), 40..150),
    ) {
        let allowed = Allowed { visits: true, given_up: true, later: true };
        let mut run = Run::new(&setup);
        for choice in choices {
            run.next(choice, allowed)?;
        }
        run.finish()?;
    }

    /// However the records cross: when all have arrived, waits stand still only if one of them is not reported; and when the handlers that
    /// still ran have returned, none stands still. Between the two, a wait can stand still below one of the same thread that does not. The
    /// thread reports only the upper one, so the circle cannot be known before that one is over; then the lower one is reported anew.
    ///
    /// A call of a re-entrant gate that waits to be run on top of a wait keeps that wait from being reported for as long.
    #[test]
    fn in_the_end_nobody_stands_still(setup in setup(false), choices in choices()) {
        let allowed = Allowed { given_up: true, ..Allowed::default() };
        let mut run = Run::new(&setup);
        for choice in choices.iter().chain(&choices) {
            run.next(*choice, allowed)?;
        }
        run.finish()?;
        let stuck = run.world.stuck(&setup).unwrap_or_default();
        if !run.world.hides_one(&setup, &stuck) {
            prop_assert!(stuck.is_empty(), "{stuck:?} of {:?}", run.world);
        }
        run.return_all()?;
        let mut threads = 0..setup.threads.len();
        if !threads.any(|thread| run.world.keeps_reentrant_waiting(&setup, thread)) {
            prop_assert_eq!(run.world.standing(), BTreeSet::new(), "{:?}", run.world);
        }
    }
}
