//! What comes back of a call: copied out of shared memory, and made a value or an error.

use callgate_layout::envelope::{Cell, Place, Reply, Violation};
use callgate_layout::pending::Ticket;
use callgate_layout::{Code, slot};

use crate::base::archive::{self, ErrorRecord};
use crate::base::buffers::{KEEP, Scratch, no_memory, probe};
use crate::base::error::{Error, Result};
use crate::base::types::GateType;
use crate::link::{Held, Link};

/// A call that was published, and what its request takes.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) ticket: Ticket,
    /// What its request takes, if it does not lie in the entry.
    pub(crate) held: Option<Held>,
}

/// The answer to a call.
pub(crate) enum Answer<'a> {
    /// In the cell that it was copied to. Whether it is a result, and its length.
    Inline(bool, usize),
    /// Still where the provider has put it.
    Large(LargeAnswer<'a>),
}

/// An answer that does not fit a cell. The call's slot is taken until it is copied out.
pub(crate) struct LargeAnswer<'a> {
    link: &'a Link,
    reply: Reply,
    flight: Option<Flight>,
}

/// Takes the answer that is there: copies it into the cell, and frees what the call held, or shows where
/// a larger one lies.
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
    /// Whether it is a result.
    pub(crate) fn is_ok(&self) -> bool {
        self.reply.ok
    }

    /// Makes a value of it where it lies, if it is one of plain numbers and vectors of them.
    pub(crate) fn take_direct<R: GateType>(&self) -> Result<Option<R>> {
        self.link
            .take_direct((self.reply.place, self.reply.length))
            .map_err(|violation| broke(self.link, violation))
    }

    /// Copies it into private memory, and frees what the call held.
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

/// Finds out, before a value is made of a long archive or copied, whether there is as much memory.
#[inline]
pub(super) fn check_memory(payload: &[u8], what: &str) -> Result<()> {
    if payload.len() <= KEEP {
        return Ok(());
    }
    probe(payload.len()).map_err(|why| no_memory(why, what))
}

/// Makes an error of an error's archive.
#[cold]
pub(super) fn decode_error(payload: &[u8]) -> Error {
    let record = check_memory(payload, "error")
        .and_then(|()| archive::access::<ErrorRecord>(payload))
        .and_then(archive::deserialize);
    match record {
        Ok(record) => ErrorRecord::into(record),
        Err(error) => error.maybe_run(),
    }
}
