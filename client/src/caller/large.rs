//! Arguments that do not fit a ring entry: archived where they travel, or copied there.

use callgate_layout::Code;
use callgate_layout::envelope::{Cell, Chain};
use callgate_layout::pending::Ticket;

use super::{Flight, Short, Target, no_space, send_held, take_ticket, wait_for};
use crate::archive::MAX_LEN;
use crate::buffers::{Scratch, no_memory};
use crate::error::{Error, Result};
use crate::extents::too_large;
use crate::link::{Held, Link};
use crate::types::{Failed, GateType};

#[cold]
pub(super) fn send<A: GateType>(
    target: &Target<'_>,
    chain: Option<Chain>,
    cell: &mut Cell,
    arguments: &A,
) -> Result<Flight> {
    let link = target.link;
    // Serialising inline failed half-way; clear the cell so that those bytes are not sent.
    *cell = Cell::default();
    let mut scratch = Scratch::take();
    let counted = link.archive(arguments, &mut scratch).map_err(failed)?;
    let unsent = Unsent {
        link,
        ticket: Some(take_ticket(target, chain)?),
    };
    let placed = match counted {
        Some(length) => write_in_place(target, (arguments, length), &mut scratch)?,
        None => copy(target, &scratch)?,
    };
    link.pass_on(&mut scratch);
    match unsent.take() {
        Some(ticket) => send_held(target, (ticket, chain), cell, placed),
        None => Err(no_space(target, Short::Pending)),
    }
}

/// Archives arguments, whose archive has this length, straight into an extent.
fn write_in_place<A: GateType>(
    target: &Target<'_>,
    (arguments, length): (&A, usize),
    scratch: &mut Scratch,
) -> Result<(Held, usize)> {
    let link = target.link;
    let room = wait_for(target, || link.take_space(length))
        .unwrap_or_else(|| Err(no_space(target, Short::Payload)))?;
    match link.fill(room, arguments) {
        Ok((room, length)) => Ok((Held::Extent(room), length)),
        // It became longer than it was counted a moment ago.
        Err(_) => {
            link.archive_whole(arguments, scratch).map_err(failed)?;
            copy(target, scratch)
        }
    }
}

/// Copies an archive to where it travels.
fn copy(target: &Target<'_>, archive: &[u8]) -> Result<(Held, usize)> {
    let held = wait_for(target, || target.link.write_payload(archive))
        .unwrap_or_else(|| Err(no_space(target, Short::Payload)))?;
    Ok((held, archive.len()))
}

fn failed(why: Failed) -> Error {
    match why {
        Failed::OutOfMemory(why) => no_memory(why, "arguments"),
        Failed::TooLong | Failed::SmallPieces | Failed::LargePiece => {
            too_large(Code::RequestTooLarge, "arguments", MAX_LEN)
        }
    }
}

/// A pending call that is given back unless it is taken out, also where archiving panics.
struct Unsent<'a> {
    link: &'a Link,
    ticket: Option<Ticket>,
}

impl Unsent<'_> {
    fn take(mut self) -> Option<Ticket> {
        self.ticket.take()
    }
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.link.cancel(ticket);
        }
    }
}
