//! Who waits for room on a link, and who tells them that there is some.

use callgate_layout::envelope::{Place, Reply};
use callgate_layout::flags::Waiter;
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;
use callgate_layout::{flags, pages};

use super::Link;

impl Link {
    /// Counts one more who waits for room here: a caller, or a dispatcher with late answers.
    pub(crate) fn begin_waiting(&self) {
        self.waiters.enter();
        self.parts.own.status.starve();
    }

    /// Counts one less.
    pub(crate) fn end_waiting(&self) {
        self.waiters.leave();
        // A forked child has no status page.
        if self.is_here() {
            self.parts.own.status.sated();
        }
    }

    /// Tells who waits for room that there may be some.
    #[inline]
    pub(crate) fn freed(&self) {
        if self.waiters.is_waited_for() {
            self.wake_waiting();
        }
    }

    /// Wakes callers that wait for room, and the dispatcher.
    #[cold]
    pub(crate) fn wake_waiting(&self) {
        if !self.is_here() {
            // In a forked child nobody waits, and there is no doorbell to ring.
            return;
        }
        self.waiters.wake_all();
        self.parts.own.bell.ring();
    }

    /// Waits for room until `attempt` gives something or the deadline passes; looks again also when
    /// the word changes that `other` names.
    pub(crate) fn wait_for_space<'a, T>(
        &'a self,
        deadline: u64,
        other: impl Fn() -> Option<futex::Awaited<'a>>,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        // The bell is rung by peers that release something.
        let words = || {
            let words = std::iter::once(self.parts.own.bell.word()).chain(other());
            let words = words.chain(self.late_bell_word());
            words.chain(self.abandoned_words()).collect()
        };
        let attempt = || {
            self.sweep();
            attempt()
        };
        self.begin_waiting();
        let found = self.waiters.wait_for(deadline, attempt, words);
        self.end_waiting();
        found
    }

    /// Has a bell rung when a call is answered that is about to be published.
    pub(crate) fn ring_when_answered(&self, ticket: Ticket, bell: u8) {
        let (outbox, geometry) = (&self.parts.outbox, self.parts.geometry);
        flags::set_waiter(outbox, geometry, ticket.slot, Waiter::Bell(bell));
    }

    /// Takes that back, before the slot is freed.
    pub(crate) fn ring_nobody(&self, ticket: Ticket) {
        let (outbox, geometry) = (&self.parts.outbox, self.parts.geometry);
        flags::set_waiter(outbox, geometry, ticket.slot, Waiter::Nobody);
    }

    /// Gives the payload of a reply back to the provider, which may wait for the room.
    pub(crate) fn release_reply(&self, ticket: Ticket, reply: &Reply) {
        if reply.place != Place::Inline {
            let (outbox, geometry) = (&self.parts.outbox, self.parts.geometry);
            flags::release(outbox, geometry, ticket.slot, ticket.generation);
            self.wake_peer();
        }
    }

    /// Wakes the peer if it waits for what was just released.
    pub(super) fn wake_peer(&self) {
        pages::publish_fence();
        if pages::wants_release(&self.parts.peer_status) {
            self.parts.peer_bell.ring();
        }
    }
}
