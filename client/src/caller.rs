//! A call, from the caller's side: serialise, take a pending call, publish, wait, copy out.

pub(crate) mod answer;
mod large;

use callgate_layout::Code;
use callgate_layout::clock;
use callgate_layout::envelope::{Call, CallKind, Cell, Chain, MAX_DEPTH, Place};
use callgate_layout::pages::Activity;
use callgate_layout::payload::{Space, extent_len_for};
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;

use crate::archive::{self, MAX_LEN};
use crate::bus;
use crate::cancel::CancelToken;
use crate::chain;
use crate::error::{Error, Result};
use crate::extents::too_large;
use crate::link::{Held, Link};
use crate::serve::too_deep;
use crate::types::GateType;
use crate::wait::Patience;

use answer::{await_reply, receive};

/// The deadline of who does not wait at all: what it asks for may come in the next moment, and it
/// would be luck whether it came in time.
pub(crate) const NO_TIME: u64 = 0;

/// Where a call goes and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) link: &'a Link,
    pub(crate) index: u16,
    pub(crate) kind: CallKind,
    /// Nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
    pub(crate) patience: &'a Patience,
    pub(crate) cancel: Option<&'a CancelToken>,
}

impl<'a> Target<'a> {
    /// Whether the caller has given up.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(CancelToken::is_cancelled)
    }

    /// What else to wait for: the caller's giving up.
    pub(crate) fn cancelled_word(&self) -> Option<futex::Awaited<'a>> {
        self.cancel.map(CancelToken::word)
    }
}

/// A call under way.
struct Flight {
    ticket: Ticket,
    /// What its request takes, if it does not lie in the entry.
    held: Option<Held>,
}

/// Calls a gate and waits for the answer.
#[inline(always)]
pub(crate) fn call<A: GateType, R: GateType>(target: &Target<'_>, arguments: &A) -> Result<R> {
    let chain = begin(target)?;
    target.link.prepare();
    let mut cell = Cell::default();
    let inline = cell.payload_mut(chain.is_some());
    let flight = match archive::serialize_into(arguments, inline) {
        Some(length) => send_inline(target, chain, &mut cell, length)?,
        None => large::send(target, chain, &mut cell, arguments)?,
    };
    finish(target, flight, &mut cell)
}

/// Calls a gate with a payload that was filled in place, and waits for the answer.
pub(crate) fn call_loaned<R: GateType>(target: &Target<'_>, room: Space) -> Result<R> {
    let (mut cell, length) = (Cell::default(), room.len());
    let begun = begin(target).and_then(|chain| {
        target.link.prepare();
        Ok((take_ticket(target, chain)?, chain))
    });
    let held = Held::Extent(room);
    match begun {
        Ok(begun) => {
            let flight = send_held(target, begun, &mut cell, (held, length))?;
            finish(target, flight, &mut cell)
        }
        Err(error) => {
            target.link.give_up(held);
            Err(error)
        }
    }
}

/// Takes room for a payload, to be filled in place. Only where there is none yet it is asked until
/// when to wait for some.
pub(crate) fn loan<'a>(
    link: &Link,
    len: usize,
    target: impl FnOnce() -> Target<'a>,
) -> Result<Space> {
    check_here(link)?;
    if let Some(room) = link.extents().take(len) {
        return Ok(room);
    }
    if extent_len_for(len).is_none() {
        let what = format!("loan's {len} bytes");
        return Err(too_large(Code::RequestTooLarge, &what, MAX_LEN));
    }
    let target = target();
    let found = match target.deadline {
        NO_TIME => link.take_space(len),
        _ => wait_for(&target, || link.take_space(len)),
    };
    found.unwrap_or_else(|| Err(no_space(&target, Short::Payload)))
}

/// Waits for the answer and takes it.
#[inline(always)]
fn finish<R: GateType>(target: &Target<'_>, flight: Flight, cell: &mut Cell) -> Result<R> {
    match await_reply(target, flight.ticket) {
        Ok(()) => receive(target.link, flight, cell),
        Err(error) => {
            // The provider may still read the request.
            target.link.abandon(flight.ticket, flight.held);
            Err(error.maybe_run())
        }
    }
}

#[inline]
fn check_here(link: &Link) -> Result<()> {
    if link.is_here() {
        return Ok(());
    }
    Err(bus::forked())
}

/// Checks what can be checked before anything is taken. Returns the chain that the call is part
/// of, where it is made by a handler.
#[inline(always)]
fn begin(target: &Target<'_>) -> Result<Option<Chain>> {
    check_here(target.link)?;
    if target.is_cancelled() {
        return Err(cancelled(target.link));
    }
    let chain = chain::current();
    match chain {
        Some(chain) if chain.depth >= MAX_DEPTH => Err(too_deep()),
        _ => Ok(chain),
    }
}

#[inline(always)]
fn take_ticket(target: &Target<'_>, chain: Option<Chain>) -> Result<Ticket> {
    match try_ticket(target, chain) {
        Some(ticket) => Ok(ticket),
        None => wait_for_ticket(target, chain),
    }
}

/// Takes a slot if one is free: for a call of its own one of those that its gate may have, for one
/// that a handler makes any, because the chain's earlier calls wait for it.
#[inline(always)]
fn try_ticket(target: &Target<'_>, chain: Option<Chain>) -> Option<Ticket> {
    let pending = target.link.pending();
    match chain {
        None => pending.take_for(target.index),
        Some(_) => pending.take(target.index),
    }
}

#[inline(always)]
fn send_inline(
    target: &Target<'_>,
    chain: Option<Chain>,
    cell: &mut Cell,
    length: usize,
) -> Result<Flight> {
    let ticket = take_ticket(target, chain)?;
    publish(target, (ticket, chain), (Place::Inline, length), cell)?;
    Ok(Flight { ticket, held: None })
}

/// Publishes a call whose payload is in place.
fn send_held(
    target: &Target<'_>,
    (ticket, chain): (Ticket, Option<Chain>),
    cell: &mut Cell,
    (held, length): (Held, usize),
) -> Result<Flight> {
    let call = publish(target, (ticket, chain), (held.place(), length), cell);
    match call {
        Ok(()) => Ok(Flight {
            ticket,
            held: Some(held),
        }),
        Err(error) => {
            target.link.give_up(held);
            Err(error)
        }
    }
}

#[inline(always)]
fn publish(
    target: &Target<'_>,
    (ticket, chain): (Ticket, Option<Chain>),
    (place, length): (Place, usize),
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
        kind: target.kind,
        place,
        // A payload is no longer than the largest extent.
        length: length as u32,
        deadline: clock::to_tick(target.deadline),
        chain,
    };
    link.refresh_flag(ticket);
    if link.publish(&call, cell) == Activity::Closed {
        link.end_with(Error::new(
            Code::ProviderGone,
            format!("plugin {} has closed", link.peer().name()),
        ));
    }
    Ok(())
}

#[cold]
fn wait_for_ticket(target: &Target<'_>, chain: Option<Chain>) -> Result<Ticket> {
    wait_for(target, || try_ticket(target, chain)).ok_or_else(|| no_space(target, Short::Pending))
}

/// Waits until `attempt` gives something, the link ends or the deadline passes.
fn wait_for<T>(target: &Target<'_>, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let link = target.link;
    if let Some(found) = attempt() {
        return Some(found);
    }
    let mut got = None;
    link.wait_for_space(
        target.deadline,
        || target.cancelled_word(),
        || {
            got = attempt();
            (got.is_some() || link.is_gone() || target.is_cancelled()).then_some(())
        },
    );
    got
}

/// What a call found none of.
#[derive(Clone, Copy, Debug)]
enum Short {
    /// Memory for its payload.
    Payload,
    /// A pending call.
    Pending,
}

fn no_space(target: &Target<'_>, what: Short) -> Error {
    let link = target.link;
    if link.is_gone() {
        return gone(link);
    }
    if target.is_cancelled() {
        return cancelled(link);
    }
    let (peer, under_way) = (link.peer().name(), link.pending().in_flight());
    let text = match what {
        Short::Payload => {
            let (taken, most) = link.taken_mib();
            format!(
                "no payload memory for plugin {peer} came free before the deadline: {taken} MiB are taken \
                 of the {most} MiB that payloads to one plugin may take, half of this plugin's limit of \
                 extents; loans hold them, and calls (under way: {under_way}); nothing was sent"
            )
        }
        Short::Pending => format!(
            "no pending call to plugin {peer} came free before the deadline: {under_way} calls are under way \
             (of a link's {}, one gate has at most half and calls outside of chains three quarters), \
             nothing was sent",
            link.geometry().entries()
        ),
    };
    Error::new(Code::Overloaded, text)
}

#[cold]
fn cancelled(link: &Link) -> Error {
    Error::new(
        Code::Cancelled,
        format!("the call to plugin {} was given up", link.peer().name()),
    )
}

#[cold]
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
