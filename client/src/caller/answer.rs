//! The way back: waiting for an answer, and making a value or an error of it.

use callgate_layout::envelope::{Cell, Place, Violation};
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;
use callgate_layout::{Code, clock, marks, parking, slot};

use super::{Flight, SCRATCH, Target, cancelled, gone, shrink, timed_out};
use crate::archive::{self, ErrorRecord};
use crate::chain;
use crate::error::{Error, Result};
use crate::link::Link;
use crate::nested;
use crate::refusal;
use crate::types::GateType;

/// Waits until the answer is there; an error when the link or the deadline ends first.
#[inline(always)]
pub(super) fn await_reply(target: &Target<'_>, ticket: Ticket) -> Result<()> {
    let link = target.link;
    let cores = chain::cores();
    if cores.is_some() || chain::current().is_some() {
        return nested::await_reply(target, ticket, cores.as_deref().unwrap_or_default());
    }
    let is_over = || link.is_answered(ticket) || link.is_gone() || target.is_cancelled();
    if target.patience.stay_awake(target.deadline, is_over) && link.is_answered(ticket) {
        return Ok(());
    }
    park_for_reply(target, ticket)
}

#[cold]
fn park_for_reply(target: &Target<'_>, ticket: Ticket) -> Result<()> {
    let link = target.link;
    let (outbox, inbox, geometry) = (link.outbox(), link.inbox(), link.geometry());
    let start = clock::now();
    marks::set_waiter(outbox, geometry, ticket.slot, true);
    // REPLY-OR-WAITER, the caller's side.
    parking::publish_fence();
    let outcome = loop {
        let seen = slot::state(inbox, geometry, ticket.slot);
        if let Some(outcome) = ended(target, ticket) {
            break outcome;
        }
        let reply = slot::word(inbox, geometry, ticket.slot, seen);
        match target.cancelled_word() {
            Some(cancel) => {
                futex::wait_any(&[reply, link.liveness(), cancel], target.deadline);
            }
            None => futex::wait_any(&[reply, link.liveness()], target.deadline),
        }
    };
    marks::set_waiter(outbox, geometry, ticket.slot, false);
    target.patience.learn(clock::now() - start);
    refusal::say();
    outcome
}

/// How a wait for an answer ended, if it did. To be asked after `state` was read for sleeping on.
pub(crate) fn ended(target: &Target<'_>, ticket: Ticket) -> Option<Result<()>> {
    let link = target.link;
    let is_gone = link.is_gone();
    // A reply that was published before the end wins.
    if link.is_answered(ticket) {
        return Some(Ok(()));
    }
    if is_gone {
        return Some(Err(gone(link)));
    }
    if target.is_cancelled() {
        return Some(Err(cancelled(link)));
    }
    (clock::now() >= target.deadline).then(|| Err(timed_out(link)))
}

/// Copies the reply, frees what the call held, and makes a value or an error of it.
#[inline(always)]
pub(super) fn receive<R: GateType>(link: &Link, flight: Flight, cell: &mut Cell) -> Result<R> {
    let reply = slot::read(link.inbox(), link.geometry(), flight.ticket.slot, cell)
        .map_err(|violation| broke(link, violation))?;
    if reply.place == Place::Inline {
        link.finish(flight.ticket, flight.held);
        return decode(reply.ok, &cell.inline()[..reply.length as usize]);
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if let Err(violation) = link.read_payload(reply.place, reply.length, scratch) {
            return Err(broke(link, violation));
        }
        link.release_reply(flight.ticket, &reply);
        link.finish(flight.ticket, flight.held);
        let answer = decode(reply.ok, scratch);
        shrink(scratch);
        answer
    })
}

/// Closes the link to a provider that broke the protocol.
#[cold]
fn broke(link: &Link, violation: Violation) -> Error {
    let text = format!(
        "plugin {}: {violation}; the link is closed",
        link.peer().name()
    );
    let error = Error::new(Code::Protocol, text).maybe_run();
    link.end_with(error.clone());
    error
}

/// Makes a value of a result's archive, or an error of an error's.
#[inline(always)]
pub(crate) fn decode<R: GateType>(ok: bool, payload: &[u8]) -> Result<R> {
    if !ok {
        return Err(decode_error(payload));
    }
    // The handler did run, even where its result cannot be read.
    let value = archive::access::<R>(payload).and_then(archive::deserialize::<R>);
    value.map_err(Error::maybe_run)
}

#[cold]
fn decode_error(payload: &[u8]) -> Error {
    match archive::access::<ErrorRecord>(payload).and_then(archive::deserialize) {
        Ok(record) => ErrorRecord::into(record),
        Err(error) => error.maybe_run(),
    }
}
