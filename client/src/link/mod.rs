//! One end of a link: this plugin's outbox, the peer's outbox, and what this side knows of both.
//!
//! Memory stays mapped as long as somebody holds the [`Link`]; a link that is gone is let go by
//! the control thread, the dispatcher and the open gates, and unmapped when the last call on it
//! has returned.

mod abandoned;
mod archives;
mod closing;
pub(crate) mod cursor_lines;
pub(crate) mod extents;
pub(crate) mod own_memory;
mod payloads;
pub(crate) mod peer;
pub(crate) mod topic_words;
mod waiting;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};

use callgate_layout::bells::Sleeper;
use callgate_layout::blocks::{Blocks, Region};
use callgate_layout::control::LinkEnd;
use callgate_layout::envelope::ChainNames;
use callgate_layout::life::Life;
use callgate_layout::pages::{self, Activity, Doorbell};
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

/// The memory and the facts that make up one end of a link.
pub(crate) struct LinkParts {
    pub(crate) end: LinkEnd,
    pub(crate) geometry: Geometry,
    pub(crate) peer: Caller,
    /// The peer's process, for as long as the control thread watches it.
    pub(crate) process: Weak<OwnedFd>,
    pub(crate) outbox: WriteView,
    pub(crate) inbox: ReadView,
    pub(crate) peer_status: ReadView,
    pub(crate) peer_bell: Doorbell,
    pub(crate) own: Arc<OwnMemory>,
    /// How many MiB of extents the own side may have.
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
    /// What the request of each call takes that was given up, if it does not lie inline.
    requests: [Mutex<Option<Held>>; 64],
    /// Generation of each reply that does not lie inline, and what it takes.
    replies: Mutex<[Option<(u32, Held)>; 64]>,
    extents: Extents,
    waiters: Waiters,
    /// The bell that is rung for late answers to calls that were given up; 0 while their slots' own words
    /// are waited for.
    late_bell: Mutex<u8>,
    /// Held by who looks through abandoned calls.
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

    /// The number of the bus whose broker has made it.
    pub(crate) fn bus(&self) -> u64 {
        self.parts.bus
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.parts.geometry
    }

    /// The names of the chains that calls begin at one end of this link.
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

    /// The bell of this side's page for calls that no thread waits for.
    pub(crate) fn sent_bell(&self) -> &Arc<SentBell> {
        &self.parts.own.sent
    }

    pub(crate) fn extents(&self) -> &Extents {
        &self.extents
    }

    pub(crate) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Whether this is still the process that made the link.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.fork.is_here()
    }

    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.life.is_over()
    }

    /// Whether the peer's process has ended, known to the control thread or not yet: asks the
    /// kernel.
    pub(crate) fn has_peer_ended(&self) -> bool {
        let process = self.parts.process.upgrade();
        process.is_some_and(|process| process::has_ended(process.as_fd()))
    }

    /// A caller that is about to sleep until the answer to its call is there; `None` where too
    /// many sleep already.
    pub(crate) fn sleeper(&self, ticket: Ticket) -> Option<Sleeper<'_>> {
        let LinkParts {
            own,
            outbox,
            geometry,
            ..
        } = &self.parts;
        Sleeper::new(&own.bells, outbox, *geometry, ticket.slot)
    }

    /// The same on the reply slot's word, beside others.
    pub(crate) fn word_sleeper(&self, ticket: Ticket) -> WordSleeper<'_> {
        let (parts, slot) = (&self.parts, ticket.slot);
        WordSleeper::announce(&parts.outbox, &parts.inbox, parts.geometry, slot)
    }

    /// Whether the link has ended, as a word to wait for and in the order in which to look.
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    /// Ends the link: every call that waits on it, for a reply or for room, wakes up.
    pub(crate) fn end_with(&self, reason: Error) {
        // The first reason stands; it is set before anybody can see that the link is gone.
        let _ = self.reason.set(reason);
        self.life.end();
        self.wake_callers();
    }

    /// Wakes every call that waits on the link, after its life has changed.
    fn wake_callers(&self) {
        self.life.wake();
        self.parts.own.bells.ring_all();
        self.waiters.wake_all();
    }

    /// Keeps the release flag from being taken for the one of a call 2^32 calls later.
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

    /// Why the link is gone.
    pub(crate) fn reason(&self) -> Option<&Error> {
        self.reason.get()
    }

    /// Gets ready for a call that is about to be published. Where others are under way, somebody may
    /// be writing the next entry already, who is not to be disturbed.
    #[inline(always)]
    pub(crate) fn prepare(&self) {
        if self.pending.is_idle() {
            self.ring.prepare(&self.parts.outbox);
        }
    }

    /// The queue of this side's calls.
    pub(crate) fn ring(&self) -> &RingWriter {
        &self.ring
    }

    /// What the peer says that it is doing, after a call was published for it.
    #[inline(always)]
    pub(crate) fn look_after_publishing(&self) -> Activity {
        pages::look_after_publishing(&self.parts.peer_status)
    }

    /// Whether the answer to a call is there.
    #[inline]
    pub(crate) fn is_answered(&self, ticket: Ticket) -> bool {
        slot::state(&self.parts.inbox, self.parts.geometry, ticket.slot) == ticket.generation
    }

    /// Frees a slot after its reply was copied, and what the request took with it.
    #[inline(always)]
    pub(crate) fn finish(&self, ticket: Ticket, held: Option<Held>) {
        if let Some(held) = held {
            self.free(held);
        }
        self.pending.free(ticket);
        self.freed();
    }

    /// Frees a slot whose call was not published.
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
