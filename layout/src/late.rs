//! Calls whose callers have given up, and how their late answers are told of.
//!
//! The slot of such a call comes back when its answer is published ([`Pending::sweep`]). Whoever waits for
//! a slot is woken by the answer: by the reply slot's state, or by a bell.
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
    /// What it and the peer's outbox look like.
    pub geometry: Geometry,
    /// The caller's calls in flight.
    pub pending: &'a Pending,
    /// How late answers are told of.
    pub waiter: Waiter,
}

impl Abandoning<'_> {
    /// Leaves a call whose caller gives up: nobody reads its answer, and its slot is swept. `true` where
    /// the peer, whose status page this is, wants its bell rung. Besides that, the caller tells who waits
    /// for slots.
    #[must_use]
    pub fn abandon(&self, ticket: Ticket, peer_status: &ReadView) -> bool {
        flags::release(self.outbox, self.geometry, ticket.slot, ticket.generation);
        flags::set_waiter(self.outbox, self.geometry, ticket.slot, self.waiter);
        // REPLY-OR-WAITER, the caller's side; RELEASED-OR-STARVING, the peer's.
        fence(Ordering::SeqCst);
        self.pending.abandon(ticket);
        pages::is_waiting(peer_status)
    }

    /// From now on late answers are told of in this way. Nobody abandons or sweeps meanwhile.
    /// Afterwards the caller looks at the answers that are there already.
    pub fn rename(&self) {
        for slot in self.pending.abandoned() {
            flags::set_waiter(self.outbox, self.geometry, slot, self.waiter);
        }
        // REPLY-OR-WAITER, the caller's side.
        fence(Ordering::SeqCst);
    }
}
