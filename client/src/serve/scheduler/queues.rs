//! The queues: calls that were taken and cannot run yet, in a queue for each gate. Another chain has the turn, or
//! the gate has reached its limit.
//!
//! Gates have turns of one call, so that a gate with many calls does not keep those of another waiting. There are
//! never more calls here than the links have slots.

use std::collections::VecDeque;
use std::sync::Arc;

use super::wanted::Wanted;
use crate::serve::exchange::IncomingCall;
use crate::serve::limits::Limit;

/// How many calls are taken from the queues before the rings are looked at again, if handlers run one at a time. It
/// bounds the calls that come in through a queue, each of which is copied twice more.
const BATCH: u32 = 16;
/// For how many empty queues the memory is kept.
const SPARE: usize = 8;

/// A gate of one of the plugins that are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GateId {
    /// The address of the plugin in memory.
    pub(super) member: usize,
    /// `None` for calls of an index that was never granted.
    pub(super) gate: Option<Arc<str>>,
}

/// The calls that wait for one gate.
struct Queue {
    gate: GateId,
    /// The limit that its calls have met, if any.
    limit: Option<Arc<Limit>>,
    calls: VecDeque<IncomingCall>,
    /// How many of the calls were made inside chains.
    in_chains: usize,
}

/// The queues of all gates.
#[derive(Default)]
pub(super) struct Queues {
    /// None of these is empty.
    queues: Vec<Queue>,
    /// The index of the queue whose turn it is.
    turn: usize,
    /// How many calls were taken since the rings were looked at.
    taken: u32,
    /// How many calls are of re-entrant gates.
    reentrant: usize,
    spare: Vec<VecDeque<IncomingCall>>,
}

impl Queue {
    /// The index of the first call that is wanted and can run.
    fn runnable(&self, wanted: Wanted) -> Option<usize> {
        let can_run = |call: &IncomingCall| {
            let could_enter = |limit: &Arc<Limit>| limit.could_enter(call.chain.id, call.asks());
            wanted.has(call) && self.limit.as_ref().is_none_or(could_enter)
        };
        // If the first call cannot run, only a call that comes back in a chain can.
        match (wanted, self.calls.front()) {
            (Wanted::Any, Some(first)) if can_run(first) => Some(0),
            (Wanted::Any, _) if self.in_chains == 0 => None,
            _ => self.calls.iter().position(can_run),
        }
    }

    fn remove(&mut self, at: usize) -> Option<IncomingCall> {
        let call = self.calls.remove(at)?;
        self.in_chains -= usize::from(call.envelope.chain.is_some());
        Some(call)
    }
}

impl Queues {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Puts a call behind the others of its gate, or, if it was taken from there, in front of them. Notes the limit
    /// that it has met.
    pub(super) fn push(&mut self, gate: GateId, call: &IncomingCall, limit: Option<&Arc<Limit>>) {
        let known = self.queues.iter().position(|queue| queue.gate == gate);
        let at = known.unwrap_or_else(|| {
            self.queues.push(Queue {
                gate,
                limit: None,
                calls: self.spare.pop().unwrap_or_default(),
                in_chains: 0,
            });
            self.queues.len() - 1
        });
        let queue = &mut self.queues[at];
        match call.has_waited() {
            true => queue.calls.push_front(call.waiting()),
            false => queue.calls.push_back(call.waiting()),
        }
        queue.in_chains += usize::from(call.envelope.chain.is_some());
        self.reentrant += usize::from(call.is_reentrant);
        if let Some(limit) = limit {
            let before = queue.limit.replace(limit.clone());
            if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, limit)) {
                before.unqueue();
            }
            limit.queue();
        }
    }

    /// Whether calls of a gate wait because its limit is reached.
    pub(super) fn is_blocked(&self, gate: &GateId) -> bool {
        let queue = self.queues.iter().find(|queue| queue.gate == *gate);
        queue.is_some_and(|queue| queue.limit.is_some() && queue.runnable(Wanted::Any).is_none())
    }

    /// Whether there is a call that is wanted and can run.
    pub(super) fn has_runnable(&self, wanted: Wanted) -> bool {
        let mut queues = self.queues.iter();
        queues.any(|queue| queue.runnable(wanted).is_some())
    }

    /// Whether a call of a re-entrant gate waits here.
    pub(super) fn has_reentrant(&self) -> bool {
        self.reentrant != 0
    }

    /// Whether so many calls were taken from here that the rings have to be looked at first.
    pub(super) fn is_ring_s_turn(&mut self) -> bool {
        let is_due = self.taken >= BATCH;
        if is_due {
            self.taken = 0;
        }
        is_due
    }

    /// Takes the next call that is wanted and can run; the gates have turns.
    pub(super) fn take(&mut self, wanted: Wanted) -> Option<IncomingCall> {
        let len = self.queues.len();
        for nth in 0..len {
            let at = (self.turn + nth) % len;
            let Some(first) = self.queues[at].runnable(wanted) else {
                continue;
            };
            let call = self.queues[at].remove(first);
            self.turn = at + 1;
            if self.queues[at].calls.is_empty() {
                self.forget(at);
            }
            self.taken += 1;
            self.reentrant -= call.iter().filter(|call| call.is_reentrant).count();
            return call;
        }
        None
    }

    /// Keeps the calls for which `keep` returns `true`.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut IncomingCall) -> bool) {
        for at in (0..self.queues.len()).rev() {
            let Queue {
                calls, in_chains, ..
            } = &mut self.queues[at];
            calls.retain_mut(&mut keep);
            let is_in_chain = |call: &&IncomingCall| call.envelope.chain.is_some();
            *in_chains = calls.iter().filter(is_in_chain).count();
            if calls.is_empty() {
                self.forget(at);
            }
        }
        let calls = self.queues.iter().flat_map(|queue| &queue.calls);
        self.reentrant = calls.filter(|call| call.is_reentrant).count();
    }

    /// Has the first call of each gate tried again, because the gate may be gone or have another limit.
    pub(super) fn forget_limits(&mut self) {
        for queue in &mut self.queues {
            if let Some(limit) = queue.limit.take() {
                limit.unqueue();
            }
        }
    }

    /// Removes an empty queue, and keeps its memory.
    fn forget(&mut self, at: usize) {
        let Queue { limit, calls, .. } = self.queues.remove(at);
        if let Some(limit) = limit {
            limit.unqueue();
        }
        if self.turn > at {
            self.turn -= 1;
        }
        if self.spare.len() < SPARE {
            self.spare.push(calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(name: &str) -> GateId {
        GateId {
            member: 0,
            gate: Some(name.into()),
        }
    }

    fn call(number: u64) -> IncomingCall {
        let mut call = IncomingCall::none();
        (call.chain.id, call.index) = (number, 0);
        call
    }

    fn numbers(queues: &mut Queues, wanted: Wanted) -> Vec<u64> {
        std::iter::from_fn(|| queues.take(wanted))
            .map(|call| call.chain.id)
            .collect()
    }

    /// All calls of one gate were run before the first call of another.
    #[test]
    fn gates_have_their_turns_and_their_calls_stay_in_order() {
        let mut queues = Queues::default();
        for (name, number) in [("A", 1), ("A", 2), ("A", 3), ("B", 11), ("A", 4), ("C", 21)] {
            queues.push(gate(name), &call(number), None);
        }
        assert_eq!(numbers(&mut queues, Wanted::Any), [1, 11, 21, 2, 3, 4]);
        assert!(queues.is_empty());
    }

    /// A gate whose last call was taken had others, whose turn had come, wait for a round.
    #[test]
    fn a_gate_without_calls_costs_no_other_its_turn() {
        let mut queues = Queues::default();
        for (name, number) in [("A", 1), ("B", 11), ("C", 21), ("D", 31)] {
            queues.push(gate(name), &call(number), None);
        }
        assert_eq!(numbers(&mut queues, Wanted::Any), [1, 11, 21, 31]);
    }

    /// A call that could not have its turn yet lost its place to later calls.
    #[test]
    fn what_is_put_back_comes_first_again() {
        let mut queues = Queues::default();
        (1..4).for_each(|number| queues.push(gate("A"), &call(number), None));
        let first = queues.take(Wanted::Any).expect("there are three");
        queues.push(gate("A"), &first, None);
        assert_eq!(numbers(&mut queues, Wanted::Chain(2)), [2]);
        assert_eq!(numbers(&mut queues, Wanted::Any), [1, 3]);
    }

    #[test]
    fn what_is_not_kept_is_gone_and_the_turns_go_on() {
        let mut queues = Queues::default();
        for (name, number) in [("A", 1), ("B", 11), ("B", 12), ("C", 21)] {
            queues.push(gate(name), &call(number), None);
        }
        queues.take(Wanted::Any);
        queues.retain(|call| call.chain.id != 11);
        assert!(queues.has_runnable(Wanted::Chain(12)) && !queues.has_runnable(Wanted::Chain(11)));
        assert_eq!(numbers(&mut queues, Wanted::Any), [12, 21]);
    }

    /// For each gate that ever had a queue, the queue's memory was kept.
    #[test]
    fn the_memory_of_a_few_empty_queues_is_kept() {
        let mut queues = Queues::default();
        for number in 0..2 * SPARE as u64 {
            queues.push(gate(&format!("{number}")), &call(number), None);
        }
        assert_eq!(numbers(&mut queues, Wanted::Any).len(), 2 * SPARE);
        assert_eq!(queues.spare.len(), SPARE);
    }

    #[test]
    fn the_rings_have_their_turn_after_a_batch() {
        let mut queues = Queues::default();
        for number in 0..u64::from(BATCH) {
            assert!(!queues.is_ring_s_turn());
            queues.push(gate("A"), &call(number), None);
            queues.take(Wanted::Any);
        }
        assert!(queues.is_ring_s_turn());
        assert!(!queues.is_ring_s_turn());
    }
}
