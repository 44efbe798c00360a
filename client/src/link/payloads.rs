//! Payloads that do not lie inline: where this side's go, and where the peer's are read.

use callgate_layout::area::{self, Region, Run};
use callgate_layout::control::ToBroker;
use callgate_layout::envelope::{Place, Violation};
use callgate_layout::marks;
use callgate_layout::payload::{Extent, PayloadView, Room};
use callgate_layout::pending::Ticket;
use rkyv::util::AlignedVec;

use super::Link;
use crate::bus::Bus;
use crate::error::Error;
use crate::extents::Found;

/// What a payload takes of this side's memory.
#[derive(Debug)]
pub(crate) enum Held {
    /// Blocks of the outbox's payload area.
    Area(Run),
    /// Room in an extent, which is free again when this is dropped.
    Extent(Room),
}

impl Held {
    /// Where the payload lies, as an envelope names it.
    pub(crate) fn place(&self) -> Place {
        match self {
            Held::Area(run) => Place::Area { block: run.first() },
            Held::Extent(room) => Place::Extent(room.place()),
        }
    }
}

impl Link {
    pub(super) fn free_request(&self, slot: u8) {
        let held = self.requests[usize::from(slot)].lock().take();
        self.free(held);
    }

    fn free(&self, held: Option<Held>) {
        match held {
            Some(Held::Area(run)) => self.area.free(run),
            // Dropping the room frees it.
            Some(Held::Extent(room)) => drop(room),
            None => {}
        }
    }

    /// Copies a peer's payload that does not lie inline into private memory, where archives are
    /// aligned.
    pub(crate) fn read_payload(
        &self,
        place: Place,
        length: u32,
        into: &mut AlignedVec,
    ) -> Result<(), Violation> {
        into.clear();
        match place {
            Place::Inline => {}
            Place::Area { block } => {
                into.resize(length as usize, 0);
                area::read(
                    &self.parts.inbox,
                    Region::outbox(self.parts.geometry),
                    block,
                    into,
                );
            }
            Place::Extent(place) => {
                let (memory, region) = self.extents.peer(place, length)?;
                into.resize(length as usize, 0);
                area::read(&memory, region, place.block, into);
            }
        }
        Ok(())
    }

    /// A peer's payload where it lies; `None` for one that lies inline.
    pub(crate) fn view_payload(
        &self,
        place: Place,
        length: u32,
    ) -> Result<Option<PayloadView>, Violation> {
        let (memory, region, block) = match place {
            Place::Inline => return Ok(None),
            Place::Area { block } => (
                self.parts.inbox.clone(),
                Region::outbox(self.parts.geometry),
                block,
            ),
            Place::Extent(place) => {
                let (memory, region) = self.extents.peer(place, length)?;
                (memory, region, place.block)
            }
        };
        Ok(Some(PayloadView::new(
            memory,
            region,
            block,
            length,
            self.parts.trust,
        )))
    }

    /// Copies a payload into blocks of this side's area, or into an extent; `None` while there
    /// is no room, which is being made then if that is possible.
    pub(crate) fn write_payload(&self, payload: &[u8]) -> Option<Result<Held, Error>> {
        if payload.len() <= self.area.capacity()
            && let Some(run) = self.area.allocate(payload.len())
        {
            area::write(&self.parts.outbox, self.area.region(), run, payload);
            return Some(Ok(Held::Area(run)));
        }
        match self.take_room(payload.len())? {
            Ok(room) => {
                room.write(payload);
                Some(Ok(Held::Extent(room)))
            }
            // The area's blocks will come free, whatever the broker says of extents.
            Err(_) if payload.len() <= self.area.capacity() => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Takes room in an extent; `None` while there is none.
    pub(crate) fn take_room(&self, len: usize) -> Option<Result<Room, Error>> {
        let bus = self.parts.bus.upgrade()?;
        loop {
            // One link's answers must not use up what a plugin has for all.
            let share = bus
                .check_alive()
                .map(|()| (bus.limits.extent_mib as usize) << 19);
            return match self.extents.find(len, share) {
                Found::Room(room) => Some(Ok(room)),
                Found::Refused(error) => Some(Err(error)),
                Found::Wait => None,
                Found::GiveBack(extent) => {
                    self.give_back(&bus, extent);
                    continue;
                }
                Found::Want(number, len) => {
                    let want = ToBroker::WantExtent {
                        end: self.parts.end,
                        number,
                        len,
                    };
                    bus.try_send(&want).err().map(|error| {
                        self.extents.forget_wanted();
                        Err(error)
                    })
                }
            };
        }
    }

    /// Unmaps an extent and tells the broker, who charges it no longer then.
    pub(crate) fn give_back(&self, bus: &Bus, extent: Extent) {
        let (end, number) = (self.parts.end, extent.number());
        drop(extent);
        // With the number still known to the broker, asking for it again would be an offence.
        if bus
            .try_send(&ToBroker::ReturnExtent { end, number })
            .is_ok()
        {
            self.extents.returned(number);
        }
    }

    /// Remembers what a published reply takes until the peer gives them back.
    pub(crate) fn keep_reply(&self, ticket: Ticket, held: Held) {
        let old = self.replies.lock()[usize::from(ticket.slot)].replace((ticket.generation, held));
        self.free_reply(old);
        // The caller may have given up before the reply was published.
        self.reclaim_replies();
    }

    /// Frees the blocks of the slot's last reply: its caller has begun another call.
    pub(crate) fn forget_reply(&self, slot: u8) {
        let old = self.replies.lock()[usize::from(slot)].take();
        self.free_reply(old);
    }

    /// Frees the blocks of all replies that the peer has given back.
    pub(crate) fn reclaim_replies(&self) {
        let (inbox, geometry) = (&self.parts.inbox, self.parts.geometry);
        let mut replies = self.replies.lock();
        for (slot, kept) in (0..).zip(replies.iter_mut()) {
            let is_back =
                |kept: &mut (u32, Held)| marks::is_released(inbox, geometry, slot, kept.0);
            self.free_reply(kept.take_if(is_back));
        }
    }

    fn free_reply(&self, reply: Option<(u32, Held)>) {
        if let Some((_, held)) = reply {
            self.free(Some(held));
            self.freed();
        }
    }
}
