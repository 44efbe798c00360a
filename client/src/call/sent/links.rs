//! The calls that were sent through one link, and those that wait there for a slot.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use callgate_layout::clock;
use callgate_layout::envelope::Cell;
use callgate_layout::life;
use callgate_layout::pending::{SlotWait, Ticket};

use super::Outbound;
use super::asking::Refused;
use super::completion::Completion;
use super::queue::Queue;
use super::sending::{Waiting, try_send};
use crate::base::bytes::Bytes;
use crate::base::error::{Error, Result};
use crate::call::bytes::{self, Flight};
use crate::call::space::{Short, no_space};
use crate::call::target::{gone, timed_out};
use crate::call::untyped;
use crate::link::Link;

/// The sent calls of one link.
#[derive(Debug)]
pub(super) struct LinkCalls {
    link: Arc<Link>,
    sent: Vec<Sent>,
    /// By the gate's index, so that a gate which has used all its slots does not hold up calls to others. For each
    /// gate by number, which is the order in which they came.
    waiting: BTreeMap<u16, OfGate>,
    /// The gate of the last call that was sent after it had waited.
    last_gate: u16,
    /// Whether the link counts this as a waiting thread (`Link::begin_waiting`).
    is_counted: bool,
}

/// The calls that wait for one gate, and the wait for a slot of the first of them.
#[derive(Debug)]
struct OfGate {
    calls: Queue<Waiting>,
    slot: SlotWait,
}

/// A call that was published.
#[derive(Debug)]
struct Sent {
    number: u64,
    /// Kept until the call is answered, because a call that is refused may be sent once more.
    call: Outbound,
    flight: Flight,
    completion: Arc<Completion>,
}

/// A call that is over, and its outcome.
pub(super) struct Ended {
    pub(super) number: u64,
    pub(super) call: Outbound,
    pub(super) link: Arc<Link>,
    pub(super) completion: Arc<Completion>,
    pub(super) outcome: Result<Bytes>,
}

impl LinkCalls {
    pub(super) fn new(link: Arc<Link>) -> LinkCalls {
        LinkCalls {
            link,
            sent: Vec::new(),
            waiting: BTreeMap::new(),
            last_gate: 0,
            is_counted: false,
        }
    }

    pub(super) fn is_of(&self, link: &Arc<Link>) -> bool {
        Arc::ptr_eq(&self.link, link)
    }

    /// Whether a call waits for a slot.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// How many calls there are.
    pub(super) fn count(&self) -> usize {
        let waiting = self.waiting.values().map(|of| of.calls.len());
        self.sent.len() + waiting.sum::<usize>()
    }

    /// Whether a call is among these.
    pub(super) fn has(&self, number: u64) -> bool {
        self.sent.iter().any(|sent| sent.number == number) || self.waiting(number).is_some()
    }

    /// The deadline and the number of each call.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = (u64, u64)> {
        let sent = self
            .sent
            .iter()
            .map(|sent| (sent.call.deadline, sent.number));
        let waiting = self.waiting.values().flat_map(|of| of.calls.iter());
        sent.chain(waiting.map(|(number, waiting)| (waiting.call.deadline, number)))
    }

    fn waiting(&self, number: u64) -> Option<&Waiting> {
        self.waiting.values().find_map(|of| of.calls.get(number))
    }

    /// Sends a call, if no other waits for its gate and there is a slot. Otherwise the call waits. Returns whether
    /// it is now the first call that waits for its gate.
    pub(super) fn send(
        &mut self,
        (number, call): (u64, Outbound),
        completion: Arc<Completion>,
    ) -> Result<bool, Refused> {
        let mut next = Waiting {
            call,
            ticket: None,
            completion,
        };
        if !self.waiting.contains_key(&next.call.index) {
            let (link, index) = (&self.link, next.call.index);
            match try_send(link, &mut next, || link.pending().take_for(index)) {
                Ok(Some(flight)) => {
                    self.note_sent(number, next, flight);
                    return Ok(false);
                }
                Ok(None) => {}
                Err(error) => {
                    return Err(Refused {
                        call: next.call,
                        completion: next.completion,
                        error,
                    });
                }
            }
        }
        let gate = next.call.index;
        let of_gate = self.waiting.entry(gate);
        let of_gate = of_gate.or_insert_with(|| OfGate {
            calls: Queue::new(),
            slot: SlotWait::begin(gate, clock::now()),
        });
        let is_first = of_gate.calls.is_empty();
        of_gate.calls.insert(number, next);
        self.note_waiting();
        Ok(is_first)
    }

    fn note_sent(&mut self, number: u64, was: Waiting, flight: Flight) {
        self.sent.push(Sent {
            number,
            call: was.call,
            flight,
            completion: was.completion,
        });
    }

    /// Takes out a call that is given up. Returns the place for its outcome.
    pub(super) fn take(&mut self, number: u64) -> Option<Arc<Completion>> {
        if let Some(place) = self.sent.iter().position(|sent| sent.number == number) {
            let sent = self.sent.swap_remove(place);
            self.link.give_up(sent.flight.ticket, sent.flight.held);
            return Some(sent.completion);
        }
        let mut gates = self.waiting.iter_mut();
        let (gate, waiting) =
            gates.find_map(|(gate, of)| Some((*gate, of.calls.remove(number)?)))?;
        self.tidy(gate);
        if let Some(ticket) = waiting.ticket {
            self.link.cancel(ticket);
        }
        self.note_waiting();
        Some(waiting.completion)
    }

    /// The slot in which a call was sent, if it was, and whether the call has ended already.
    pub(super) fn sent_in(&self, number: u64) -> Option<(Ticket, bool)> {
        let sent = self.sent.iter().find(|sent| sent.number == number)?;
        let is_over = self.link.ended(sent.flight.ticket).is_some();
        Some((sent.flight.ticket, is_over))
    }

    /// The error of a call whose time is up.
    pub(super) fn why_late(&self, number: u64) -> Error {
        if let Some(sent) = self.sent.iter().find(|sent| sent.number == number) {
            return match self.link.ended(sent.flight.ticket) {
                Some(life::Ended::Untaken) => self.link.closed(),
                _ => timed_out(&self.link, sent.call.deadline).maybe_run(),
            };
        }
        let waiting = self.waiting(number);
        let short = match waiting.filter(|waiting| waiting.ticket.is_some()) {
            Some(waiting) => Short::of(&self.link, waiting.call.bytes.len()),
            None => Short::Pending,
        };
        no_space(&self.link, short)
    }

    /// Takes the answers that have come, and sends calls that waited.
    pub(super) fn look(&mut self, ended: &mut Vec<Ended>) {
        // While this counts as waiting, it is woken for every slot that is freed, its own ones too.
        self.note_if(false);
        self.take_answers(ended);
        if !self.waits() {
            return;
        }
        let now = clock::now();
        self.send_waiting(now, ended);
        if self.waits() {
            // Now it counts again. What others freed before has woken nobody, so it looks once more; also for replies that the peer has
            // released, which hold space of this side.
            self.link.reclaim_replies();
            self.send_waiting(now, ended);
        }
    }

    /// Takes answers that have come and calls that a closed provider did not take; all calls if the link has ended.
    fn take_answers(&mut self, ended: &mut Vec<Ended>) {
        let link = &self.link;
        let is_over = |sent: &mut Sent| link.ended(sent.flight.ticket).is_some();
        for sent in self.sent.extract_if(.., is_over) {
            let outcome = match link.is_answered(sent.flight.ticket) {
                true => receive(link, sent.flight),
                false => match link.give_up(sent.flight.ticket, sent.flight.held) {
                    true => Err(gone(link).maybe_run()),
                    false => Err(link.closed()),
                },
            };
            ended.push(Ended {
                number: sent.number,
                call: sent.call,
                link: link.clone(),
                completion: sent.completion,
                outcome,
            });
        }
        // Late answers to calls that were given up ring the same bell.
        if self.waits() || link.pending().abandoned().next().is_some() {
            link.sweep();
        }
    }

    /// Sends calls that waited, while there are slots: one call of each gate in turn.
    fn send_waiting(&mut self, now: u64, ended: &mut Vec<Ended>) {
        while self.send_one_of_each(now, ended) {}
        self.note_waiting();
    }

    /// Sends the next call of each gate. Returns `false` if all have to go on waiting.
    fn send_one_of_each(&mut self, now: u64, ended: &mut Vec<Ended>) -> bool {
        if let (Some((&gate, _)), 1) = (self.waiting.first_key_value(), self.waiting.len()) {
            let is_any = self.send_next_of((gate, now), ended);
            if is_any {
                self.last_gate = gate;
            }
            return is_any;
        }
        let mut is_any = false;
        for gate in self.gates_in_turn() {
            if self.send_next_of((gate, now), ended) {
                is_any = true;
                self.last_gate = gate;
            }
        }
        is_any
    }

    /// The gates for which calls wait, beginning with the one after `last_gate`.
    fn gates_in_turn(&self) -> Vec<u16> {
        let after = self
            .waiting
            .range((Bound::Excluded(self.last_gate), Bound::Unbounded));
        let before = self.waiting.range(..=self.last_gate);
        after.chain(before).map(|(gate, _)| *gate).collect()
    }

    /// Sends the next call of a gate. Returns `false` if it has to go on waiting.
    fn send_next_of(&mut self, (gate, now): (u16, u64), ended: &mut Vec<Ended>) -> bool {
        let Some(of_gate) = self.waiting.get_mut(&gate) else {
            return false;
        };
        let Some((number, mut next)) = of_gate.calls.pop_first() else {
            return false;
        };
        let (link, slot) = (&self.link, &mut of_gate.slot);
        let take = || slot.take(link.pending(), || now);
        let outcome = try_send(link, &mut next, take);
        if next.ticket.is_some() || !matches!(outcome, Ok(None)) {
            // The next call begins a wait of its own.
            let anew = SlotWait::begin(gate, now);
            link.end_slot_wait(std::mem::replace(&mut of_gate.slot, anew));
        }
        let is_over = match outcome {
            Ok(Some(flight)) => {
                self.note_sent(number, next, flight);
                true
            }
            Ok(None) => {
                of_gate.calls.insert(number, next);
                false
            }
            Err(error) => {
                ended.push(Ended {
                    number,
                    call: next.call,
                    link: self.link.clone(),
                    completion: next.completion,
                    outcome: Err(error),
                });
                true
            }
        };
        self.tidy(gate);
        is_over
    }

    /// Removes a gate for which no calls wait any more.
    fn tidy(&mut self, gate: u16) {
        let is_empty = |of_gate: &OfGate| of_gate.calls.is_empty();
        if self.waiting.get(&gate).is_some_and(is_empty)
            && let Some(of_gate) = self.waiting.remove(&gate)
        {
            self.link.end_slot_wait(of_gate.slot);
        }
    }

    /// While calls wait, counts as waiting on this link, so that freed slots and space ring the bell.
    fn note_waiting(&mut self) {
        self.note_if(self.waits());
    }

    fn note_if(&mut self, waits: bool) {
        match (waits, self.is_counted) {
            (true, false) => self.link.begin_waiting(),
            (false, true) => self.link.end_waiting(),
            _ => {}
        }
        self.is_counted = waits;
    }
}

/// Copies an answer that has come.
fn receive(link: &Arc<Link>, flight: Flight) -> Result<Bytes> {
    let mut cell = Cell::default();
    link.ring_nobody(flight.ticket);
    let answer = bytes::receive(link, flight, &mut cell)?;
    untyped::into_bytes(link, answer, &cell)
}
