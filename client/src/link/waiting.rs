//! Threads that wait for room on a link, and how they are woken.

use callgate_layout::envelope::{Place, Reply};
use callgate_layout::flags::Waiter;
use callgate_layout::pending::{SlotWait, Ticket};
use callgate_layout::sys::futex;
use callgate_layout::{clock, flags, pages};

use super::Link;

impl Link {
    /// Counts one more thread that waits for room here: a caller, or a dispatcher with late answers.
    pub(crate) fn begin_waiting(&self) {
        self.waiters.begin(&self.pending, &self.blocks);
        self.extents.order_with_frees();
        self.parts.own.status.starve();
    }

    /// Counts one waiting thread less.
    pub(crate) fn end_waiting(&self) {
        self.waiters.end();
        // A forked child has no status page.
        if self.is_here() {
            self.parts.own.status.sated();
        }
    }

    /// Wakes threads that wait for room, if there are any, because there may be some.
    #[inline]
    pub(crate) fn freed(&self) {
        if self.waiters.are_any() {
            self.wake_waiting();
        }
    }

    /// Wakes callers that wait for room, and the dispatcher.
    #[cold]
    pub(crate) fn wake_waiting(&self) {
        if !self.is_here() {
            // In a forked child nobody waits, and no doorbell is mapped.
            return;
        }
        self.waiters.wake_all();
        self.parts.own.bell.ring();
    }

    /// Waits for room until `attempt` returns something or the deadline passes. Also looks again when the word that
    /// `other` returns changes.
    pub(crate) fn wait_for_space<'a, T>(
        &'a self,
        deadline: u64,
        other: impl Fn() -> Option<futex::Awaited<'a>>,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        // Peers ring this bell when they release something.
        let words = || {
            let words = std::iter::once(self.parts.own.bell.word()).chain(other());
            let words = words.chain(self.late_bell_word());
            words.chain(self.abandoned_words())
        };
        let attempt = || {
            self.sweep();
            attempt()
        };
        let sleep = |seen, words| {
            if clock::now() >= deadline {
                return false;
            }
            let changes = std::iter::once(self.waiters.word(seen));
            let words: Vec<_> = changes.chain(words).collect();
            futex::wait_any_of(&words, deadline);
            true
        };
        self.begin_waiting();
        let found = self.waiters.wait_for(words, attempt, sleep);
        self.end_waiting();
        found
    }

    /// Ends a thread's wait for a slot, and wakes threads that had to wait behind it.
    pub(crate) fn end_slot_wait(&self, wait: SlotWait) {
        if wait.end(self.pending()) {
            self.wake_waiting();
        }
    }

    /// Has the provider ring a bell when it answers a call that is about to be published.
    pub(crate) fn ring_when_answered(&self, ticket: Ticket, bell: u8) {
        let (outbox, geometry) = (&self.parts.outbox, self.parts.geometry);
        flags::set_waiter(outbox, geometry, ticket.slot, Waiter::Bell(bell));
    }

    /// Takes that back, before the slot is freed.
    pub(crate) fn ring_nobody(&self, ticket: Ticket) {
        let (outbox, geometry) = (&self.parts.outbox, self.parts.geometry);
        flags::set_waiter(outbox, geometry, ticket.slot, Waiter::Nobody);
    }

    /// Releases the payload of a reply, and wakes the provider if it waits for room.
    pub(crate) fn release_reply(&self, ticket: Ticket, reply: &Reply) {
        if reply.place != Place::Inline {
            let (outbox, geometry) = (&self.parts.outbox, self.parts.geometry);
            flags::release(outbox, geometry, ticket.slot, ticket.generation);
            if pages::look_after_releasing(&self.parts.peer_status) {
                self.parts.peer_bell.ring();
            }
        }
    }
}
