//! The memory of links as it comes and goes: outboxes, peers, extents.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Weak};

use callgate_layout::control::{Failure, LinkEnd, PeerInfo, ToBroker};
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN};
use callgate_layout::payload::is_extent_len;
use callgate_layout::{Code, Geometry};
use mio::unix::SourceFd;
use mio::{Interest, Token};

use super::Work;
use crate::base::deadline::instant_after;
use crate::base::error::{Error, Result};
use crate::link::extents::Extents;
use crate::link::own_memory::ExtentSource;
use crate::link::peer::Caller;
use crate::link::{Link, LinkParts};
use crate::session::allocation::{self, NewExtent};
use crate::session::here;
use crate::session::mapping::{map_read_only, map_writable, system};
use crate::session::plugin_state::PluginState;

impl Work {
    pub(super) fn new_outbox(
        &mut self,
        end: LinkEnd,
        geometry: Geometry,
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        let [outbox] = expect(descriptors)?;
        if !geometry.is_sound() {
            return Err(Error::new(
                Code::Protocol,
                "the broker sent an impossible geometry",
            ));
        }
        let outbox = map_writable(outbox, geometry.total_len())?;
        self.outboxes.insert(end, (geometry, outbox));
        Ok(())
    }

    pub(super) fn link_peer(
        &mut self,
        end: LinkEnd,
        peer: PeerInfo,
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        let [inbox, status, bell, process] = expect(descriptors)?;
        let (geometry, outbox) = self.outboxes.remove(&end).ok_or_else(|| {
            Error::new(Code::Protocol, "the broker linked a peer without an outbox")
        })?;
        let is_here = here::is_here(self.state.bus, peer.plugin);
        let process = Arc::new(process);
        let state: Weak<PluginState> = Arc::downgrade(&self.state);
        let source: Weak<dyn ExtentSource> = state;
        let link = Arc::new(Link::new(LinkParts {
            end,
            geometry,
            peer: caller(peer),
            process: Arc::downgrade(&process),
            outbox,
            inbox: map_read_only(inbox, geometry.total_len())?,
            peer_status: map_read_only(status, STATUS_LEN)?,
            peer_bell: Doorbell::new(map_writable(bell, DOORBELL_LEN)?),
            own: self.state.memory.clone(),
            extent_mib: self.state.limits.extent_mib,
            source,
            trust: self.state.trust,
            bus: self.state.bus,
        }));
        self.state.add_link(&link);
        // A peer in this process does not end without it, and the broker tells when it leaves.
        match is_here {
            true => Ok(()),
            false => self.watch(end, process),
        }
    }

    /// Has an extent allocated; that takes long, so this thread only hands it on.
    pub(super) fn new_extent(
        &self,
        end: LinkEnd,
        (number, len): (u8, u32),
        descriptors: Vec<OwnedFd>,
    ) -> Result<()> {
        let [file] = expect(descriptors)?;
        check_extent(len)?;
        let Some(link) = self.state.link(end) else {
            return self.state.send(&ToBroker::ExtentFailed {
                end,
                own: true,
                number,
                failure: let_go(),
            });
        };
        let len = len as usize;
        allocation::allocate(&self.state, &link, NewExtent { number, len, file });
        Ok(())
    }

    /// Changes a link's extents.
    pub(super) fn extents(&self, end: LinkEnd, change: impl FnOnce(&Extents)) {
        if let Some(link) = self.state.link(end) {
            change(link.extents());
        }
    }

    /// Changes a link's extents, and wakes whoever waits for that: callers, and answers that
    /// found no room.
    pub(super) fn extents_changed(&self, end: LinkEnd, change: impl FnOnce(&Extents)) {
        if let Some(link) = self.state.link(end) {
            change(link.extents());
            link.wake_waiting();
        }
    }

    /// Has idle memory looked for after a while.
    pub(super) fn tidy_later(&mut self) {
        let at = instant_after(self.state.keep_idle);
        self.next_tidy.get_or_insert(at);
    }

    /// Gives back the extents and the buffers that were idle for a while; arranges to look again if
    /// any are left, or may come because the peer has extents.
    pub(super) fn tidy(&mut self) {
        let mut any_left = false;
        for link in self.state.links() {
            any_left |= link.extents().are_any();
            if !self.is_connected {
                // What there is of extents cannot be replaced any more.
                continue;
            }
            // Late answers free what abandoned calls hold, and nobody else may come to look.
            link.sweep();
            let idle = link.extents().take_idle();
            let is_any = !idle.is_empty();
            for extent in idle {
                link.return_extent(&*self.state, extent);
            }
            if is_any {
                link.wake_waiting();
            }
        }
        any_left |= self.state.memory.pool.sweep();
        self.next_tidy = any_left.then(|| instant_after(self.state.keep_idle));
    }

    /// Has the poll say when a peer's process ends.
    fn watch(&mut self, end: LinkEnd, process: Arc<OwnedFd>) -> Result<()> {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.poll
            .registry()
            .register(
                &mut SourceFd(&process.as_raw_fd()),
                token,
                Interest::READABLE,
            )
            .map_err(|error| system("watching a peer", &error))?;
        self.peers.insert(token, (end, process));
        Ok(())
    }
}

/// Maps an extent of the peer's.
pub(super) fn peer_extent(
    link: &Link,
    (number, len): (u8, u32),
    descriptors: Vec<OwnedFd>,
) -> Result<()> {
    let [memory] = expect(descriptors)?;
    check_extent(len)?;
    let memory = map_read_only(memory, len as usize)?;
    link.extents().add_peer(number, memory);
    Ok(())
}

/// Why something of a link is no use any more that the broker has just sent.
pub(super) fn let_go() -> Failure {
    Failure::new(Code::ProviderGone, "this side has let the link go")
}

fn expect<const N: usize>(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; N]> {
    descriptors.try_into().map_err(|_| {
        Error::new(
            Code::Protocol,
            "the broker sent a record without its descriptors",
        )
    })
}

fn check_extent(len: u32) -> Result<()> {
    if is_extent_len(len) {
        return Ok(());
    }
    Err(Error::new(
        Code::Protocol,
        "the broker sent an extent of an impossible size",
    ))
}

fn caller(peer: PeerInfo) -> Caller {
    Caller {
        name: peer.identity.name,
        display_name: peer.identity.display_name,
        version: peer.identity.version,
        pid: peer.pid,
        plugin: peer.plugin,
    }
}
