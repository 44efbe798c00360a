//! Requests that do not fit a ring entry: archived directly in shared memory, or copied there.

use callgate_layout::Code;
use callgate_layout::envelope::Chain;
use callgate_layout::pending::Ticket;

use super::bytes::Written;
use super::space::{Short, no_space_for, take_ticket, wait_for};
use super::target::Target;
use crate::base::archive::MAX_LEN;
use crate::base::buffers::{Scratch, no_memory};
use crate::base::error::{Error, Result};
use crate::base::types::{Failed, GateType};
use crate::link::extents::too_large;
use crate::link::{Held, Link};

/// Archives arguments into shared memory, and takes a slot for their call.
#[cold]
pub(super) fn write<A: GateType>(
    target: &Target<'_>,
    chain: Option<Chain>,
    arguments: &A,
) -> Result<Written> {
    let link = target.to.link;
    let mut scratch = Scratch::take();
    let counted = link.archive(arguments, &mut scratch).map_err(failed)?;
    let unsent = Unsent {
        link,
        ticket: Some(take_ticket(target, chain)?),
    };
    let (held, length) = match counted {
        Some(length) => write_in_place(target, (arguments, length), &mut scratch)?,
        None => copy(target, &scratch)?,
    };
    link.recycle(&mut scratch);
    unsent.written(target, held, length)
}

/// Copies bytes into shared memory, and takes a slot for their call.
#[cold]
pub(super) fn write_bytes(
    target: &Target<'_>,
    chain: Option<Chain>,
    bytes: &[u8],
) -> Result<Written> {
    if bytes.len() > MAX_LEN {
        return Err(too_large(Code::RequestTooLarge, "bytes", MAX_LEN));
    }
    let unsent = Unsent {
        link: target.to.link,
        ticket: Some(take_ticket(target, chain)?),
    };
    let (held, length) = copy(target, bytes)?;
    unsent.written(target, held, length)
}

/// Archives arguments directly in an extent; `length` is the measured length of the archive.
fn write_in_place<A: GateType>(
    target: &Target<'_>,
    (arguments, length): (&A, usize),
    scratch: &mut Scratch,
) -> Result<(Held, usize)> {
    let link = target.to.link;
    let space = wait_for(target, || link.take_space(length))
        .unwrap_or_else(|| Err(no_space_for(target, Short::Extent)))?;
    match link.fill(space, arguments) {
        Ok((space, length)) => Ok((Held::Extent(space), length)),
        // The archive became longer than it was measured a moment ago.
        Err(_) => {
            link.archive_whole(arguments, scratch).map_err(failed)?;
            copy(target, scratch)
        }
    }
}

/// Copies an archive into shared memory.
fn copy(target: &Target<'_>, archive: &[u8]) -> Result<(Held, usize)> {
    let link = target.to.link;
    let held = wait_for(target, || link.write_payload(archive))
        .unwrap_or_else(|| Err(no_space_for(target, Short::of(link, archive.len()))))?;
    Ok((held, archive.len()))
}

fn failed(why: Failed) -> Error {
    match why {
        Failed::OutOfMemory(why) => no_memory(why, "arguments"),
        Failed::Unfit(why) => why.error("arguments"),
        Failed::TooLong | Failed::SmallPieces | Failed::LargePiece => {
            too_large(Code::RequestTooLarge, "arguments", MAX_LEN)
        }
    }
}

/// A slot that is freed when this is dropped, unless it was taken out; also if archiving panics.
struct Unsent<'a> {
    link: &'a Link,
    ticket: Option<Ticket>,
}

impl Unsent<'_> {
    /// Takes the slot out, because the request is written.
    fn written(mut self, target: &Target<'_>, held: Held, length: usize) -> Result<Written> {
        match self.ticket.take() {
            Some(ticket) => Ok(Written {
                ticket,
                held,
                length,
            }),
            // Cannot happen: the slot is only taken out here.
            None => Err(no_space_for(target, Short::Pending)),
        }
    }
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.link.cancel(ticket);
        }
    }
}
