//! All schedules of the plain model, and the reports of its threads.

use std::collections::{BTreeSet, HashSet};

use super::super::{Hold, Resource, Wait, WaitId, Waits};
use super::model::{self, Item, Move, Stage, World};
use super::setup::{Mode, Setup, Target};
use crate::id::PluginId;
use crate::quota::Quota;

/// How many states are looked at in one case.
const MOST_STATES: usize = 4_000;

impl World {
    /// Whether a thread does not report a wait that stands still.
    ///
    /// A thread reports only the top of its stack, and nothing while a guest is in its turn or a call waits to become one. So a wait that
    /// stands still is not reported if it is below a running handler, or below a wait that will be over.
    pub(super) fn hides_one(&self, setup: &Setup, stuck: &BTreeSet<usize>) -> bool {
        let is_stuck = |wait: &model::Wait| stuck.contains(&wait.number);
        (0..self.stacks.len()).any(|thread| {
            let has_some = self.stacks[thread].iter().any(|item| match item {
                Item::Waits(wait) => is_stuck(wait),
                Item::Handler { .. } => false,
            });
            let shows_one = self.wait(thread).is_some_and(is_stuck)
                && !self.has_guests(thread)
                && !self.keeps_reentrant_waiting(setup, thread);
            has_some && !shows_one
        })
    }

    /// Whether a call of a re-entrant gate waits to be run on top of a thread's wait. Meanwhile the thread does not report that wait.
    pub(super) fn keeps_reentrant_waiting(&self, setup: &Setup, thread: usize) -> bool {
        let is_on = |dispatcher: usize| {
            let mut holders = self.turns[dispatcher].iter();
            let has_turn = holders.any(|(holder, _)| *holder == thread);
            has_turn || setup.threads[thread].0 == Some(dispatcher)
        };
        let mut calls = self.calls.iter();
        calls.any(|call| {
            let is_reentrant = setup.gate(call.target).reentrant;
            let waits = call.stage == Stage::Queued && is_reentrant;
            waits && is_on(setup.plugins[call.target.plugin].dispatcher)
        })
    }

    /// The numbers of all waits.
    pub(super) fn standing(&self) -> BTreeSet<usize> {
        let items = self.stacks.iter().flatten();
        let waits = items.filter_map(|item| match item {
            Item::Waits(wait) => Some(wait.number),
            Item::Handler { .. } => None,
        });
        waits.collect()
    }

    /// The waits that no schedule ends, if handlers return, no further calls are made, and no deadline passes. Found by going through all
    /// schedules; `None` if there are too many.
    pub(super) fn stuck(&self, setup: &Setup) -> Option<BTreeSet<usize>> {
        let mut stuck = self.standing();
        let (mut seen, mut next) = (HashSet::new(), vec![self.clone()]);
        while let Some(world) = next.pop() {
            let standing = world.standing();
            stuck.retain(|number| standing.contains(number));
            for step in world.progress(setup) {
                let mut after = world.clone();
                after.make(setup, step);
                if seen.len() == MOST_STATES {
                    return None;
                }
                if seen.insert(after.clone()) {
                    next.push(after);
                }
            }
        }
        Some(stuck)
    }

    /// Has the library do everything that it does at once, in some order.
    pub(super) fn settle(&mut self, setup: &Setup, pick: usize) {
        loop {
            let moves = self.quiet_progress(setup);
            match moves.len() {
                0 => return,
                count => self.make(setup, moves[pick % count]),
            }
        }
    }

    /// The report of a thread about its wait. `None` if it holds nothing, or if it has its answer and only waits for turns that it has
    /// lent.
    pub(super) fn report(&self, setup: &Setup, thread: usize) -> Option<(WaitId, Wait)> {
        let is_answered = |call: usize| self.calls[call].stage == Stage::Answered;
        let has_ended =
            |wait: &&model::Wait| wait.is_given_up || wait.call.is_some_and(is_answered);
        let wait = self.wait(thread).filter(|wait| !has_ended(wait))?;
        if self.has_guests(thread) || self.keeps_reentrant_waiting(setup, thread) {
            return None;
        }
        let (mut holds, mut serves) = (Vec::new(), Vec::new());
        let (own, process) = setup.threads[thread];
        let mut hold = |what: Resource, of: usize| {
            let dispatcher = match &what {
                Resource::Turn(of) => of.0 as usize,
                Resource::Permit(plugin, _) => setup.plugins[plugin.0 as usize].dispatcher,
            };
            let is_late = wait.later.contains(&dispatcher);
            let of = if is_late { 0 } else { of as u32 };
            holds.push(Hold { what, of });
        };
        if let Some(own) = own.filter(|own| setup.dispatchers[*own].mode == Mode::Pump) {
            hold(turn(own), 1);
        }
        for item in &self.stacks[thread] {
            let Item::Handler { target, call, .. } = item else {
                continue;
            };
            let dispatcher = setup.plugins[target.plugin].dispatcher;
            match setup.mode_of(target.plugin) {
                Mode::Pool(count) if call.is_some() => hold(turn(dispatcher), count),
                Mode::Pool(_) => {}
                Mode::Thread | Mode::Pump => hold(turn(dispatcher), 1),
            }
            if let Some(limit) = setup.gate(*target).limit {
                hold(permit(*target), limit);
            }
            serves.extend(call.map(|call| call as u64));
        }
        if holds.is_empty() {
            return None;
        }
        let needs = needs(setup, wait.target, wait.call.is_some());
        let id = WaitId {
            from: PluginId(thread as u64),
            number: report_number(wait),
        };
        let report = Wait {
            chain: wait.chain as u64,
            process: process as u32,
            callee_process: setup.process_of(wait.target.plugin) as u32,
            callee: PluginId(wait.target.plugin as u64),
            gate: "g".into(),
            call: wait.call.map(|call| call as u64),
            is_sent: false,
            needs,
            holds,
            serves,
        };
        Some((id, report))
    }

    /// Whether a thread confirms a wait that it is asked about.
    pub(super) fn stands(&self, setup: &Setup, id: WaitId) -> bool {
        let thread = id.from.0 as usize;
        let Some(wait) = self.wait(thread) else {
            return false;
        };
        let moves = self.quiet_progress(setup);
        let can_go_on = moves.into_iter().any(|step| match step {
            Move::GoOn(of) => of == thread,
            Move::Serve(of, call) => of == thread || self.would_be_guest(setup, of, call, thread),
            _ => false,
        });
        let call = wait.call.map(|call| self.calls[call].stage);
        report_number(wait) == id.number
            && call != Some(Stage::Answered)
            && !can_go_on
            && !self.keeps_reentrant_waiting(setup, thread)
    }

    /// What the library does when the broker ends a wait: the call fails.
    pub(super) fn give_up(&mut self, id: WaitId) {
        if let Some(Item::Waits(wait)) = self.stacks[id.from.0 as usize].last_mut()
            && report_number(wait) == id.number
        {
            wait.is_given_up = true;
        }
    }
}

/// The number under which the broker knows a wait.
fn report_number(wait: &model::Wait) -> u64 {
    (wait.number * 100 + wait.times) as u64
}

/// The wait that the broker knows under a number.
pub(super) fn number_of(id: WaitId) -> usize {
    id.number as usize / 100
}

/// Adds a wait to a graph.
pub(super) fn begin(waits: &mut Waits, id: WaitId, wait: Wait) {
    waits.begin(id, wait, Quota::new(1).charge().unwrap());
}

fn turn(dispatcher: usize) -> Resource {
    Resource::Turn(PluginId(dispatcher as u64))
}

fn permit(target: Target) -> Resource {
    let gate = target.gate.to_string();
    Resource::Permit(PluginId(target.plugin as u64), gate.into())
}

fn needs(setup: &Setup, target: Target, is_linked: bool) -> Vec<Resource> {
    let dispatcher = setup.plugins[target.plugin].dispatcher;
    let is_pool = matches!(setup.mode_of(target.plugin), Mode::Pool(_));
    let needs_turn = is_linked || !is_pool;
    let turn = needs_turn.then(|| turn(dispatcher));
    let limit = setup.gate(target).limit;
    turn.into_iter()
        .chain(limit.map(|_| permit(target)))
        .collect()
}
