//! The memory of links: the control thread maps it as its kind and this side's role require, tells the broker the
//! outcome, and gives it back when it is idle.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use callgate_layout::control::{
    Failure, LinkEnd, MemoryId, MemoryToBroker, MemoryToPlugin, PeerInfo, Role,
};
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN};
use callgate_layout::payload::is_extent_len;
use callgate_layout::{Code, Geometry};

use super::plugin::PluginWork;
use crate::base::deadline::instant_after;
use crate::base::error::{Error, Result};
use crate::link::extents::Extents;
use crate::link::own_memory::ExtentSource;
use crate::link::peer::Caller;
use crate::link::{Link, LinkParts};
use crate::session::allocation::{self, NewExtent};
use crate::session::connection::failure as error_of;
use crate::session::here;
use crate::session::mapping::{map_read_only, map_writable, system};
use crate::session::membership::Membership;

impl PluginWork<'_> {
    pub(super) fn memory_record(&mut self, record: MemoryToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            MemoryToPlugin::Map { memory, role, len } => {
                self.map(memory, role, len as usize, descriptors);
            }
            MemoryToPlugin::Ready { memory } => {
                self.extent_changed(memory, Role::Writer, Extents::ready);
                self.tidy_later();
            }
            MemoryToPlugin::Refused { memory, failure } => {
                let refused = |extents: &Extents, _number| extents.refused(error_of(failure));
                self.extent_changed(memory, Role::Writer, refused);
            }
            MemoryToPlugin::Unmap { memory } => {
                self.extent_changed(memory, Role::Reader, Extents::remove_peer);
            }
        }
    }

    /// Maps memory, and tells the broker whether it could.
    fn map(&mut self, memory: MemoryId, role: Role, len: usize, descriptors: Vec<OwnedFd>) {
        let outcome = match (memory, role) {
            (MemoryId::Outbox { end }, Role::Writer) => self.own_outbox(end, len, descriptors),
            (MemoryId::Outbox { .. }, Role::Reader) => Err(Error::new(
                Code::Protocol,
                "the broker sent a peer's outbox without its peer",
            )),
            (MemoryId::Extent { end, number }, Role::Writer) => {
                // The broker is told when the memory is allocated.
                let begun = self.own_extent(end, (number, len), descriptors);
                return begun
                    .unwrap_or_else(|error| self.plugin.membership.break_link(end, &error));
            }
            (MemoryId::Extent { number, .. }, Role::Reader) => {
                let outcome = self.peer_extent(memory.end(role), (number, len), descriptors);
                self.tidy_later();
                outcome
            }
        };
        self.answer_for(memory, role, outcome);
    }

    /// Tells the broker that this side has mapped memory, or why it cannot use it.
    pub(super) fn answer_for(&mut self, memory: MemoryId, role: Role, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.send(&MemoryToBroker::Mapped { memory, role }.into()),
            Err(error) => self.memory_failed(memory, role, &error),
        }
    }

    /// Tells the broker, and threads here that wait for it, that this side cannot use some memory. Without its
    /// outbox the link ends; an extent fails alone, unless the broker is at fault.
    pub(super) fn memory_failed(&mut self, memory: MemoryId, role: Role, error: &Error) {
        let end = memory.end(role);
        let failure = Failure::new(error.code(), error.message());
        let failed = MemoryToBroker::Failed {
            memory,
            role,
            failure,
        };
        match memory {
            MemoryId::Outbox { .. } => {
                tracing::warn!(%error, "a link is closed");
                self.plugin.outboxes.remove(&end);
                self.plugin.membership.end_link(end, error);
                let _ = self.plugin.membership.send(&failed.into());
            }
            MemoryId::Extent { .. } if error.code() != Code::System => {
                self.plugin.membership.break_link(end, error);
            }
            MemoryId::Extent { .. } => {
                let own = role == Role::Writer;
                tracing::warn!(%error, own, "an extent of a link cannot be used");
                // The broker is told first: a thread that is woken may ask for another extent under this number.
                let _ = self.plugin.membership.send(&failed.into());
                if own {
                    let refused = |extents: &Extents, _number| extents.refused(error.clone());
                    self.extent_changed(memory, role, refused);
                }
            }
        }
    }

    fn own_outbox(&mut self, end: LinkEnd, len: usize, descriptors: Vec<OwnedFd>) -> Result<()> {
        let [outbox] = expect(descriptors)?;
        let outbox = map_writable(outbox, len)?;
        self.plugin.outboxes.insert(end, outbox);
        Ok(())
    }

    /// Completes a link with its peer, whose outbox comes with the record.
    pub(super) fn link_peer(
        &mut self,
        end: LinkEnd,
        (peer, geometry): (PeerInfo, Geometry),
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        let [inbox, status, bell, process] = expect(descriptors)?;
        let outbox = self.plugin.outboxes.remove(&end).ok_or_else(|| {
            Error::new(Code::Protocol, "the broker linked a peer without an outbox")
        })?;
        if !geometry.is_sound() || geometry.total_len() != outbox.as_read().len() {
            return Err(Error::new(
                Code::Protocol,
                "the broker sent an impossible geometry",
            ));
        }
        let is_here = here::is_here(self.plugin.membership.bus, peer.plugin);
        let process = Arc::new(process);
        let membership: Weak<Membership> = Arc::downgrade(&self.plugin.membership);
        let source: Weak<dyn ExtentSource> = membership;
        let link = Arc::new(Link::new(LinkParts {
            end,
            geometry,
            peer: caller(peer),
            process: Arc::downgrade(&process),
            outbox,
            inbox: map_read_only(inbox, geometry.total_len())?,
            peer_status: map_read_only(status, STATUS_LEN)?,
            peer_bell: Doorbell::new(map_writable(bell, DOORBELL_LEN)?),
            own: self.plugin.membership.memory.clone(),
            extent_mib: self.plugin.membership.limits.extent_mib,
            source,
            trust: self.plugin.state.trust,
            bus: self.plugin.membership.bus,
        }));
        self.plugin.membership.add_link(&link);
        // A peer in this process cannot end without it, and the broker tells when the peer leaves.
        match is_here {
            true => Ok(()),
            false => self.watch(end, process),
        }
    }

    /// Starts the thread that allocates an extent, because that takes too long for this one.
    fn own_extent(
        &self,
        end: LinkEnd,
        (number, len): (u8, usize),
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        let [file] = expect(descriptors)?;
        check_extent(len)?;
        let Some(link) = self.plugin.membership.link(end) else {
            let why = "this side has let the link go";
            let failed = MemoryToBroker::Failed {
                memory: MemoryId::Extent { end, number },
                role: Role::Writer,
                failure: Failure::new(Code::ProviderGone, why),
            };
            return self.plugin.membership.send(&failed.into());
        };
        allocation::allocate(
            &self.plugin.membership,
            &link,
            NewExtent { number, len, file },
        );
        Ok(())
    }

    fn peer_extent(
        &self,
        end: LinkEnd,
        (number, len): (u8, usize),
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        let [memory] = expect(descriptors)?;
        check_extent(len)?;
        // If it were reported as mapped although the link is gone, the peer might put an answer there, which a
        // caller that still holds the link could not read.
        let link = self.plugin.membership.link(end).ok_or_else(|| {
            let text = "this side has let the link go";
            Error::new(Code::ProviderGone, text)
        })?;
        link.extents().add_peer(number, map_read_only(memory, len)?);
        Ok(())
    }

    /// Changes what a link knows of an extent. If this side writes the extent, wakes the callers, and the answers
    /// without room, that wait for such a change.
    fn extent_changed(&self, memory: MemoryId, role: Role, change: impl FnOnce(&Extents, u8)) {
        if let MemoryId::Extent { number, .. } = memory
            && let Some(link) = self.plugin.membership.link(memory.end(role))
        {
            change(link.extents(), number);
            if role == Role::Writer {
                link.wake_waiting();
            }
        }
    }

    /// Has idle memory looked for after a while.
    pub(super) fn tidy_later(&mut self) {
        let at = instant_after(self.plugin.state.keep_idle);
        self.plugin.next_tidy.get_or_insert(at);
    }

    /// Gives back extents and buffers that were idle for a while. If any are left, or may come because the peer has
    /// extents, arranges the next look.
    pub(super) fn tidy(&mut self) {
        let mut any_left = false;
        for link in self.plugin.membership.links() {
            any_left |= link.extents().are_any();
            if !self.plugin.is_connected {
                // Without a broker, extents that are given back cannot be replaced.
                continue;
            }
            // Late answers free what abandoned calls hold, and perhaps no other thread comes to look for them.
            link.sweep();
            let idle = link.extents().take_idle();
            let is_any = !idle.is_empty();
            for extent in idle {
                link.return_extent(&*self.plugin.membership, extent);
            }
            if is_any {
                link.wake_waiting();
            }
        }
        any_left |= self.plugin.membership.memory.pool.sweep();
        self.plugin.next_tidy = any_left.then(|| instant_after(self.plugin.state.keep_idle));
    }

    /// Watches a peer's process, so that the poll reports its end.
    fn watch(&mut self, end: LinkEnd, process: Arc<OwnedFd>) -> Result<()> {
        let token = self
            .poller
            .watch(self.plugin.number, &process)
            .map_err(|error| system("watching a peer", &error))?;
        self.plugin.peers.insert(token, (end, process));
        Ok(())
    }
}

pub(super) fn expect<const N: usize>(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; N]> {
    descriptors.try_into().map_err(|_| {
        Error::new(
            Code::Protocol,
            "the broker sent a record without its descriptors",
        )
    })
}

fn check_extent(len: usize) -> Result<()> {
    if u32::try_from(len).is_ok_and(is_extent_len) {
        return Ok(());
    }
    Err(Error::new(
        Code::Protocol,
        "the broker sent an extent of an impossible size",
    ))
}

pub(super) fn caller(peer: PeerInfo) -> Caller {
    Caller {
        name: peer.identity.name,
        display_name: peer.identity.display_name,
        version: peer.identity.version,
        pid: peer.pid,
        plugin: peer.plugin,
    }
}
