//! The extents of a link: this side's, into which it writes, and the peer's, which it reads.
//!
//! The broker makes an extent when a payload does not fit the outbox. It is kept for the next one, and given back
//! when it was idle for a while. All of this is on the path of large payloads only: the writing side takes one
//! uncontended lock, the reading side none.

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

/// For how long the broker is not asked again after it refused an extent.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A peer that has not mapped an extent for this long may be stopped. It is the time that a broker gives a plugin
/// for one step, unless its host says otherwise.
const MAPPING: Duration = Duration::from_secs(2);
/// The same limit for making and allocating an extent: that may be much memory, and the broker may have to wait for
/// room.
const ALLOCATING: Duration = Duration::from_secs(10);

/// The outcome of a search for space.
pub(crate) enum Found {
    /// Space was found.
    Space(Space),
    /// There is none; an extent with this number and size has to be asked for.
    Want(u8, u32),
    /// There is none; this idle extent is too small, and has to be given back first.
    Return(Extent),
    /// There is none, and nothing to ask for: the caller waits.
    Wait,
    /// The broker refused an extent.
    Refused(Error),
}

/// Who delays an extent that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// The broker that makes it, or this process that allocates it.
    Here(Duration),
    /// The peer, which has to map it.
    Peer(Duration),
}

/// The extents of both sides of a link.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    own: Mutex<Own>,
    /// The peer's extents, by number. Loaded for each payload that lies in one; stored when the peer gets or
    /// returns one.
    peer: [ArcSwapOption<ReadView>; MAX_EXTENTS as usize],
}

#[derive(Debug, Default)]
struct Own {
    /// The extents in use, each with whether it was used since the last look for idle ones.
    ready: Vec<(Extent, bool)>,
    wanted: Option<Wanted>,
    /// A bit for each number that is being returned: the broker still knows that extent.
    returning: u16,
    /// The size of the extent that was asked for last.
    asked: u32,
    /// The broker's last refusal, and when it came.
    refused: Option<(Error, Instant)>,
}

/// An extent that was asked for.
#[derive(Debug)]
struct Wanted {
    number: u8,
    /// Its memory, once it is mapped.
    memory: Option<Mapping>,
    /// When it was asked for or, after that, mapped.
    since: Instant,
}

impl Extents {
    /// Orders this thread after threads that have freed space in this side's extents. For extents that come later,
    /// the lock does that.
    pub(crate) fn order_with_frees(&self) {
        let own = self.own.lock();
        own.ready
            .iter()
            .for_each(|(extent, _)| extent.order_with_frees());
    }

    /// Takes space for a payload, if there is some.
    #[inline]
    pub(crate) fn take(&self, len: usize) -> Option<Space> {
        self.own.lock().take(len)
    }

    /// Looks for space for a payload. All extents of this side together may take `share` MiB of the quota, but a
    /// single one may always take what it needs. If `share` is an error, no more can be had.
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
        // An extent in use is large enough, so the caller waits until it has room.
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

    /// Notes that the extent which was asked for is allocated and mapped. Returns `false` if it is not wanted any
    /// more.
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

    /// Who has delayed the wanted extent for too long by now, if anybody.
    pub(crate) fn late(&self, now: Instant) -> Option<Late> {
        let own = self.own.lock();
        let wanted = own.wanted.as_ref()?;
        let time = now.saturating_duration_since(wanted.since);
        match wanted.memory {
            Some(_) => (time >= MAPPING).then_some(Late::Peer(time)),
            None => (time >= ALLOCATING).then_some(Late::Here(time)),
        }
    }

    /// Notes that the peer has mapped the extent as well, so it can be used.
    pub(crate) fn ready(&self, number: u8) {
        let mut own = self.own.lock();
        let wanted = own.wanted.take_if(|wanted| wanted.number == number);
        if let Some(memory) = wanted.and_then(|wanted| wanted.memory)
            && let Some(extent) = Extent::new(number, memory)
        {
            own.ready.push((extent, true));
        }
    }

    /// Notes that the broker could not even be asked for it.
    pub(crate) fn forget_wanted(&self) {
        self.own.lock().wanted = None;
    }

    /// Notes that the broker refused it.
    pub(crate) fn refused(&self, why: Error) {
        let mut own = self.own.lock();
        own.wanted = None;
        own.refused = Some((why, Instant::now()));
    }

    /// Takes out the extents that were idle since the last call. The caller returns them.
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

    /// Notes that the broker was told of a returned extent, so its number can be used again.
    pub(crate) fn returned(&self, number: u8) {
        self.own.lock().returning &= !(1 << number);
    }

    /// Keeps an extent in use, because the broker could not be told of its return.
    pub(crate) fn keep(&self, extent: Extent) {
        let mut own = self.own.lock();
        own.returning &= !(1 << extent.number());
        own.ready.push((extent, false));
    }

    /// Whether either side has an extent.
    pub(crate) fn are_any(&self) -> bool {
        !self.own.lock().ready.is_empty() || self.peer.iter().any(|one| one.load().is_some())
    }

    /// Adds an extent of the peer's.
    pub(crate) fn add_peer(&self, number: u8, memory: ReadView) {
        if let Some(place) = self.peer.get(usize::from(number)) {
            place.store(Some(Arc::new(memory)));
        }
    }

    /// Removes an extent of the peer's.
    pub(crate) fn remove_peer(&self, number: u8) {
        if let Some(place) = self.peer.get(usize::from(number)) {
            place.store(None);
        }
    }

    /// The memory of the peer's extent that a payload claims to lie in; to be checked by [`checked`].
    #[inline]
    pub(crate) fn peer(&self, place: ExtentPlace) -> Option<PeerMemory> {
        Some(self.peer.get(usize::from(place.extent))?.load())
    }
}

/// An extent of the peer's, if it exists. It stays mapped as long as this is held.
pub(crate) type PeerMemory = Guard<Option<Arc<ReadView>>>;

/// Checks the place that a payload claims against the extent that it names.
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

    /// Takes out an idle extent, which the caller returns.
    fn take_one_idle(&mut self) -> Option<Extent> {
        let place = self.ready.iter().position(|(extent, _)| extent.is_idle())?;
        let (extent, _) = self.ready.swap_remove(place);
        self.returning |= 1 << extent.number();
        Some(extent)
    }
}

/// The error for a payload that is too long for any call.
#[cold]
pub(crate) fn too_large(code: Code, what: &str, most: usize) -> Error {
    let text = format!("the {what} are more than the {most} bytes that such a call carries");
    Error::new(code, text)
}

#[cfg(test)]
mod tests;
