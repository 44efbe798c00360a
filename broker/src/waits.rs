//! The waits of all plugins as a graph: which of them stand still for ever, until a deadline passes.
//! Pure: no input or output, no clock.
//!
//! A wait *needs* resources: the turn or a thread of the called plugin's dispatcher, and a permit of the
//! called gate where that has a limit. Its thread *holds* others, and *serves* the calls whose handlers are on its stack.
//! A wait is blocked
//!
//! - where a thread serves its call: as long as the wait of that thread is blocked;
//! - else as long as one of the resources that it needs is held, as often as there is of it, by blocked
//!   waits. A resource that a wait of the same chain holds is free for it: it is served on top of that one;
//!   but not where the call was sent, and so is of another chain.
//!   A chain needs one permit of a gate, and counts once.
//!
//! Of all sets of waits for which this holds together, the largest is what stands still: all are taken for
//! blocked, and those that are not are taken out until nothing changes. A thread that is not known to wait
//! holds nothing here, so what is unknown can hide a circle for a while, and never make one.
//!
//! # Why nobody is told of a circle that there is not
//!
//! What the broker knows is a moment old. So before a wait is ended, all waits that it depends on are
//! asked, in a *round*, whether they stand. Let t be the moment in which the round begins. A plugin confirms
//! a wait if from its report until it was asked the thread ran nothing on top of it, and then a look at the
//! answer and at every call that the thread may serve on top found nothing. So
//!
//! 1. at t all confirmed waits stood together: each was reported before t and confirmed after it;
//! 2. at t each of them held what it had reported, because a thread that waits gets and gives back nothing;
//! 3. at t no answer was there, nor under way: the call lay in a queue, or was on the stack of a thread that
//!    stood, too, or else on one that is not known here; then some resource that it needs is held by that
//!    one, and so is not held, as often as there is of it, by those in the round;
//! 4. so none of them could go on before another of them did.
//!
//! A set of waits that supports itself still does when others of the round are over. So an `Over` makes the
//! round smaller, and what was confirmed stays so; and where several circles were in one round, each loses one
//! wait, one after the other, without further questions.
//!
//! # When waits are looked at
//!
//! A circle can be closed by a wait, and by the end of one.
//!
//! - A wait is new, or counts again. Each circle that it closes goes through it, so the look begins with it.
//! - A wait is over, or counts no longer, and others still hold all that there is of a resource that it held. It may
//!   have been the last of its chain to hold that: then a wait of this chain that needs it is blocked by the
//!   others now. Or it said that there is more of it than the others say (or 0). Each circle that is closed so goes
//!   through one of the others, and on to one that needs the resource and so depends on all of them. So one look that
//!   begins with all of them finds what a look at each would.
//!
//! For those who wait for a call that a thread serves, the end of that thread's wait closes none: the thread goes on, and
//! has what the call needs.
//!
//! # What a look costs
//!
//! Only waits are looked at on which those that it begins with may depend: at most [`MOST`], each once for each thing that
//! it holds and another one needs, and once for every few things that nobody needs. So many take about a
//! millisecond, also where each holds as much as a thread can. Those that may depend on more are not told of a
//! circle, and end with their deadlines. Each wait is in one round at most; a look that finds waits of a round that
//! is under way is made again when that round is over. A round ends at least one wait, or consists of
//! ones that are over. So a report makes at most one look, the end of a wait one for each thing that it held, and
//! either one more for each round that it waits for.
//!
//! A look that is queued already is not queued again. So however often waits begin and end, no more looks are queued
//! that cost anything than there are waits and things that they hold, which is what plugins are charged for.

mod circle;
mod holders;
mod rounds;
mod suspects;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::id::PluginId;
use crate::quota::Charge;
use holders::Holders;
use rounds::Round;
use tasks::{Start, Task, Tasks};

/// How many waits one look takes into account at most.
pub(crate) const MOST: usize = 1024;

/// A wait, by whoever reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WaitId {
    pub(crate) from: PluginId,
    pub(crate) number: u64,
}

/// What waits need and hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Resource {
    /// The turn of a dispatcher, or one of its threads; by the first of the plugins that share it.
    Turn(PluginId),
    /// A permit of a gate of a plugin.
    Permit(PluginId, Arc<str>),
}

/// A resource that a thread holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) what: Resource,
    /// How many there are, as the holder says; 0 where calls may go on without it.
    pub(crate) of: u32,
}

/// Who waits for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) from: PluginId,
    pub(crate) callee: PluginId,
    pub(crate) gate: Arc<str>,
    /// Whether that is a topic, of which the callee is to handle events.
    pub(crate) is_for_events: bool,
}

/// A wait.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) chain: u64,
    /// The process in which it is, and that of the called plugin.
    pub(crate) process: u32,
    pub(crate) callee_process: u32,
    pub(crate) callee: PluginId,
    pub(crate) gate: Arc<str>,
    /// The name of the call that it waits for, where that went through a link.
    pub(crate) call: Option<u64>,
    /// Whether that call is of another chain, so that nothing which `chain` holds is free for it.
    pub(crate) is_sent: bool,
    pub(crate) needs: Vec<Resource>,
    pub(crate) holds: Vec<Hold>,
    /// The names of the calls whose handlers are on its thread's stack.
    pub(crate) serves: Vec<u64>,
}

impl Wait {
    /// Whether it is for events to be handled: each of these is a chain of its own, and none is a call.
    pub(crate) fn is_for_events(&self) -> bool {
        self.is_sent && self.call.is_none()
    }
}

/// What is to be done about waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Ask a plugin whether a wait stands.
    Ask { wait: WaitId, round: u64 },
    /// A round has begun: its answers have a deadline.
    Await(u64),
    /// A round is over: there is no deadline any more.
    Done(u64),
    /// End a wait, with which this circle begins.
    GiveUp { wait: WaitId, circle: Vec<Stop> },
}

/// A wait as it is kept here.
#[derive(Debug)]
struct Standing {
    wait: Wait,
    /// Its place in the order in which waits were reported.
    age: u64,
    /// The round that it is in.
    round: Option<u64>,
    /// The question that it has not answered.
    asked: Option<u64>,
    /// Whether its plugin let a deadline pass, and has not answered since.
    is_left_out: bool,
    _charge: Charge,
}

/// All waits that were reported and are not over.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    waits: BTreeMap<WaitId, Standing>,
    holders: HashMap<Resource, Holders>,
    /// Which wait a thread is in that serves a call, by its process and the call's name.
    serving: HashMap<(u32, u64), WaitId>,
    /// Which waits there are for a plugin.
    towards: BTreeSet<(PluginId, WaitId)>,
    rounds: BTreeMap<u64, Round>,
    last_round: u64,
    last_age: u64,
    tasks: Tasks,
    decisions: VecDeque<Decision>,
}

impl Waits {
    /// Takes a new wait in, and keeps what it is charged as.
    pub(crate) fn begin(&mut self, id: WaitId, mut wait: Wait, charge: Charge) {
        wait.holds.sort_by(|a, b| a.what.cmp(&b.what));
        wait.holds.dedup_by(|a, b| a.what == b.what);
        if self.waits.contains_key(&id) {
            return;
        }
        self.last_age += 1;
        self.towards.insert((wait.callee, id));
        let standing = Standing {
            wait,
            age: self.last_age,
            round: None,
            asked: None,
            is_left_out: true,
            _charge: charge,
        };
        self.waits.insert(id, standing);
        self.take_into_account(id);
    }

    /// A wait is over.
    pub(crate) fn end(&mut self, id: WaitId) {
        self.leave_out(id);
        if let Some(standing) = self.waits.remove(&id) {
            self.towards.remove(&(standing.wait.callee, id));
        }
    }

    /// A plugin is gone: its waits are over, and those for it.
    pub(crate) fn remove(&mut self, plugin: PluginId) {
        let least = |from| WaitId { from, number: 0 };
        let own = self.waits.range(least(plugin)..);
        let own = own.map(|(id, _)| *id).take_while(|id| id.from == plugin);
        let towards = self.towards.range((plugin, least(PluginId(0)))..);
        let towards = towards.take_while(|(callee, _)| *callee == plugin);
        let over: Vec<WaitId> = own.chain(towards.map(|(_, id)| *id)).collect();
        over.into_iter().for_each(|id| self.end(id));
    }

    /// A link is gone: the waits of one plugin for the other are over.
    pub(crate) fn part(&mut self, from: PluginId, callee: PluginId) {
        let least = WaitId { from, number: 0 };
        let over = self.towards.range((callee, least)..);
        let is_it = |(to, id): &&(PluginId, WaitId)| *to == callee && id.from == from;
        let over: Vec<WaitId> = over.take_while(is_it).map(|(_, id)| *id).collect();
        over.into_iter().for_each(|id| self.end(id));
    }

    /// The next thing to be done.
    pub(crate) fn next_decision(&mut self) -> Option<Decision> {
        self.decisions.pop_front()
    }

    /// Counts what a wait holds and serves, and has it looked at.
    fn take_into_account(&mut self, id: WaitId) {
        let Some(standing) = self.waits.get_mut(&id) else {
            return;
        };
        standing.is_left_out = false;
        let wait = &standing.wait;
        for hold in &wait.holds {
            let holders = self.holders.entry(hold.what.clone()).or_default();
            holders.add(id, wait.chain, hold.of);
        }
        for call in &wait.serves {
            self.serving.insert((wait.process, *call), id);
        }
        self.tasks.push(Task::Look(Start::Wait(id)));
    }

    /// Counts a wait no longer. Where others still hold all that there is of what it held, they are looked at.
    fn leave_out(&mut self, id: WaitId) {
        let standing = self.waits.get_mut(&id);
        if let Some(round) = standing.and_then(|standing| standing.round.take()) {
            self.leave_round(id, round);
        }
        let Some(standing) = self.waits.get_mut(&id) else {
            return;
        };
        standing.is_left_out = true;
        let wait = &standing.wait;
        for hold in &wait.holds {
            if let Some(holders) = self.holders.get_mut(&hold.what) {
                if holders.take(id) && holders.hold_all(&hold.what) {
                    let start = Start::Holders(hold.what.clone());
                    self.tasks.push(Task::Look(start));
                }
                if holders.is_empty() {
                    self.holders.remove(&hold.what);
                }
            }
        }
        for call in &wait.serves {
            let key = (wait.process, *call);
            if self.serving.get(&key) == Some(&id) {
                self.serving.remove(&key);
            }
        }
    }

    /// The wait of the thread that serves the call for which another one waits.
    fn server(&self, id: WaitId, wait: &Wait) -> Option<WaitId> {
        let server = *self.serving.get(&(wait.callee_process, wait.call?))?;
        (server != id).then_some(server)
    }

    fn get(&self, id: WaitId) -> Option<&Wait> {
        let standing = self.waits.get(&id)?;
        (!standing.is_left_out).then_some(&standing.wait)
    }

    fn age(&self, id: WaitId) -> u64 {
        self.waits.get(&id).map_or(0, |standing| standing.age)
    }

    fn stop(&self, id: WaitId) -> Option<Stop> {
        let wait = self.get(id)?;
        Some(Stop {
            from: id.from,
            callee: wait.callee,
            gate: wait.gate.clone(),
            is_for_events: wait.is_for_events(),
        })
    }
}
