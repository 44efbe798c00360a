//! A call, from the caller's side: serialise, take a pending call, publish, wait, copy out.

use std::cell::RefCell;

use callgate_layout::clock;
use callgate_layout::envelope::{Call, Cell, Face, Place, Reply, Violation};
use callgate_layout::parking::{self, Activity};
use callgate_layout::payload::{Room, extent_len_for};
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;
use callgate_layout::{Code, marks, slot};
use rkyv::util::AlignedVec;

use crate::archive::{self, ErrorRecord};
use crate::bus;
use crate::error::{Error, Result};
use crate::extents::too_large;
use crate::link::{Held, Link};
use crate::types::GateType;
use crate::wait::Patience;

/// Keep at most this much memory for a thread's next large payload.
const KEEP: usize = 1 << 20;

thread_local! {
    /// Payloads that do not fit a cell pass through here, so that they allocate once a thread.
    static SCRATCH: RefCell<AlignedVec> = RefCell::new(AlignedVec::new());
}

/// Where a call goes and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) link: &'a Link,
    pub(crate) index: u16,
    pub(crate) face: Face,
    /// Nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
    pub(crate) patience: &'a Patience,
}

/// A call under way.
#[derive(Clone, Copy)]
struct Flight {
    ticket: Ticket,
    /// Whether the request lies in the entry, so that nothing else of it is to be freed.
    is_inline: bool,
}

/// Calls a gate and waits for the answer.
#[inline]
pub(crate) fn call<A: GateType, R: GateType>(target: Target<'_>, arguments: &A) -> Result<R> {
    check_here(target.link)?;
    let mut cell = Cell::default();
    let flight = match archive::serialize_into(arguments, cell.inline_mut()) {
        Some(length) => send_inline(target, &mut cell, length)?,
        None => send_large(target, &mut cell, arguments)?,
    };
    finish(target, flight, &mut cell)
}

/// Calls a gate with a payload that was filled in place, and waits for the answer.
pub(crate) fn call_loaned<R: GateType>(target: Target<'_>, room: Room) -> Result<R> {
    check_here(target.link)?;
    let (mut cell, length) = (Cell::default(), room.len());
    let ticket = match take_ticket(target) {
        Ok(ticket) => ticket,
        Err(error) => {
            // Somebody else may wait for this room, and is told once it is free.
            drop(room);
            target.link.freed();
            return Err(error);
        }
    };
    let flight = send_held(target, &mut cell, ticket, (Held::Extent(room), length))?;
    finish(target, flight, &mut cell)
}

/// Takes room for a payload, to be filled in place.
pub(crate) fn loan(target: Target<'_>, len: usize) -> Result<Room> {
    let link = target.link;
    check_here(link)?;
    if extent_len_for(len).is_none() {
        return Err(too_large(Code::RequestTooLarge, "bytes", len));
    }
    wait_for(target, || link.take_room(len)).unwrap_or_else(|| Err(no_room(link, "payload memory")))
}

/// Waits for the answer and takes it.
#[inline]
fn finish<R: GateType>(target: Target<'_>, flight: Flight, cell: &mut Cell) -> Result<R> {
    await_reply(target, flight.ticket)
        .inspect_err(|_| target.link.abandon(flight.ticket))
        .map_err(Error::maybe_run)?;
    receive(target.link, flight, cell)
}

#[inline]
fn check_here(link: &Link) -> Result<()> {
    if link.is_here() {
        return Ok(());
    }
    Err(bus::forked())
}

#[inline]
fn take_ticket(target: Target<'_>) -> Result<Ticket> {
    match target.link.pending().take() {
        Some(ticket) => Ok(ticket),
        None => wait_for_ticket(target),
    }
}

fn send_inline(target: Target<'_>, cell: &mut Cell, length: usize) -> Result<Flight> {
    let ticket = take_ticket(target)?;
    publish(target, ticket, Place::Inline, length, cell)?;
    Ok(Flight {
        ticket,
        is_inline: true,
    })
}

#[cold]
fn send_large<A: GateType>(target: Target<'_>, cell: &mut Cell, arguments: &A) -> Result<Flight> {
    let link = target.link;
    // A handler's own call may come here while this thread's scratch is in use further up the
    // stack only if serialising called handlers, which it does not.
    SCRATCH.with_borrow_mut(|scratch| {
        archive::serialize_vec(arguments, scratch)?;
        if extent_len_for(scratch.len()).is_none() {
            let error = too_large(Code::RequestTooLarge, "arguments", scratch.len());
            shrink(scratch);
            return Err(error);
        }
        let ticket = take_ticket(target)?;
        let held = wait_for(target, || link.write_payload(scratch))
            .unwrap_or_else(|| Err(no_room(link, "payload memory")));
        let length = scratch.len();
        shrink(scratch);
        let held = held.inspect_err(|_| link.cancel(ticket))?;
        send_held(target, cell, ticket, (held, length))
    })
}

/// Publishes a call whose payload is in place.
fn send_held(
    target: Target<'_>,
    cell: &mut Cell,
    ticket: Ticket,
    (held, length): (Held, usize),
) -> Result<Flight> {
    let place = held.place();
    target.link.keep_request(ticket, held);
    publish(target, ticket, place, length, cell)?;
    Ok(Flight {
        ticket,
        is_inline: false,
    })
}

/// Gives the memory of one large payload back instead of keeping it for the next.
fn shrink(scratch: &mut AlignedVec) {
    if scratch.capacity() > KEEP {
        *scratch = AlignedVec::new();
    }
}

#[inline]
fn publish(
    target: Target<'_>,
    ticket: Ticket,
    place: Place,
    length: usize,
    cell: &mut Cell,
) -> Result<()> {
    let link = target.link;
    if link.is_gone() {
        link.cancel(ticket);
        return Err(gone(link));
    }
    let call = Call {
        gate: target.index,
        slot: ticket.slot,
        face: target.face,
        place,
        // A payload is no longer than the largest extent, 64 MiB.
        length: length as u32,
        deadline: clock::to_tick(target.deadline),
    };
    link.refresh_mark(ticket);
    if link.publish(&call, cell) == Activity::Closed {
        link.end_with(Error::new(
            Code::ProviderGone,
            format!("plugin {} has closed", link.peer().name()),
        ));
    }
    Ok(())
}

/// Waits until the answer is there; an error when the link or the deadline ends first.
#[inline]
fn await_reply(target: Target<'_>, ticket: Ticket) -> Result<()> {
    let link = target.link;
    let is_over = || link.is_answered(ticket) || link.is_gone();
    if target.patience.stay_awake(target.deadline, is_over) && link.is_answered(ticket) {
        return Ok(());
    }
    park_for_reply(target, ticket)
}

#[cold]
fn park_for_reply(target: Target<'_>, ticket: Ticket) -> Result<()> {
    let link = target.link;
    let (outbox, inbox, geometry) = (link.outbox(), link.inbox(), link.geometry());
    let start = clock::now();
    marks::set_waiter(outbox, geometry, ticket.slot, true);
    // REPLY-OR-WAITER, the caller's side.
    parking::publish_fence();
    let outcome = loop {
        let seen = slot::state(inbox, geometry, ticket.slot);
        if seen == ticket.generation {
            break Ok(());
        }
        if link.is_gone() {
            // A reply that was published before the end wins.
            break if link.is_answered(ticket) {
                Ok(())
            } else {
                Err(gone(link))
            };
        }
        if clock::now() >= target.deadline {
            break Err(timed_out(link));
        }
        let words = [
            slot::word(inbox, geometry, ticket.slot, seen),
            link.liveness(),
        ];
        futex::wait_any(&words, target.deadline);
    };
    marks::set_waiter(outbox, geometry, ticket.slot, false);
    target.patience.learn(clock::now() - start);
    outcome
}

/// Copies the reply, frees what the call held, and makes a value or an error of it.
#[inline]
fn receive<R: GateType>(link: &Link, flight: Flight, cell: &mut Cell) -> Result<R> {
    let reply = slot::read(link.inbox(), link.geometry(), flight.ticket.slot, cell)
        .map_err(|violation| broke(link, violation))?;
    if reply.place == Place::Inline {
        link.finish(flight.ticket, flight.is_inline);
        return decode(&reply, &cell.inline()[..reply.length as usize]);
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if let Err(violation) = link.read_payload(reply.place, reply.length, scratch) {
            return Err(broke(link, violation));
        }
        link.release_reply(flight.ticket, &reply);
        link.finish(flight.ticket, flight.is_inline);
        let answer = decode(&reply, scratch);
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

#[inline]
fn decode<R: GateType>(reply: &Reply, payload: &[u8]) -> Result<R> {
    if reply.ok {
        // The handler did run, even where its result cannot be read.
        let value = archive::access::<R>(payload).and_then(archive::deserialize::<R>);
        value.map_err(Error::maybe_run)
    } else {
        Err(
            match archive::access::<ErrorRecord>(payload).and_then(archive::deserialize) {
                Ok(record) => ErrorRecord::into(record),
                Err(error) => error.maybe_run(),
            },
        )
    }
}

#[cold]
fn wait_for_ticket(target: Target<'_>) -> Result<Ticket> {
    let link = target.link;
    wait_for(target, || link.pending().take()).ok_or_else(|| no_room(link, "pending call"))
}

/// Waits until `attempt` gives something, the link ends or the deadline passes.
fn wait_for<T>(target: Target<'_>, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let link = target.link;
    if let Some(found) = attempt() {
        return Some(found);
    }
    let mut got = None;
    link.wait_for_room(target.deadline, || {
        got = attempt();
        (got.is_some() || link.is_gone()).then_some(())
    });
    got
}

fn no_room(link: &Link, what: &str) -> Error {
    if link.is_gone() {
        return gone(link);
    }
    Error::new(
        Code::Overloaded,
        format!(
            "no {what} to plugin {} came free before the deadline; {} calls are under way, nothing was sent",
            link.peer().name(),
            link.pending().in_flight()
        ),
    )
}

fn timed_out(link: &Link) -> Error {
    Error::new(
        Code::Timeout,
        format!(
            "plugin {} did not answer before the deadline",
            link.peer().name()
        ),
    )
}

/// Why a call on a link that has ended fails.
pub(crate) fn gone(link: &Link) -> Error {
    link.reason().cloned().unwrap_or_else(|| {
        Error::new(
            Code::ProviderGone,
            format!("plugin {} is gone", link.peer().name()),
        )
    })
}
