//! The way back: waiting for an answer, and making a value or an error of it.

use callgate_layout::bells::Sleeper;
use callgate_layout::envelope::{Cell, Place, Reply, Violation};
use callgate_layout::flags::Waiter;
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;
use callgate_layout::{Code, clock, flags, pages, slot};

use super::{Flight, Target, cancelled, gone, timed_out};
use crate::archive::{self, ErrorRecord};
use crate::buffers::{KEEP, Scratch, no_memory, probe};
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
    let start = clock::now();
    let sleeper = match target.cancel {
        None => target.link.sleeper(ticket),
        // Whoever cancels the token wakes those who wait for its word, and knows no bells.
        Some(_) => None,
    };
    let outcome = match sleeper {
        Some(sleeper) => sleep_on_bell(target, ticket, &sleeper),
        None => sleep_on_words(target, ticket),
    };
    target.patience.learn(clock::now() - start);
    refusal::say();
    outcome
}

/// Sleeps on a bell that the provider rings, or whoever ends the link.
fn sleep_on_bell(target: &Target<'_>, ticket: Ticket, sleeper: &Sleeper<'_>) -> Result<()> {
    let mut seen = sleeper.announce();
    loop {
        if let Some(outcome) = ended(target, ticket) {
            return outcome;
        }
        sleeper.sleep(seen, target.deadline);
        // Read before the next look, so that no ring after that is slept through.
        seen = sleeper.value();
    }
}

/// Sleeps on all words that end the wait.
fn sleep_on_words(target: &Target<'_>, ticket: Ticket) -> Result<()> {
    let link = target.link;
    let (outbox, inbox, geometry) = (link.outbox(), link.inbox(), link.geometry());
    flags::set_waiter(outbox, geometry, ticket.slot, Waiter::Reply);
    // REPLY-OR-WAITER, the caller's side.
    pages::publish_fence();
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
    flags::set_waiter(outbox, geometry, ticket.slot, Waiter::Nobody);
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
    receive_large(link, flight, &reply)
}

#[cold]
fn receive_large<R: GateType>(link: &Link, flight: Flight, reply: &Reply) -> Result<R> {
    if reply.ok
        && let Some(value) = link
            .take_direct((reply.place, reply.length))
            .map_err(|violation| broke(link, violation))?
    {
        link.release_reply(flight.ticket, reply);
        link.finish(flight.ticket, flight.held);
        return Ok(value);
    }
    let mut scratch = Scratch::take();
    let copied = link
        .read_payload(reply.place, reply.length, &mut scratch)
        .map_err(|violation| broke(link, violation))?;
    link.release_reply(flight.ticket, reply);
    link.finish(flight.ticket, flight.held);
    copied.map_err(|why| no_memory(why, "answer").maybe_run())?;
    let answer = decode(reply.ok, &scratch);
    link.pass_on(&mut scratch);
    answer
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
    let value = archive::access::<R>(payload).and_then(|archived| {
        if std::mem::needs_drop::<R>() {
            check_memory(payload, "result")?;
        }
        archive::deserialize::<R>(archived)
    });
    value.map_err(Error::maybe_run)
}

/// Finds out, before a value is made of a long archive, whether there is as much memory.
#[inline]
fn check_memory(payload: &[u8], what: &str) -> Result<()> {
    if payload.len() <= KEEP {
        return Ok(());
    }
    probe(payload.len()).map_err(|why| no_memory(why, what))
}

#[cold]
fn decode_error(payload: &[u8]) -> Error {
    let record = check_memory(payload, "error")
        .and_then(|()| archive::access::<ErrorRecord>(payload))
        .and_then(archive::deserialize);
    match record {
        Ok(record) => ErrorRecord::into(record),
        Err(error) => error.maybe_run(),
    }
}
