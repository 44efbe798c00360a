//! A call as bytes, from the caller's side: a slot, an entry, a wait, an answer. The caller of this module decides
//! what the bytes mean: an archive of typed arguments ([`typed`](super::typed)), or bytes as they are.

use callgate_layout::envelope::{Call, Cell, Chain, MAX_DEPTH, Place, Reply, Violation};
use callgate_layout::pages::Activity;
use callgate_layout::payload::Space;
use callgate_layout::pending::Ticket;
use callgate_layout::ring::RingWriter;
use callgate_layout::{Code, Encoding, clock, slot};

use super::space::{check_here, take_ticket};
use super::target::{Destination, Target, buried, cancelled, unavailable};
use super::waiting;
use crate::base::buffers::{Scratch, no_memory};
use crate::base::chain::{self, too_deep};
use crate::base::error::{Error, Result};
use crate::base::types::GateType;
use crate::link::{Held, Link};
use crate::serve::stack;

/// The request of a call.
pub(crate) trait Request {
    /// Its encoding.
    fn encoding(&self) -> Encoding;

    /// Writes it into the ring entry and returns its length; `None` if it does not fit.
    fn write_inline(&self, into: &mut [u8]) -> Option<usize>;

    /// Writes a request that does not fit the entry to blocks or an extent. Also takes the slot for the call.
    fn write_elsewhere(&self, target: &Target<'_>, chain: Option<Chain>) -> Result<Written>;
}

/// A request outside of its entry, with the slot of its call.
pub(crate) struct Written {
    pub(crate) ticket: Ticket,
    pub(crate) held: Held,
    pub(crate) length: usize,
}

/// Calls a gate and waits for the answer. A small answer is copied to the cell.
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

/// Publishes a call, and does not wait for its answer.
#[inline(always)]
fn send(
    target: &Target<'_>,
    chain: Option<Chain>,
    request: &impl Request,
    cell: &mut Cell,
) -> Result<Flight> {
    target.to.link.prepare();
    let inline = cell.payload_mut(chain.is_some());
    match request.write_inline(inline) {
        Some(length) => send_inline(target, chain, cell, (request.encoding(), length)),
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
    send_held(&target.to, (chain, request.encoding()), cell, written)
}

/// Calls a gate with a payload that the caller has filled in shared memory, and waits for the answer. Returns the
/// payload's space if the provider does not use it any more: because the call was not published, or is answered.
pub(crate) fn call_loaned<'a>(
    target: &Target<'a>,
    space: Space,
    cell: &mut Cell,
) -> (Result<Answer<'a>>, Option<Space>) {
    let link = target.to.link;
    let published = begin(target).and_then(|chain| {
        link.prepare();
        let entry = Entry {
            ticket: take_ticket(target, chain)?,
            chain,
            encoding: Encoding::Archive,
            place: Place::Extent(space.place()),
            length: space.len(),
        };
        publish(&target.to, &entry, cell)?;
        Ok(entry.ticket)
    });
    let ticket = match published {
        Ok(ticket) => ticket,
        Err(error) => return (Err(error), Some(space)),
    };
    match waiting::await_reply(target, ticket) {
        Ok(()) => (
            receive(link, Flight { ticket, held: None }, cell),
            Some(space),
        ),
        Err(error) if link.take_back(ticket) => (Err(error), Some(space)),
        Err(error) => {
            // The provider may still read the request, so its space becomes free with the late answer.
            link.abandon(ticket, Some(Held::Extent(space)));
            (Err(error.maybe_run()), None)
        }
    }
}

/// Waits for the answer and takes it.
#[inline(always)]
fn finish<'a>(target: &Target<'a>, flight: Flight, cell: &mut Cell) -> Result<Answer<'a>> {
    match waiting::await_reply(target, flight.ticket) {
        Ok(()) => receive(target.to.link, flight, cell),
        Err(error) => Err(give_up(target.to.link, flight, error)),
    }
}

/// Gives up a call that failed with an error. The provider may still read the request, unless it certainly has not
/// taken the call.
#[cold]
fn give_up(link: &Link, Flight { ticket, held }: Flight, error: Error) -> Error {
    match link.give_up(ticket, held) {
        true => error.maybe_run(),
        false => error,
    }
}

/// Checks what can be checked before anything is taken. Returns the chain to which the call belongs if a handler
/// makes it.
#[inline(always)]
fn begin(target: &Target<'_>) -> Result<Option<Chain>> {
    check_here(target.to.link)?;
    if target.is_cancelled() {
        return Err(cancelled(target.to.link));
    }
    let chain = chain::current();
    match chain {
        Some(chain) if chain.depth >= MAX_DEPTH => Err(too_deep()),
        Some(chain) if stack::is_on_top(chain.id) => Err(buried()),
        _ => Ok(chain),
    }
}

#[inline(always)]
fn send_inline(
    target: &Target<'_>,
    chain: Option<Chain>,
    cell: &mut Cell,
    (encoding, length): (Encoding, usize),
) -> Result<Flight> {
    let ticket = take_ticket(target, chain)?;
    let entry = Entry {
        ticket,
        chain,
        encoding,
        place: Place::Inline,
        length,
    };
    publish(&target.to, &entry, cell)?;
    Ok(Flight { ticket, held: None })
}

/// Publishes a call whose payload is written.
pub(super) fn send_held(
    to: &Destination<'_>,
    (chain, encoding): (Option<Chain>, Encoding),
    cell: &mut Cell,
    written: Written,
) -> Result<Flight> {
    let Written {
        ticket,
        held,
        length,
    } = written;
    let entry = Entry {
        ticket,
        chain,
        encoding,
        place: held.place(),
        length,
    };
    match publish(to, &entry, cell) {
        Ok(()) => Ok(Flight {
            ticket,
            held: Some(held),
        }),
        Err(error) => {
            to.link.free_unsent(held);
            Err(error)
        }
    }
}

/// The contents of a ring entry besides the call's destination.
pub(super) struct Entry {
    pub(super) ticket: Ticket,
    pub(super) chain: Option<Chain>,
    pub(super) encoding: Encoding,
    pub(super) place: Place,
    /// The length of the payload, in bytes.
    pub(super) length: usize,
}

/// Publishes a call. If that is not possible, frees its slot. If the provider had closed, also closes the link;
/// then the provider may not take the call.
#[inline(always)]
pub(super) fn publish(to: &Destination<'_>, entry: &Entry, cell: &mut Cell) -> Result<()> {
    let (link, ticket) = (to.link, entry.ticket);
    if !link.is_open() {
        link.cancel(ticket);
        return Err(unavailable(link));
    }
    let call = Call {
        gate: to.index,
        slot: ticket.slot,
        kind: to.kind,
        encoding: entry.encoding,
        place: entry.place,
        // Fits, because no payload is longer than the largest extent.
        length: entry.length as u32,
        deadline: clock::to_tick(to.deadline),
        chain: entry.chain,
    };
    link.refresh_flag(ticket);
    let ring: &RingWriter = link.ring();
    ring.publish(link.outbox(), &call, cell);
    match link.look_after_publishing() {
        Activity::Awake => {}
        Activity::Parked => link.ring_parked(),
        Activity::Closed => link.close(),
    }
    Ok(())
}

/// A call that was published, with the memory of its request.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) ticket: Ticket,
    /// The memory of the request, if it does not lie in the entry.
    pub(crate) held: Option<Held>,
}

/// The answer to a call.
pub(crate) enum Answer<'a> {
    /// In the cell. Whether it is a result (or an error), and its length in bytes.
    Inline(bool, usize),
    /// Still in shared memory, where the provider has written it.
    Large(LargeAnswer<'a>),
}

/// An answer that does not fit a cell. It occupies the call's slot until it is copied.
pub(crate) struct LargeAnswer<'a> {
    link: &'a Link,
    reply: Reply,
    flight: Option<Flight>,
}

/// Takes an answer that has come. A small one is copied to the cell, and the slot and request of the call are
/// freed; a larger one is returned where it lies.
#[inline(always)]
pub(crate) fn receive<'a>(link: &'a Link, flight: Flight, cell: &mut Cell) -> Result<Answer<'a>> {
    let reply = slot::read(link.inbox(), link.geometry(), flight.ticket.slot, cell)
        .map_err(|violation| broke(link, violation))?;
    if reply.place == Place::Inline {
        link.finish(flight.ticket, flight.held);
        return Ok(Answer::Inline(reply.ok, reply.length as usize));
    }
    Ok(Answer::Large(LargeAnswer {
        link,
        reply,
        flight: Some(flight),
    }))
}

impl LargeAnswer<'_> {
    /// Whether it is a result, and no error.
    pub(crate) fn is_ok(&self) -> bool {
        self.reply.ok
    }

    /// Reads a value directly from the answer, if it consists of plain numbers and vectors of them.
    pub(crate) fn take_direct<R: GateType>(&self) -> Result<Option<R>> {
        self.link
            .take_direct((self.reply.place, self.reply.length))
            .map_err(|violation| broke(self.link, violation))
    }

    /// Copies the answer into private memory, and frees the slot and request of the call.
    pub(crate) fn copy(self, into: &mut Scratch) -> Result<()> {
        let copied = self
            .link
            .read_payload(self.reply.place, self.reply.length, into)
            .map_err(|violation| broke(self.link, violation))?;
        drop(self);
        copied.map_err(|why| no_memory(why, "answer").maybe_run())
    }
}

impl Drop for LargeAnswer<'_> {
    fn drop(&mut self) {
        if let Some(Flight { ticket, held }) = self.flight.take() {
            self.link.release_reply(ticket, &self.reply);
            self.link.finish(ticket, held);
        }
    }
}

/// Ends the link to a provider that broke the protocol, and returns the error.
#[cold]
fn broke(link: &Link, violation: Violation) -> Error {
    let text = format!(
        "plugin `{}`: {violation}; the link is closed",
        link.peer().name()
    );
    let error = Error::new(Code::Protocol, text).maybe_run();
    link.end_with(error.clone());
    error
}
