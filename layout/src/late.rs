//! Calls whose callers have given up, and how threads of the caller are woken by the late answers.
//!
//! The slot of such a call is free again when its answer is published ([`Pending::sweep`]). The answer wakes a
//! thread that waits for a slot: by the reply slot's state, or by a bell.
//!
//! **Sync point** REPLY-OR-WAITER, for calls that nobody waits for one by one: who gives a call up names
//! how its answer is told of, fences, and only then shows the slot among the abandoned ones. The
//! provider publishes, fences, and looks how to tell. So whoever finds the slot there finds the answer,
//! or will be woken by it.
//!
//! The same fence stands between the release of the reply's payload and the look whether the peer waits
//! for it: RELEASED-OR-STARVING.

use crate::atomic::{Ordering, fence};
use crate::flags::{self, Waiter};
use crate::geometry::Geometry;
use crate::pages;
use crate::pending::{Pending, Ticket};
use crate::view::{ReadView, WriteView};

/// The caller's side of a link, as far as calls that were given up need it.
#[derive(Clone, Copy, Debug)]
pub struct Abandoning<'a> {
    /// The caller's own outbox.
    pub outbox: &'a WriteView,
    /// The layout of this outbox and the peer's.
    pub geometry: Geometry,
    /// The caller's calls in flight.
    pub pending: &'a Pending,
    /// How the peer must wake this side when it publishes a late answer.
    pub waiter: Waiter,
}

impl Abandoning<'_> {
    /// Abandons a call whose caller gives up: nobody reads its answer, and a later sweep frees its slot. Returns
    /// `true` if the caller must ring the bell of the peer, whose status page this is. In any case the caller also
    /// tells the threads that wait for slots.
    #[must_use]
    pub fn abandon(&self, ticket: Ticket, peer_status: &ReadView) -> bool {
        flags::release(self.outbox, self.geometry, ticket.slot, ticket.generation);
        flags::set_waiter(self.outbox, self.geometry, ticket.slot, self.waiter);
        // REPLY-OR-WAITER, the caller's side; RELEASED-OR-STARVING, the peer's.
        fence(Ordering::SeqCst);
        self.pending.abandon(ticket);
        pages::is_waiting(peer_status)
    }

    /// Sets this waiter for all abandoned calls. No other thread abandons or sweeps meanwhile.
    /// Afterwards the caller looks for answers that are already there.
    pub fn rename(&self) {
        for slot in self.pending.abandoned() {
            flags::set_waiter(self.outbox, self.geometry, slot, self.waiter);
        }
        // REPLY-OR-WAITER, the caller's side.
        fence(Ordering::SeqCst);
    }
}
