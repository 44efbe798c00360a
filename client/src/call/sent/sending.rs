//! Publishing a call that is sent, if there are a slot and space for it.

use std::sync::Arc;

use callgate_layout::bells::KeptBell;
use callgate_layout::envelope::{Cell, Place};
use callgate_layout::pending::Ticket;

use super::Outbound;
use super::completion::Completion;
use crate::base::error::Result;
use crate::call::bytes::{self, Entry, Flight, Written};
use crate::call::target::{Destination, unavailable};
use crate::link::Link;

/// A call that waits for a slot, or that has a slot and waits for space for its payload.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: Outbound,
    pub(super) ticket: Option<Ticket>,
    pub(super) completion: Arc<Completion>,
}

/// Sends a call in a slot that `take` gives; its answer rings the bell. `None` if there is no slot, or no space for
/// the payload. Without space the call keeps its slot: giving it back would wake all threads that wait for a slot.
pub(super) fn try_send(
    link: &Arc<Link>,
    next: &mut Waiting,
    take: impl FnOnce() -> Option<Ticket>,
) -> Result<Option<Flight>> {
    let call = &next.call;
    let to = Destination {
        link,
        index: call.index,
        kind: call.kind,
        deadline: call.deadline,
    };
    if !link.is_open() {
        if let Some(ticket) = next.ticket.take() {
            link.cancel(ticket);
        }
        return Err(unavailable(link));
    }
    // The bell was taken before the first call of this link.
    let bell = link.sent_bell().taken().map_or(0, KeptBell::number);
    // Each sent call begins a chain of its own, even in a handler, which does not wait for it inside its chain.
    let Some(ticket) = next.ticket.take().or_else(take) else {
        return Ok(None);
    };
    let mut cell = Cell::default();
    let length = call.bytes.len();
    if let Some(inline) = cell.payload_mut(false).get_mut(..length) {
        inline.copy_from_slice(&call.bytes);
        link.ring_when_answered(ticket, bell);
        let entry = Entry {
            ticket,
            chain: None,
            encoding: call.encoding,
            place: Place::Inline,
            length,
        };
        bytes::publish(&to, &entry, &mut cell)?;
        let flight = Flight { ticket, held: None };
        return look_at_late(link, flight);
    }
    match link.write_payload(&call.bytes) {
        Some(Ok(held)) => {
            link.ring_when_answered(ticket, bell);
            let written = Written {
                ticket,
                held,
                length,
            };
            let flight = bytes::send_held(&to, (None, call.encoding), &mut cell, written)?;
            look_at_late(link, flight)
        }
        Some(Err(refused)) => {
            link.cancel(ticket);
            Err(refused)
        }
        None => {
            next.ticket = Some(ticket);
            Ok(None)
        }
    }
}

/// After publishing a call: fails if its provider has closed and has certainly not taken it. If that is not known
/// yet, the bell is rung as soon as it is.
fn look_at_late(link: &Link, flight: Flight) -> Result<Option<Flight>> {
    if !link.is_open() && link.take_back(flight.ticket) {
        if let Some(held) = flight.held {
            link.free_unsent(held);
        }
        return Err(link.closed());
    }
    Ok(Some(flight))
}
