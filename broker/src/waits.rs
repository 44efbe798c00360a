//! The waits of all plugins as a graph: finds those that cannot go on before a deadline passes, because they depend on each other. Pure: no
//! input or output, no clock.
//!
//! A wait *needs* resources: the turn or a thread of the called plugin's dispatcher, and a permit of the called gate if that has a limit.
//! The thread that waits *holds* others, and *serves* the calls whose handlers are on its stack. A wait is blocked
//!
//! - if a thread serves its call: while the wait of that thread is blocked;
//! - otherwise: while all there is of one of the resources that it needs is held by blocked waits. A resource that a
//!   wait of the same chain holds is free for it, because its call is served on top of that wait; but not if the call
//!   was sent, because then it is of another chain. A chain needs one permit of a gate, and counts once.
//!
//! Several sets of waits can fulfil this; the largest of them is what stands still. To find it, all waits are taken for blocked, and those
//! that are not are removed until nothing changes. A thread that the broker does not know to wait holds nothing here, so what is unknown
//! can hide a circle for a while, but never make one.
//!
//! # Why no circle is reported that does not exist
//!
//! What the broker knows is a moment old. So before a wait is ended, the plugins of all waits that it depends on are asked, in a *round*,
//! whether these waits still stand. Let t be the moment in which the round begins. A plugin confirms a wait if the thread ran nothing on
//! top of it from its report until it was asked, and then a look at the answer and at every call that the thread may serve on top found
//! nothing. Therefore
//!
//! 1. at t all confirmed waits stood together: each was reported before t and confirmed after it;
//! 2. at t each of them held what it had reported, because a thread that waits neither gets nor gives back anything;
//! 3. at t no answer was there or under way: the call lay in a queue, or was on the stack of a thread that
//!    stood as well, or on that of a thread which is not known here; in the last case that thread holds some resource
//!    that the call needs, and so the waits of the round do not hold all there is of it;
//! 4. so none of them could go on before another of them did.
//!
//! Waits that block each other still do so when other waits of the round are over. So an `Over` makes the round smaller, and confirmations
//! stay valid. Where one round contains several circles, each loses one wait, one after the other, without further questions.
//!
//! # When waits are looked at
//!
//! A circle can be closed when a wait begins, and when one ends.
//!
//! - A wait is new, or counts again. Each circle that it closes goes through it, so the look begins with it.
//! - A wait is over, or counts no longer, and other waits still hold all there is of a resource that it held. It may
//!   have been the last wait of its chain to hold that: then a wait of this chain that needs the resource is blocked by
//!   the others from now on. Or it said that there is more of the resource than the others say (or 0, which means that
//!   calls can go on without it). Each circle that is closed in this way goes through one of the others, and on to a
//!   wait that needs the resource and so depends on all of them. So one look that begins with all of them finds what a
//!   look at each would.
//!
//! The end of a thread's wait closes no circle for waits whose calls that thread serves: the thread goes on, and has what these calls need.
//!
//! # What a look costs
//!
//! A look visits only waits on which its first waits may depend, at most [`MOST`]. A wait counts once for each resource that it holds and
//! another wait needs, and once for every few resources that it holds and nobody needs. So many take about a millisecond, even if each
//! holds as much as a thread can. Waits that may depend on more are not told of a circle, and end with their deadlines. Each wait is in one
//! round at most. A look that finds waits of a round that is under way is repeated when that round is over. A round ends at least one wait,
//! or consists of waits that are over. So a report causes at most one look, the end of a wait at most one for each resource that it held,
//! and each of these is repeated at most once for each round that it waits for.
//!
//! A look that is in the queue already is not added again. So however often waits begin and end, the queue never has more looks that cost
//! anything than there are waits and resources that they hold, and plugins are charged for these.

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

/// How many waits one look visits at most.
pub(crate) const MOST: usize = 1024;

/// A wait, identified by the plugin that reported it and by that plugin's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WaitId {
    pub(crate) from: PluginId,
    pub(crate) number: u64,
}

/// A resource that waits need and hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Resource {
    /// The turn of a dispatcher, or one of its threads. The dispatcher is named by the first of the plugins that share it.
    Turn(PluginId),
    /// A permit of this plugin's gate.
    Permit(PluginId, Arc<str>),
}

/// A resource that a thread holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) what: Resource,
    /// How many of the resource there are, as the holder says; 0 if calls can go on without it.
    pub(crate) of: u32,
}

/// One step of a circle: which plugin waits for which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) from: PluginId,
    pub(crate) callee: PluginId,
    pub(crate) gate: Arc<str>,
    /// Whether the gate is a topic, of which the callee is to handle events.
    pub(crate) is_for_events: bool,
}

/// A wait.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) chain: u64,
    /// The process of the thread that waits, and that of the called plugin.
    pub(crate) process: u32,
    pub(crate) callee_process: u32,
    pub(crate) callee: PluginId,
    pub(crate) gate: Arc<str>,
    /// The name of the call that the thread waits for, if the call went through a link.
    pub(crate) call: Option<u64>,
    /// Whether that call is of another chain, for which nothing that `chain` holds is free.
    pub(crate) is_sent: bool,
    pub(crate) needs: Vec<Resource>,
    pub(crate) holds: Vec<Hold>,
    /// The names of the calls whose handlers are on the thread's stack.
    pub(crate) serves: Vec<u64>,
}

impl Wait {
    /// Whether the thread waits until events are handled. Each event is a chain of its own, and none is a call.
    pub(crate) fn is_for_events(&self) -> bool {
        self.is_sent && self.call.is_none()
    }
}

/// What the bus has to do about waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Ask a plugin whether a wait stands.
    Ask { wait: WaitId, round: u64 },
    /// A round has begun: set a deadline for its answers.
    Await(u64),
    /// A round is over: remove its deadline.
    Done(u64),
    /// End this wait, with which the circle begins.
    GiveUp { wait: WaitId, circle: Vec<Stop> },
}

/// A wait with its state in the graph.
#[derive(Debug)]
struct Standing {
    wait: Wait,
    /// The position of the wait in the order in which waits were reported.
    age: u64,
    /// The round that the wait is in.
    round: Option<u64>,
    /// The round in which its plugin was asked, until it has answered.
    asked: Option<u64>,
    /// True if the wait does not count, because its plugin let the deadline of a round pass and has not answered since.
    is_left_out: bool,
    _charge: Charge,
}

/// All waits that were reported and are not over.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    waits: BTreeMap<WaitId, Standing>,
    holders: HashMap<Resource, Holders>,
    /// The wait of the thread that serves a call, by the thread's process and the call's name.
    serving: HashMap<(u32, u64), WaitId>,
    /// All waits, by the plugin that they wait for.
    towards: BTreeSet<(PluginId, WaitId)>,
    rounds: BTreeMap<u64, Round>,
    last_round: u64,
    last_age: u64,
    tasks: Tasks,
    decisions: VecDeque<Decision>,
}

impl Waits {
    /// Adds a new wait with its charge. Does nothing if there is a wait of this id.
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

    /// Removes a wait that is over.
    pub(crate) fn end(&mut self, id: WaitId) {
        self.leave_out(id);
        if let Some(standing) = self.waits.remove(&id) {
            self.towards.remove(&(standing.wait.callee, id));
        }
    }

    /// Removes the waits of a plugin that has ended, and those for it.
    pub(crate) fn remove(&mut self, plugin: PluginId) {
        let least = |from| WaitId { from, number: 0 };
        let own = self.waits.range(least(plugin)..);
        let own = own.map(|(id, _)| *id).take_while(|id| id.from == plugin);
        let towards = self.towards.range((plugin, least(PluginId(0)))..);
        let towards = towards.take_while(|(callee, _)| *callee == plugin);
        let over: Vec<WaitId> = own.chain(towards.map(|(_, id)| *id)).collect();
        over.into_iter().for_each(|id| self.end(id));
    }

    /// Removes the waits of one plugin for another, whose link has ended.
    pub(crate) fn part(&mut self, from: PluginId, callee: PluginId) {
        let least = WaitId { from, number: 0 };
        let over = self.towards.range((callee, least)..);
        let is_it = |(to, id): &&(PluginId, WaitId)| *to == callee && id.from == from;
        let over: Vec<WaitId> = over.take_while(is_it).map(|(_, id)| *id).collect();
        over.into_iter().for_each(|id| self.end(id));
    }

    /// Takes the next decision out, for the bus to carry out.
    pub(crate) fn next_decision(&mut self) -> Option<Decision> {
        self.decisions.pop_front()
    }

    /// Counts what a wait holds and serves, and queues a look at it.
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

    /// Stops counting a wait. If other waits still hold all there is of a resource that it held, queues a look at them.
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

    /// The wait of the thread that serves the call which this wait is for, if that thread waits, too.
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
