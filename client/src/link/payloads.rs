//! Payloads that do not lie inline: where this side writes its own, and how it reads the peer's.

use callgate_layout::blocks::{self, Region, Run};
use callgate_layout::buffer::{Buffer, OutOfMemory};
use callgate_layout::envelope::{Place, Violation};
use callgate_layout::flags;
use callgate_layout::payload::{Extent, PayloadView, Space};
use callgate_layout::pending::Ticket;

use super::extents::{self, Found};
use super::own_memory::ExtentSource;
use super::{Link, LinkParts};
use crate::base::buffers::{KEEP, Pool};
use crate::base::error::Error;
use crate::base::types::{GateType, take_direct};

/// From this length on, in bytes, it is worth avoiding a copy of a whole archive. Copying a shorter one costs next
/// to nothing.
const MIN_DIRECT: u32 = 4 << 10;

/// The part of this side's memory that a payload takes.
#[derive(Debug)]
pub(crate) enum Held {
    /// Payload blocks of the outbox.
    Blocks(Run),
    /// Space in an extent. It is freed when this is dropped.
    Extent(Space),
}

impl Held {
    /// The payload's place, as an envelope names it.
    pub(crate) fn place(&self) -> Place {
        match self {
            Held::Blocks(run) => Place::Blocks { block: run.first() },
            Held::Extent(space) => Place::Extent(space.place()),
        }
    }
}

impl Link {
    /// Frees the request of an abandoned call.
    pub(super) fn free_request(&self, slot: u8) {
        let held = self.requests[usize::from(slot)].lock().take();
        if let Some(held) = held {
            self.free(held);
        }
    }

    pub(super) fn free(&self, held: Held) {
        match held {
            Held::Blocks(run) => self.blocks.free(run),
            // Dropping the space frees it.
            Held::Extent(space) => drop(space),
        }
    }

    /// Frees memory for a call that was not published, and wakes threads that wait for space.
    #[cold]
    pub(crate) fn free_unsent(&self, held: Held) {
        self.free(held);
        self.freed();
    }

    /// Copies a peer's payload that does not lie inline into private memory, aligned for archives. The inner error
    /// means that there is not enough memory.
    #[inline(never)]
    pub(crate) fn read_payload(
        &self,
        place: Place,
        length: u32,
        into: &mut Buffer,
    ) -> Result<Result<(), OutOfMemory>, Violation> {
        let length_here = length as usize;
        let copied = match place {
            Place::Inline => {
                into.clear();
                Ok(())
            }
            Place::Blocks { block } => self.renew(into, length_here).map(|into| {
                let region = Region::outbox(self.parts.geometry);
                blocks::read(&self.parts.inbox, region, block, into);
            }),
            Place::Extent(place) => {
                let memory = self.extents.peer(place);
                let (memory, region) = extents::checked(memory.as_ref(), place, length)?;
                self.renew(into, length_here)
                    .map(|into| blocks::read(memory, region, place.block, into))
            }
        };
        Ok(copied)
    }

    /// Makes a buffer `len` bytes long; a large one gets memory of the plugin's pool.
    fn renew<'b>(&self, buffer: &'b mut Buffer, len: usize) -> Result<&'b mut [u8], OutOfMemory> {
        self.reserve(buffer, len)?;
        buffer.renew(len)
    }

    /// Gives a buffer memory for `len` bytes; a large one gets memory of the plugin's pool. The buffer's content is
    /// lost.
    pub(crate) fn reserve(&self, buffer: &mut Buffer, len: usize) -> Result<(), OutOfMemory> {
        match len > KEEP {
            true => self.pool().reserve(buffer, len),
            false => buffer.renew(len).map(drop),
        }
    }

    /// The plugin's private memory for large payloads.
    pub(crate) fn pool(&self) -> &Pool {
        &self.parts.own.pool
    }

    /// Passes a large buffer on to the pool, for the next large payload of any thread.
    #[inline]
    pub(crate) fn recycle(&self, buffer: &mut Buffer) {
        if buffer.capacity() > KEEP {
            self.put_into_pool(std::mem::take(buffer));
        }
    }

    #[cold]
    fn put_into_pool(&self, buffer: Buffer) {
        // The pool is only swept from time to time while there are extents, so otherwise the buffer is dropped.
        if self.extents.are_any() {
            self.pool().put(buffer);
        }
    }

    /// The longest payload that needs no extent.
    pub(crate) fn blocks_len(&self) -> usize {
        self.blocks.capacity()
    }

    /// Passes a view of a peer's payload to `look`; `None` for one that lies inline.
    #[inline]
    pub(crate) fn view_payload<T>(
        &self,
        (place, length): (Place, u32),
        look: impl FnOnce(Option<&PayloadView<'_>>) -> T,
    ) -> Result<T, Violation> {
        let LinkParts {
            inbox,
            geometry,
            trust,
            ..
        } = &self.parts;
        match place {
            Place::Inline => Ok(look(None)),
            Place::Blocks { block } => {
                let region = Region::outbox(*geometry);
                let view = PayloadView::new(inbox, region, block, length, *trust);
                Ok(look(Some(&view)))
            }
            Place::Extent(place) => {
                let memory = self.extents.peer(place);
                let (memory, region) = extents::checked(memory.as_ref(), place, length)?;
                let view = PayloadView::new(memory, region, place.block, length, *trust);
                Ok(look(Some(&view)))
            }
        }
    }

    /// Reads a value directly from a peer's archive, if it consists of plain numbers and vectors of them.
    pub(crate) fn take_direct<T: GateType>(
        &self,
        payload: (Place, u32),
    ) -> Result<Option<T>, Violation> {
        if payload.1 < MIN_DIRECT {
            return Ok(None);
        }
        self.view_payload(payload, |view| view.and_then(take_direct::<T>))
    }

    /// Copies a payload into blocks of this side's outbox, or into an extent; `None` if there is no space yet. If
    /// an extent can be had, it has been asked for.
    pub(crate) fn write_payload(&self, payload: &[u8]) -> Option<Result<Held, Error>> {
        if payload.len() <= self.blocks.capacity()
            && let Some(run) = self.allocate(payload.len())
        {
            blocks::write(&self.parts.outbox, self.blocks.region(), run, payload);
            return Some(Ok(Held::Blocks(run)));
        }
        match self.take_space(payload.len())? {
            Ok(space) => {
                space.write(payload);
                Some(Ok(Held::Extent(space)))
            }
            // The outbox's blocks will become free, whatever the broker says about extents.
            Err(_) if payload.len() <= self.blocks.capacity() => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Takes blocks of the outbox. If there are none, first frees those of abandoned calls.
    fn allocate(&self, len: usize) -> Option<Run> {
        let run = self.blocks.allocate(len);
        if run.is_none() {
            self.sweep();
            return self.blocks.allocate(len);
        }
        run
    }

    /// Takes space in an extent that is already there, and asks for no other. If there is none, the caller first
    /// copies the payload into private memory; so the check of the cgroup before an extent is allocated finds that
    /// memory in use. If both were allocated at the same time, they could be more than there is, and the kernel
    /// would kill the process.
    pub(crate) fn space_at_once(&self, len: usize) -> Option<Space> {
        self.extents.take(len).or_else(|| {
            self.reclaim_replies();
            self.extents.take(len)
        })
    }

    /// Takes space in an extent; `None` while there is none. If an extent can be had, it has been asked for.
    pub(crate) fn take_space(&self, len: usize) -> Option<Result<Space, Error>> {
        let source = self.parts.source.upgrade()?;
        loop {
            let share = source.check_alive().map(|()| self.share());
            return match self.extents.find(len, share) {
                Found::Space(space) => Some(Ok(space)),
                Found::Refused(error) => Some(Err(error)),
                Found::Wait => None,
                Found::Return(extent) => match self.return_extent(&*source, extent) {
                    true => continue,
                    false => None,
                },
                Found::Want(number, len) => {
                    let asked = source.want(self.parts.end, number, len);
                    asked.err().map(|error| {
                        self.extents.forget_wanted();
                        Err(error)
                    })
                }
            };
        }
    }

    /// How many MiB this side's extents take, and how many they may take.
    pub(crate) fn taken_mib(&self) -> (u32, u32) {
        (self.extents.taken_mib(), self.share())
    }

    /// Unmaps an extent and tells the broker, which then ends its charge. If the broker cannot be told now, the
    /// extent is kept and returned later; otherwise the plugin would be charged for nothing.
    pub(crate) fn return_extent(&self, source: &dyn ExtentSource, extent: Extent) -> bool {
        let number = extent.number();
        let is_told = source.return_extent(self.parts.end, number).is_ok();
        if is_told {
            drop(extent);
            // Only now: asking for an extent under a number that the broker still knows would be an offence.
            self.extents.returned(number);
        } else {
            self.extents.keep(extent);
        }
        is_told
    }

    /// Remembers the memory of a reply that is about to be published, until the peer releases it.
    pub(crate) fn keep_reply(&self, ticket: Ticket, held: Held) {
        let old = self.replies.lock()[usize::from(ticket.slot)].replace((ticket.generation, held));
        self.free_reply(old);
    }

    /// Frees the memory of the slot's last reply: the caller has begun another call in this slot, and so has read
    /// it.
    pub(crate) fn forget_reply(&self, slot: u8) {
        let old = self.replies.lock()[usize::from(slot)].take();
        self.free_reply(old);
    }

    /// Frees the memory of all replies that the peer has released.
    pub(crate) fn reclaim_replies(&self) {
        let (inbox, geometry) = (&self.parts.inbox, self.parts.geometry);
        let mut replies = self.replies.lock();
        for (slot, kept) in (0..).zip(replies.iter_mut()) {
            let is_back =
                |kept: &mut (u32, Held)| flags::is_released(inbox, geometry, slot, kept.0);
            self.free_reply(kept.take_if(is_back));
        }
    }

    /// How many MiB of the plugin's quota one link may take: half, so that answers to one peer cannot use up the
    /// memory for all.
    fn share(&self) -> u32 {
        self.parts.extent_mib / 2
    }

    fn free_reply(&self, reply: Option<(u32, Held)>) {
        if let Some((_, held)) = reply {
            self.free(held);
            self.freed();
        }
    }
}
