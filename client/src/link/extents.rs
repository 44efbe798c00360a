//! The extents of a link: this side's, in which it writes, and the peer's, which it reads.
//!
//! They are made by the broker when a payload does not fit the outbox, kept for the next one, and
//! given back when they were idle for a while. Everything here is on the path of large payloads
//! only: one uncontended lock for who writes, and none for who reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use callgate_layout::Code;
use callgate_layout::blocks::Region;
use callgate_layout::envelope::{ExtentPlace, Violation};
use callgate_layout::payload::{Extent, MAX_EXTENTS, Space, charged_mib, extent_len_for};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::view::ReadView;
use parking_lot::Mutex;

use crate::base::error::Error;

/// After a refusal the broker is not asked again for this long.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A peer that has not mapped an extent for so long may be stopped: as long as a broker gives a plugin for
/// a step, unless its host says otherwise.
const MAPPING: Duration = Duration::from_secs(2);
/// The same for what comes before: there may be much to allocate, and the broker may have it wait for room.
const ALLOCATING: Duration = Duration::from_secs(10);

/// What looking for space came to.
pub(crate) enum Found {
    /// Here it is.
    Space(Space),
    /// There is none now; this extent (number and size) has to be asked for.
    Want(u8, u32),
    /// There is none now; this idle extent, which is of no use for it, has to be given back first.
    Return(Extent),
    /// There is none now, and nothing to be asked for.
    Wait,
    /// The broker refused the extent that was asked for.
    Refused(Error),
}

/// Whose turn it is for long with an extent that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// The broker is to make it, or this process to allocate it.
    Here(Duration),
    /// The peer is to map it.
    Peer(Duration),
}

/// The extents of both sides of a link.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    own: Mutex<Own>,
    /// The peer's, by number: read with every payload that lies in one, changed when one comes or
    /// goes.
    peer: [ArcSwapOption<ReadView>; MAX_EXTENTS as usize],
}

#[derive(Debug, Default)]
struct Own {
    /// In use, with whether each was used since the last look.
    ready: Vec<(Extent, bool)>,
    wanted: Option<Wanted>,
    /// One bit for each number that is being given back: the broker still knows it.
    returning: u16,
    /// The size of what was asked for last.
    asked: u32,
    /// Why the last one that was asked for was refused, and when.
    refused: Option<(Error, Instant)>,
}

/// An extent that was asked for.
#[derive(Debug)]
struct Wanted {
    number: u8,
    /// Its memory once it is mapped.
    memory: Option<Mapping>,
    /// When it was asked for, or was mapped.
    since: Instant,
}

impl Extents {
    /// Orders this thread with those who free space in this side's extents. For one that comes later the
    /// lock does that.
    pub(crate) fn order_with_frees(&self) {
        let own = self.own.lock();
        own.ready
            .iter()
            .for_each(|(extent, _)| extent.order_with_frees());
    }

    /// Takes space for a payload if there is some.
    #[inline]
    pub(crate) fn take(&self, len: usize) -> Option<Space> {
        self.own.lock().take(len)
    }

    /// Looks for space for a payload. All extents of this side together may take `share` MiB of the
    /// quota, or one as much as is needed; an error where no more can be had.
    pub(crate) fn find(&self, len: usize, share: Result<u32, Error>) -> Found {
        let mut own = self.own.lock();
        if let Some(space) = own.take(len) {
            return Found::Space(space);
        }
        let is_as_large = extent_len_for(len).is_none_or(|len| len >= own.asked);
        let refused = own.refused.as_ref().filter(|_| is_as_large);
        let recent = refused.filter(|(_, at)| at.elapsed() < ASK_AGAIN);
        let share = match recent {
            Some((why, _)) => Err(why.clone()),
            None => share,
        };
        // One that is large enough is waited for instead.
        let may_fit = own.ready.iter().any(|(extent, _)| extent.len() >= len);
        let share = match share {
            Ok(share) => share,
            Err(_) if may_fit => return Found::Wait,
            Err(why) => return Found::Refused(why),
        };
        let Some(wanted) = extent_len_for(len).filter(|_| own.wanted.is_none()) else {
            return Found::Wait;
        };
        let total = own.taken_mib();
        match (0..MAX_EXTENTS).find(|number| own.is_free(*number)) {
            Some(number) if total == 0 || total + charged_mib(wanted) <= share => {
                own.wanted = Some(Wanted {
                    number,
                    memory: None,
                    since: Instant::now(),
                });
                own.asked = wanted;
                own.refused = None;
                Found::Want(number, wanted)
            }
            _ => own.take_one_idle().map_or(Found::Wait, Found::Return),
        }
    }

    /// How many MiB of the quota this side's extents take.
    pub(crate) fn taken_mib(&self) -> u32 {
        self.own.lock().taken_mib()
    }

    /// The extent that was asked for is allocated and mapped; false where it is not wanted any more.
    pub(crate) fn mapped(&self, number: u8, memory: Mapping) -> bool {
        let mut own = self.own.lock();
        let wanted = own.wanted.as_mut();
        let wanted = wanted.filter(|wanted| wanted.number == number && wanted.memory.is_none());
        let is_wanted = wanted.is_some();
        if let Some(wanted) = wanted {
            wanted.memory = Some(memory);
            wanted.since = Instant::now();
        }
        is_wanted
    }

    /// Whether who waits for an extent has had to do so for long by then.
    pub(crate) fn late(&self, now: Instant) -> Option<Late> {
        let own = self.own.lock();
        let wanted = own.wanted.as_ref()?;
        let time = now.saturating_duration_since(wanted.since);
        match wanted.memory {
            Some(_) => (time >= MAPPING).then_some(Late::Peer(time)),
            None => (time >= ALLOCATING).then_some(Late::Here(time)),
        }
    }

    /// The peer has mapped it, too: it can be used.
    pub(crate) fn ready(&self, number: u8) {
        let mut own = self.own.lock();
        let wanted = own.wanted.take_if(|wanted| wanted.number == number);
        if let Some(memory) = wanted.and_then(|wanted| wanted.memory)
            && let Some(extent) = Extent::new(number, memory)
        {
            own.ready.push((extent, true));
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

    /// Takes out the extents that were idle since the last time, to be given back.
    pub(crate) fn take_idle(&self) -> Vec<Extent> {
        let mut own = self.own.lock();
        let is_idle = |entry: &mut (Extent, bool)| {
            let was_used = std::mem::replace(&mut entry.1, false);
            !was_used && entry.0.is_idle()
        };
        let idle: Vec<_> = own
            .ready
            .extract_if(.., is_idle)
            .map(|(extent, _)| extent)
            .collect();
        for extent in &idle {
            own.returning |= 1 << extent.number();
        }
        idle
    }

    /// The broker was told that an extent is no longer used: its number is free again.
    pub(crate) fn returned(&self, number: u8) {
        self.own.lock().returning &= !(1 << number);
    }

    /// The broker could not be told: it is in use as before.
    pub(crate) fn keep(&self, extent: Extent) {
        let mut own = self.own.lock();
        own.returning &= !(1 << extent.number());
        own.ready.push((extent, false));
    }

    /// Whether either side has one.
    pub(crate) fn are_any(&self) -> bool {
        !self.own.lock().ready.is_empty() || self.peer.iter().any(|one| one.load().is_some())
    }

    /// The peer has an extent.
    pub(crate) fn add_peer(&self, number: u8, memory: ReadView) {
        if let Some(place) = self.peer.get(usize::from(number)) {
            place.store(Some(Arc::new(memory)));
        }
    }

    /// The peer has one less.
    pub(crate) fn remove_peer(&self, number: u8) {
        if let Some(place) = self.peer.get(usize::from(number)) {
            place.store(None);
        }
    }

    /// The memory that a payload of the peer's is said to lie in; see [`checked`].
    #[inline]
    pub(crate) fn peer(&self, place: ExtentPlace) -> Option<PeerMemory> {
        Some(self.peer.get(usize::from(place.extent))?.load())
    }
}

/// An extent of the peer's, if there is one, which stays mapped as long as this is held.
pub(crate) type PeerMemory = Guard<Option<Arc<ReadView>>>;

/// Checks a payload's place against the extent that it names.
#[inline]
pub(crate) fn checked(
    memory: Option<&PeerMemory>,
    place: ExtentPlace,
    length: u32,
) -> Result<(&ReadView, Region), Violation> {
    let memory = memory.and_then(|memory| memory.as_deref());
    let memory = memory.ok_or(Violation("a payload in an extent that there is not"))?;
    let region = Region::extent(memory.len());
    place.check(length, region)?;
    Ok((memory, region))
}

impl Own {
    fn take(&mut self, len: usize) -> Option<Space> {
        self.ready.iter_mut().find_map(|(extent, used)| {
            let space = extent.take(len)?;
            *used = true;
            Some(space)
        })
    }

    fn taken_mib(&self) -> u32 {
        let taken = self.ready.iter();
        taken
            .map(|(extent, _)| charged_mib(extent.len() as u32))
            .sum()
    }

    fn is_free(&self, number: u8) -> bool {
        self.returning >> number & 1 == 0
            && self
                .ready
                .iter()
                .all(|(extent, _)| extent.number() != number)
    }

    /// Takes an idle extent out, to be given back.
    fn take_one_idle(&mut self) -> Option<Extent> {
        let place = self.ready.iter().position(|(extent, _)| extent.is_idle())?;
        let (extent, _) = self.ready.swap_remove(place);
        self.returning |= 1 << extent.number();
        Some(extent)
    }
}

/// The error for a payload that no call can carry.
#[cold]
pub(crate) fn too_large(code: Code, what: &str, most: usize) -> Error {
    let text = format!("the {what} are more than the {most} bytes that such a call carries");
    Error::new(code, text)
}

#[cfg(test)]
mod tests;
