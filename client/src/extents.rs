//! The extents of a link: this side's, in which it writes, and the peer's, which it reads.
//!
//! They are made by the broker when a payload does not fit the outbox, kept for the next one, and
//! given back when they were idle for a while. Everything here is on the path of large payloads
//! only, where one uncontended lock is nothing beside the bytes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::area::Region;
use callgate_layout::envelope::{ExtentPlace, Violation};
use callgate_layout::payload::{Extent, MAX_EXTENTS, Room, extent_len_for};
use callgate_layout::view::{ReadView, WriteView};
use parking_lot::Mutex;

use crate::error::Error;

/// After a refusal the broker is not asked again for this long.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What looking for room came to.
pub(crate) enum Found {
    /// Here it is.
    Room(Room),
    /// There is none now; this extent (number and size) has to be asked for.
    Want(u8, u32),
    /// There is none now, and nothing to be asked for.
    Wait,
    /// The broker refused the extent that was asked for.
    Refused(Error),
}

/// The extents of both sides of a link.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    own: Mutex<Own>,
    peer: Mutex<HashMap<u8, ReadView>>,
}

#[derive(Debug, Default)]
struct Own {
    /// In use, with whether each was used since the last look.
    ready: Vec<(Extent, bool)>,
    /// The one that was asked for, and its memory once it is mapped.
    wanted: Option<(u8, Option<WriteView>)>,
    /// Why the last one that was asked for was refused, and when.
    refused: Option<(Error, Instant)>,
}

impl Extents {
    /// Looks for room for a payload.
    pub(crate) fn find(&self, len: usize) -> Found {
        let mut own = self.own.lock();
        for (extent, used) in &mut own.ready {
            if let Some(room) = extent.take(len) {
                *used = true;
                return Found::Room(room);
            }
        }
        if let Some((why, at)) = &own.refused
            && at.elapsed() < ASK_AGAIN
        {
            // One that is large enough is waited for instead.
            let may_fit = own.ready.iter().any(|(extent, _)| extent.len() >= len);
            return if may_fit {
                Found::Wait
            } else {
                Found::Refused(why.clone())
            };
        }
        let free = |number: &u8| {
            own.ready
                .iter()
                .all(|(extent, _)| extent.number() != *number)
        };
        match (
            own.wanted.is_none(),
            (0..MAX_EXTENTS).find(free),
            extent_len_for(len),
        ) {
            (true, Some(number), Some(len)) => {
                own.wanted = Some((number, None));
                Found::Want(number, len)
            }
            _ => Found::Wait,
        }
    }

    /// The extent that was asked for is mapped.
    pub(crate) fn mapped(&self, number: u8, memory: WriteView) {
        self.own.lock().wanted = Some((number, Some(memory)));
    }

    /// The peer has mapped it, too: it can be used.
    pub(crate) fn ready(&self, number: u8) {
        let mut own = self.own.lock();
        if let Some((_, Some(memory))) = own.wanted.take_if(|(wanted, _)| *wanted == number) {
            own.ready.push((Extent::new(number, memory), true));
        }
    }

    /// It could not even be asked for.
    pub(crate) fn forget_wanted(&self) {
        self.own.lock().wanted = None;
    }

    /// It cannot be had.
    pub(crate) fn refused(&self, why: Error) {
        let mut own = self.own.lock();
        own.wanted = None;
        own.refused = Some((why, Instant::now()));
    }

    /// Takes out the extents that were idle since the last time, and says whether any are left.
    pub(crate) fn take_idle(&self) -> (Vec<Extent>, bool) {
        let mut own = self.own.lock();
        let is_idle = |entry: &mut (Extent, bool)| {
            let was_used = std::mem::replace(&mut entry.1, false);
            !was_used && entry.0.is_idle()
        };
        let idle = own
            .ready
            .extract_if(.., is_idle)
            .map(|(extent, _)| extent)
            .collect();
        (idle, !own.ready.is_empty())
    }

    /// The peer has an extent.
    pub(crate) fn add_peer(&self, number: u8, memory: ReadView) {
        self.peer.lock().insert(number, memory);
    }

    /// The peer has one less.
    pub(crate) fn remove_peer(&self, number: u8) {
        self.peer.lock().remove(&number);
    }

    /// The memory of the peer's that a payload is said to lie in, checked.
    pub(crate) fn peer(
        &self,
        place: ExtentPlace,
        length: u32,
    ) -> Result<(ReadView, Region), Violation> {
        let memory = self.peer.lock().get(&place.extent).cloned();
        let memory = memory.ok_or(Violation("a payload in an extent that there is not"))?;
        let region = Region::extent(memory.len());
        place.check(length, region)?;
        Ok((memory, region))
    }
}

/// The error for a payload that no extent could hold.
pub(crate) fn too_large(code: Code, what: &str, len: usize) -> Error {
    let most = callgate_layout::payload::MAX_EXTENT_LEN;
    Error::new(
        code,
        format!("the {what} take {len} bytes, a link carries {most}"),
    )
}
