//! A call, from the caller's side: serialise, take a pending call, publish, wait, copy out.

use std::cell::RefCell;

use callgate_layout::clock;
use callgate_layout::envelope::{Call, Cell, Face, Place, Reply};
use callgate_layout::parking::{self, Activity};
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;
use callgate_layout::{Code, marks, slot};
use rkyv::util::AlignedVec;

use crate::archive::{self, ErrorRecord};
use crate::error::{Error, Result};
use crate::link::Link;
use crate::types::GateType;
use crate::wait::Patience;

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
struct Flight {
    ticket: Ticket,
    /// Whether the request lies in the area, so that its blocks are to be freed.
    in_area: bool,
}

/// Calls a gate and waits for the answer.
#[inline]
pub(crate) fn call<A: GateType, R: GateType>(target: Target<'_>, arguments: &A) -> Result<R> {
    if !target.link.is_here() {
        return Err(Error::new(
            Code::Closed,
            "this handle was made before a fork, in the parent process: connect anew in the child",
        ));
    }
    let mut cell = Cell::default();
    let flight = match archive::serialize_into(arguments, cell.inline_mut()) {
        Some(length) => send_inline(target, &mut cell, length)?,
        None => send_in_area(target, &mut cell, arguments)?,
    };
    await_reply(target, flight.ticket)
        .inspect_err(|_| target.link.abandon(flight.ticket))
        .map_err(Error::maybe_run)?;
    receive(target.link, flight, &mut cell)
}

fn send_inline(target: Target<'_>, cell: &mut Cell, length: usize) -> Result<Flight> {
    let ticket = match target.link.pending().take() {
        Some(ticket) => ticket,
        None => wait_for_ticket(target)?,
    };
    publish(target, ticket, Place::Inline, length, cell)?;
    Ok(Flight {
        ticket,
        in_area: false,
    })
}

#[cold]
fn send_in_area<A: GateType>(target: Target<'_>, cell: &mut Cell, arguments: &A) -> Result<Flight> {
    let link = target.link;
    // A handler's own call may come here while this thread's scratch is in use further up the
    // stack only if serialising called handlers, which it does not.
    SCRATCH.with_borrow_mut(|scratch| {
        archive::serialize_vec(arguments, scratch)?;
        if scratch.len() > link.area().capacity() {
            return Err(Error::new(
                Code::RequestTooLarge,
                format!(
                    "the arguments take {} bytes, a link carries {}; nothing was sent",
                    scratch.len(),
                    link.area().capacity()
                ),
            ));
        }
        let Some((place, run)) = wait_for(target, || link.write_payload(scratch)) else {
            return Err(no_room(link, "payload area"));
        };
        // After the blocks: a slot that is taken must bear a call, because both sides count.
        let ticket = match link.pending().take() {
            Some(ticket) => ticket,
            None => wait_for_ticket(target).inspect_err(|_| link.give_back(run))?,
        };
        link.keep_request(ticket, run);
        publish(target, ticket, place, scratch.len(), cell)?;
        Ok(Flight {
            ticket,
            in_area: true,
        })
    })
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
        link.finish(ticket, place != Place::Inline);
        return Err(gone(link));
    }
    let call = Call {
        gate: target.index,
        slot: ticket.slot,
        face: target.face,
        place,
        // A payload is no longer than the area, which is at most 1 MiB.
        length: length as u32,
        deadline: clock::to_tick(target.deadline),
    };
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
    let reply = match slot::read(link.inbox(), link.geometry(), flight.ticket.slot, cell) {
        Ok(reply) => reply,
        Err(violation) => {
            let error = Error::new(
                Code::Protocol,
                format!(
                    "plugin {}: {violation}; the link is closed",
                    link.peer().name()
                ),
            );
            link.end_with(error.clone());
            return Err(error.maybe_run());
        }
    };
    match reply.place {
        Place::Inline => {
            link.finish(flight.ticket, flight.in_area);
            decode(&reply, &cell.inline()[..reply.length as usize])
        }
        Place::Area { block } => SCRATCH.with_borrow_mut(|scratch| {
            link.read_payload(block, reply.length, scratch);
            link.release_reply(flight.ticket, &reply);
            link.finish(flight.ticket, flight.in_area);
            decode(&reply, scratch)
        }),
    }
}

#[inline]
fn decode<R: GateType>(reply: &Reply, payload: &[u8]) -> Result<R> {
    if reply.ok {
        archive::deserialize::<R>(archive::access::<R>(payload)?)
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
    link.room().wait_for(
        target.deadline,
        || {
            link.sweep();
            got = attempt();
            (got.is_some() || link.is_gone()).then_some(())
        },
        || link.abandoned_words(),
    );
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
