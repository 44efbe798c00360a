//! One end of a link: this plugin's outbox, the peer's outbox, and what this side knows of both.
//!
//! Memory stays mapped as long as a [`Link`] is held. When a link has ended, the control thread, the dispatcher and
//! the open gates drop it, and it is unmapped when the last call on it has returned.

mod abandoned;
mod archives;
mod closing;
pub(crate) mod cursor_lines;
pub(crate) mod extents;
pub(crate) mod own_memory;
mod payloads;
pub(crate) mod peer;
pub(crate) mod together;
pub(crate) mod topic_words;
mod waiting;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};

use callgate_layout::bells::Sleeper;
use callgate_layout::blocks::{Blocks, Region};
use callgate_layout::control::LinkEnd;
use callgate_layout::envelope::ChainNames;
use callgate_layout::life::Life;
use callgate_layout::pages::{self, Activity, Doorbell, Rung};
use callgate_layout::payload::TrustPeers;
use callgate_layout::pending::{Pending, Ticket};
use callgate_layout::ring::RingWriter;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::sys::process;
use callgate_layout::view::{ReadView, WriteView};
use callgate_layout::waiters::Waiters;
use callgate_layout::words::WordSleeper;
use callgate_layout::{Geometry, flags, slot};
use parking_lot::Mutex;

use crate::base::error::Error;
use extents::Extents;
use own_memory::{ExtentSource, OwnMemory, SentBell};
use peer::Caller;

pub(crate) use payloads::Held;

/// The memory and the facts of which one end of a link is made.
pub(crate) struct LinkParts {
    pub(crate) end: LinkEnd,
    pub(crate) geometry: Geometry,
    pub(crate) peer: Caller,
    /// The peer's process, while the control thread watches it.
    pub(crate) process: Weak<OwnedFd>,
    pub(crate) outbox: WriteView,
    pub(crate) inbox: ReadView,
    pub(crate) peer_status: ReadView,
    pub(crate) peer_bell: Doorbell,
    pub(crate) own: Arc<OwnMemory>,
    /// How many MiB of extents this plugin may have.
    pub(crate) extent_mib: u32,
    pub(crate) source: Weak<dyn ExtentSource>,
    pub(crate) trust: Option<TrustPeers>,
    /// The bus's number.
    pub(crate) bus: u64,
}

/// One end of a link.
pub(crate) struct Link {
    parts: LinkParts,
    ring: RingWriter,
    pending: Pending,
    blocks: Blocks,
    /// For each slot, the memory of the request of an abandoned call, if it does not lie inline.
    requests: [Mutex<Option<Held>>; 64],
    /// For each slot, the generation and the memory of this side's last reply, if it does not lie inline.
    replies: Mutex<[Option<(u32, Held)>; 64]>,
    extents: Extents,
    waiters: Waiters,
    /// For which of the peer's parks its doorbell was rung.
    rung: Rung,
    /// The bell that late answers to abandoned calls ring; 0 while threads sleep on the slots' own words instead.
    late_bell: Mutex<u8>,
    /// Locked while abandoned calls are looked through.
    sweeper: Mutex<()>,
    life: Life,
    reason: OnceLock<Error>,
    fork: ForkMark,
}

impl Link {
    pub(crate) fn new(parts: LinkParts) -> Link {
        let geometry = parts.geometry;
        Link {
            ring: RingWriter::new(geometry),
            pending: Pending::new(geometry),
            blocks: Blocks::new(Region::outbox(geometry)),
            requests: [const { Mutex::new(None) }; 64],
            replies: Mutex::new([const { None }; 64]),
            extents: Extents::default(),
            waiters: Waiters::new(),
            rung: Rung::new(),
            late_bell: Mutex::new(0),
            sweeper: Mutex::new(()),
            life: Life::new(),
            reason: OnceLock::new(),
            fork: ForkMark::here(),
            parts,
        }
    }

    pub(crate) fn end(&self) -> LinkEnd {
        self.parts.end
    }

    /// The number of the bus whose broker has made the link.
    pub(crate) fn bus(&self) -> u64 {
        self.parts.bus
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.parts.geometry
    }

    /// The names of chains that begin with calls at one end of this link.
    pub(crate) fn chains(&self, end: LinkEnd) -> ChainNames {
        ChainNames::new(self.parts.bus, end.link, end.side)
    }

    pub(crate) fn peer(&self) -> &Caller {
        &self.parts.peer
    }

    pub(crate) fn outbox(&self) -> &WriteView {
        &self.parts.outbox
    }

    pub(crate) fn inbox(&self) -> &ReadView {
        &self.parts.inbox
    }

    pub(crate) fn peer_bell(&self) -> &Doorbell {
        &self.parts.peer_bell
    }

    /// The bell of this side's doorbell page for calls that no thread waits for.
    pub(crate) fn sent_bell(&self) -> &Arc<SentBell> {
        &self.parts.own.sent
    }

    pub(crate) fn extents(&self) -> &Extents {
        &self.extents
    }

    pub(crate) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Whether this is the process that made the link, and not a forked child.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.fork.is_here()
    }

    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.life.is_over()
    }

    /// Whether the peer's process has ended. Asks the kernel, because the control thread may not know yet.
    pub(crate) fn has_peer_ended(&self) -> bool {
        let process = self.parts.process.upgrade();
        process.is_some_and(|process| process::has_ended(process.as_fd()))
    }

    /// Announces that a caller is about to sleep until its call is answered; `None` if no bell is free for it.
    pub(crate) fn sleeper(&self, ticket: Ticket) -> Option<Sleeper<'_>> {
        let LinkParts {
            own,
            outbox,
            geometry,
            ..
        } = &self.parts;
        Sleeper::new(&own.bells, outbox, *geometry, ticket.slot)
    }

    /// As [`Link::sleeper`], but the caller sleeps on the reply slot's word, among others.
    pub(crate) fn word_sleeper(&self, ticket: Ticket) -> WordSleeper<'_> {
        let (parts, slot) = (&self.parts, ticket.slot);
        WordSleeper::announce(&parts.outbox, &parts.inbox, parts.geometry, slot)
    }

    /// The life of the link: a word to sleep on, and the order of looks at the end of a wait.
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    /// Ends the link: wakes all calls that wait on it, for a reply or for room.
    pub(crate) fn end_with(&self, reason: Error) {
        // The first reason is kept. It is set before anybody can see that the link has ended.
        let _ = self.reason.set(reason);
        self.life.end();
        self.wake_callers();
    }

    /// Wakes all calls that wait on the link, after its life has changed.
    fn wake_callers(&self) {
        self.life.wake();
        self.parts.own.bells.ring_all();
        self.waiters.wake_all();
    }

    /// Renews the release flag, so that it is not mistaken for that of a call 2^32 calls later.
    #[inline]
    pub(crate) fn refresh_flag(&self, ticket: Ticket) {
        if ticket.generation << 1 == 0 {
            let (outbox, geometry) = (&self.parts.outbox, self.parts.geometry);
            flags::release(
                outbox,
                geometry,
                ticket.slot,
                ticket.generation.wrapping_sub(1),
            );
        }
    }

    /// Why the link has ended; `None` while it lasts.
    pub(crate) fn reason(&self) -> Option<&Error> {
        self.reason.get()
    }

    /// Claims the cache line of the next entry for a call that is about to be published. Not while other calls are
    /// under way: another thread may be writing that entry already, and would be slowed.
    #[inline(always)]
    pub(crate) fn prepare(&self) {
        if self.pending.is_idle() {
            self.ring.prepare(&self.parts.outbox);
        }
    }

    /// The ring of this side's calls.
    pub(crate) fn ring(&self) -> &RingWriter {
        &self.ring
    }

    /// The peer's activity, read after a call was published for it.
    #[inline(always)]
    pub(crate) fn look_after_publishing(&self) -> Activity {
        pages::look_after_publishing(&self.parts.peer_status)
    }

    /// Rings the peer, which was found parked after a call was published for it, unless this process has done so in
    /// the same park.
    #[cold]
    pub(crate) fn ring_parked(&self) {
        let status = &self.parts.peer_status;
        self.rung
            .once_a_park(status, || self.parts.peer_bell.ring());
    }

    /// Has the next call ring the peer again if it is still parked. Called when a call was not answered in time: the
    /// ring may have been lost to another peer that writes the bell as it should not.
    pub(crate) fn ring_again(&self) {
        self.rung.forget();
    }

    /// Whether a call is answered.
    #[inline]
    pub(crate) fn is_answered(&self, ticket: Ticket) -> bool {
        slot::state(&self.parts.inbox, self.parts.geometry, ticket.slot) == ticket.generation
    }

    /// Frees a slot and the memory of its request, after the reply was copied.
    #[inline(always)]
    pub(crate) fn finish(&self, ticket: Ticket, held: Option<Held>) {
        if let Some(held) = held {
            self.free(held);
        }
        self.pending.free(ticket);
        self.freed();
    }

    /// Frees the slot of a call that was not published.
    pub(crate) fn cancel(&self, ticket: Ticket) {
        self.pending.cancel(ticket);
        self.freed();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Link { parts, .. } = self;
        f.debug_struct("Link")
            .field("end", &parts.end)
            .field("peer", &parts.peer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
