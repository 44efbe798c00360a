//! The calls that were sent through one link, and those that wait for a slot there.

use std::collections::VecDeque;
use std::sync::Arc;

use callgate_layout::bells::KeptBell;
use callgate_layout::envelope::{Cell, Place};

use super::Outbound;
use super::completion::Completion;
use crate::base::bytes::Bytes;
use crate::base::error::{Error, Result};
use crate::call::bytes::{self, Entry, Written};
use crate::call::reply::{self, Flight};
use crate::call::space::{Short, no_space, try_ticket};
use crate::call::target::{Destination, gone, timed_out};
use crate::call::untyped;
use crate::link::Link;

/// The calls of one link.
#[derive(Debug)]
pub(super) struct LinkCalls {
    link: Arc<Link>,
    sent: Vec<Sent>,
    waiting: VecDeque<Waiting>,
    /// Whether it counts as waiting for a slot.
    is_counted: bool,
}

/// A call that was published.
#[derive(Debug)]
struct Sent {
    number: u64,
    deadline: u64,
    flight: Flight,
    completion: Arc<Completion>,
}

/// A call that waits for a slot.
#[derive(Debug)]
struct Waiting {
    number: u64,
    call: Outbound,
    completion: Arc<Completion>,
}

/// A call that is over, and what came of it.
pub(super) struct Ended {
    pub(super) number: u64,
    pub(super) deadline: u64,
    pub(super) completion: Arc<Completion>,
    pub(super) outcome: Result<Bytes>,
}

impl LinkCalls {
    pub(super) fn new(link: Arc<Link>) -> LinkCalls {
        LinkCalls {
            link,
            sent: Vec::new(),
            waiting: VecDeque::new(),
            is_counted: false,
        }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
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

    /// Sends a call if it is its turn and there is a slot; says whether it has to wait.
    pub(super) fn send(
        &mut self,
        bell: &KeptBell,
        (number, call): (u64, Outbound),
        completion: Arc<Completion>,
    ) -> Result<bool> {
        if self.waiting.is_empty()
            && let Some(flight) = try_send(&self.link, bell, &call)?
        {
            self.sent.push(Sent {
                number,
                deadline: call.deadline,
                flight,
                completion,
            });
            return Ok(false);
        }
        self.waiting.push_back(Waiting {
            number,
            call,
            completion,
        });
        self.count();
        Ok(true)
    }

    /// Takes a call out, which is given up: its deadline, and where its outcome was to be put.
    pub(super) fn take(&mut self, number: u64) -> Option<(u64, Arc<Completion>)> {
        if let Some(place) = self.sent.iter().position(|sent| sent.number == number) {
            let sent = self.sent.swap_remove(place);
            let Flight { ticket, held } = sent.flight;
            self.link.abandon(ticket, held);
            return Some((sent.deadline, sent.completion));
        }
        let place = self.waiting.iter().position(|one| one.number == number)?;
        let waiting = self.waiting.remove(place)?;
        self.count();
        Some((waiting.call.deadline, waiting.completion))
    }

    /// Why a call whose time is up has failed.
    pub(super) fn why_late(&self, number: u64) -> Error {
        match self.sent.iter().any(|sent| sent.number == number) {
            true => timed_out(&self.link).maybe_run(),
            false => no_space(&self.link, Short::Pending),
        }
    }

    /// Takes the answers that are there; all calls, where the link has ended.
    pub(super) fn take_answers(&mut self, ended: &mut Vec<Ended>) {
        // Read first: an answer that was published before the end wins over the end.
        let is_gone = self.link.is_gone();
        let link = &self.link;
        let is_over = |sent: &mut Sent| is_gone || link.is_answered(sent.flight.ticket);
        for sent in self.sent.extract_if(.., is_over) {
            let outcome = match link.is_answered(sent.flight.ticket) {
                true => receive(link, sent.flight),
                false => {
                    let Flight { ticket, held } = sent.flight;
                    link.abandon(ticket, held);
                    Err(gone(link).maybe_run())
                }
            };
            ended.push(Ended {
                number: sent.number,
                deadline: sent.deadline,
                completion: sent.completion,
                outcome,
            });
        }
        // Late answers to calls that were given up are told of by the same bell.
        link.sweep();
    }

    /// Sends calls that waited, as far as there are slots.
    pub(super) fn send_waiting(&mut self, bell: &KeptBell, ended: &mut Vec<Ended>) {
        while let Some(next) = self.waiting.pop_front() {
            match try_send(&self.link, bell, &next.call) {
                Ok(None) => {
                    self.waiting.push_front(next);
                    break;
                }
                Ok(Some(flight)) => self.sent.push(Sent {
                    number: next.number,
                    deadline: next.call.deadline,
                    flight,
                    completion: next.completion,
                }),
                Err(error) => ended.push(Ended {
                    number: next.number,
                    deadline: next.call.deadline,
                    completion: next.completion,
                    outcome: Err(error),
                }),
            }
        }
        self.count();
    }

    /// Has this link's slots and space told of while calls wait for them.
    fn count(&mut self) {
        match (self.waits(), self.is_counted) {
            (true, false) => self.link.begin_waiting(),
            (false, true) => self.link.end_waiting(),
            _ => {}
        }
        self.is_counted = self.waits();
    }
}

impl Drop for LinkCalls {
    fn drop(&mut self) {
        self.waiting.clear();
        self.count();
    }
}

/// Sends a call, whose answer rings the bell; `None` while there is no slot, or no space for its bytes.
fn try_send(link: &Arc<Link>, bell: &KeptBell, call: &Outbound) -> Result<Option<Flight>> {
    if link.is_gone() {
        return Err(gone(link));
    }
    let to = Destination {
        link,
        index: call.index,
        kind: call.kind,
        deadline: call.deadline,
    };
    // It begins a chain of its own, also inside a handler: nobody waits inside that one's chain.
    let Some(ticket) = try_ticket(&to, None) else {
        return Ok(None);
    };
    let mut cell = Cell::default();
    let length = call.bytes.len();
    if let Some(inline) = cell.payload_mut(false).get_mut(..length) {
        inline.copy_from_slice(&call.bytes);
        link.ring_when_answered(ticket, bell.number());
        let entry = Entry {
            ticket,
            chain: None,
            place: Place::Inline,
            length,
        };
        bytes::publish(&to, &entry, &mut cell)?;
        return Ok(Some(Flight { ticket, held: None }));
    }
    match link.write_payload(&call.bytes) {
        Some(Ok(held)) => {
            link.ring_when_answered(ticket, bell.number());
            let written = Written {
                ticket,
                held,
                length,
            };
            bytes::send_held(&to, None, &mut cell, written).map(Some)
        }
        none => {
            link.cancel(ticket);
            none.map_or(Ok(None), |refused| refused.map(|_| None))
        }
    }
}

/// Copies an answer that is there.
fn receive(link: &Arc<Link>, flight: Flight) -> Result<Bytes> {
    let mut cell = Cell::default();
    link.ring_nobody(flight.ticket);
    let answer = reply::receive(link, flight, &mut cell)?;
    untyped::into_bytes(link, answer, &cell)
}
