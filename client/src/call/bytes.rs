//! A call as bytes, from the caller's side: a slot, an entry, a wait, an answer. What the bytes mean is
//! said by who calls this: an archive of typed arguments ([`typed`](super::typed)), or bytes as they are.

use callgate_layout::envelope::{Call, Cell, Chain, MAX_DEPTH, Place};
use callgate_layout::pages::Activity;
use callgate_layout::payload::{Space, extent_len_for};
use callgate_layout::pending::Ticket;
use callgate_layout::{Code, clock};

use super::reply::{self, Answer, Flight};
use super::target::{Target, cancelled, gone};
use super::waiting;
use crate::base::archive::MAX_LEN;
use crate::base::chain::{self, too_deep};
use crate::base::deadline::NO_TIME;
use crate::base::error::{Error, Result, forked};
use crate::link::extents::too_large;
use crate::link::{Held, Link};

/// What travels with a call.
pub(crate) trait Request {
    /// Writes it into the entry and says how long it is, if it fits.
    fn write_inline(&self, into: &mut [u8]) -> Option<usize>;

    /// Writes it elsewhere, where it did not fit: takes a slot for the call besides.
    fn write_elsewhere(&self, target: &Target<'_>, chain: Option<Chain>) -> Result<Written>;
}

/// A request that does not lie in its entry, and the slot that its call has.
pub(crate) struct Written {
    pub(crate) ticket: Ticket,
    pub(crate) held: Held,
    pub(crate) length: usize,
}

/// Calls a gate and waits for the answer, which a small one is copied to the cell for.
#[inline(always)]
pub(crate) fn call<'a>(
    target: &Target<'a>,
    request: &impl Request,
    cell: &mut Cell,
) -> Result<Answer<'a>> {
    let chain = begin(target)?;
    let flight = send(target, chain, request, cell)?;
    finish(target, flight, cell)
}

/// Sends a call and does not wait.
#[inline(always)]
fn send(
    target: &Target<'_>,
    chain: Option<Chain>,
    request: &impl Request,
    cell: &mut Cell,
) -> Result<Flight> {
    target.link.prepare();
    let inline = cell.payload_mut(chain.is_some());
    match request.write_inline(inline) {
        Some(length) => send_inline(target, chain, cell, length),
        None => send_elsewhere(target, chain, request, cell),
    }
}

#[cold]
fn send_elsewhere(
    target: &Target<'_>,
    chain: Option<Chain>,
    request: &impl Request,
    cell: &mut Cell,
) -> Result<Flight> {
    // Writing inline failed half-way; clear the cell so that those bytes are not sent.
    *cell = Cell::default();
    let written = request.write_elsewhere(target, chain)?;
    send_held(target, chain, cell, written)
}

/// Calls a gate with a payload that was filled in place, and waits for the answer.
pub(crate) fn call_loaned<'a>(
    target: &Target<'a>,
    space: Space,
    cell: &mut Cell,
) -> Result<Answer<'a>> {
    let length = space.len();
    let begun = begin(target).and_then(|chain| {
        target.link.prepare();
        Ok((take_ticket(target, chain)?, chain))
    });
    let held = Held::Extent(space);
    match begun {
        Ok((ticket, chain)) => {
            let written = Written {
                ticket,
                held,
                length,
            };
            let flight = send_held(target, chain, cell, written)?;
            finish(target, flight, cell)
        }
        Err(error) => {
            target.link.free_unsent(held);
            Err(error)
        }
    }
}

/// Takes space for a payload, to be filled in place. Only where there is none yet it is asked until
/// when to wait for some.
pub(crate) fn loan<'a>(
    link: &Link,
    len: usize,
    target: impl FnOnce() -> Target<'a>,
) -> Result<Space> {
    check_here(link)?;
    if let Some(space) = link.extents().take(len) {
        return Ok(space);
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
fn finish<'a>(target: &Target<'a>, flight: Flight, cell: &mut Cell) -> Result<Answer<'a>> {
    match waiting::await_reply(target, flight.ticket) {
        Ok(()) => reply::receive(target.link, flight, cell),
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
    Err(forked())
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
pub(super) fn take_ticket(target: &Target<'_>, chain: Option<Chain>) -> Result<Ticket> {
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
    chain: Option<Chain>,
    cell: &mut Cell,
    written: Written,
) -> Result<Flight> {
    let Written {
        ticket,
        held,
        length,
    } = written;
    let call = publish(target, (ticket, chain), (held.place(), length), cell);
    match call {
        Ok(()) => Ok(Flight {
            ticket,
            held: Some(held),
        }),
        Err(error) => {
            target.link.free_unsent(held);
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
pub(super) fn wait_for<T>(
    target: &Target<'_>,
    mut attempt: impl FnMut() -> Option<T>,
) -> Option<T> {
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
pub(super) enum Short {
    /// Memory for its payload.
    Payload,
    /// A pending call.
    Pending,
}

pub(super) fn no_space(target: &Target<'_>, what: Short) -> Error {
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
