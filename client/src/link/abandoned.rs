//! Calls that their callers have given up: their slots become free when the late answers come.

use callgate_layout::closing::Fate;
use callgate_layout::flags::Waiter;
use callgate_layout::late::Abandoning;
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;
use callgate_layout::{flags, slot};

use super::{Held, Link};

impl Link {
    /// Abandons a call that its caller gives up. Its slot becomes free when the answer comes, or when it is known
    /// that there will be none.
    pub(crate) fn abandon(&self, ticket: Ticket, held: Option<Held>) {
        *self.requests[usize::from(ticket.slot)].lock() = held;
        let wants_release = {
            let late_bell = self.late_bell.lock();
            // A thread that waits for room is woken by a late answer.
            let abandoning = self.abandoning(*late_bell);
            abandoning.abandon(ticket, &self.parts.peer_status)
        };
        if wants_release {
            self.parts.peer_bell.ring();
        }
        self.freed();
    }

    /// How the provider tells this side of a late answer.
    fn abandoning(&self, late_bell: u8) -> Abandoning<'_> {
        Abandoning {
            outbox: &self.parts.outbox,
            geometry: self.parts.geometry,
            pending: &self.pending,
            waiter: match late_bell {
                0 => Waiter::Reply,
                bell => Waiter::Bell(bell),
            },
        }
    }

    /// From now on late answers ring this bell, for the thread that sleeps on it and for other threads that wait
    /// for a slot here. The caller then looks at the answers that have come already.
    pub(crate) fn set_late_bell(&self, bell: u8) {
        // Locked, so that no call is abandoned meanwhile whose answer neither this function nor its caller would
        // notice.
        let mut late_bell = self.late_bell.lock();
        if std::mem::replace(&mut *late_bell, bell) == bell {
            return;
        }
        // Locked, so that no slot becomes free meanwhile and gets another caller's flags.
        let _alone = self.sweeper.lock();
        self.abandoning(bell).rename();
        // A thread that already waits for the slots' own words has to wait for the bell from now on.
        if self.waiters.are_any() {
            self.waiters.wake_all();
        }
    }

    /// The bell for late answers, if there is one, as a word with its present value, to sleep on.
    pub(super) fn late_bell_word(&self) -> Option<futex::Awaited<'_>> {
        match *self.late_bell.lock() {
            0 => None,
            bell => Some(self.parts.own.bells.word(bell)),
        }
    }

    /// The reply slots of abandoned calls, as words with their present values, to sleep on.
    pub(super) fn abandoned_words(&self) -> Vec<futex::Awaited<'_>> {
        let (inbox, geometry) = (&self.parts.inbox, self.parts.geometry);
        let slots = self.pending.abandoned();
        slots
            .map(|slot| slot::word(inbox, geometry, slot, slot::state(inbox, geometry, slot)))
            .collect()
    }

    /// Whether an abandoned call has ended: it was answered, or the peer has closed without taking it.
    fn is_over(&self, ticket: Ticket) -> bool {
        self.is_answered(ticket) || !self.is_open() && self.fate(ticket) == Fate::Untaken
    }

    /// Frees the slots and requests of abandoned calls whose late answers have come, and the replies of this side
    /// that the peer has released.
    pub(crate) fn sweep(&self) {
        self.reclaim_replies();
        self.look_at_closing();
        let (outbox, geometry) = (&self.parts.outbox, self.parts.geometry);
        let mut is_less = false;
        {
            let _alone = self.sweeper.lock();
            self.pending.sweep(
                |ticket| self.is_over(ticket),
                |slot| {
                    flags::set_waiter(outbox, geometry, slot, Waiter::Nobody);
                    self.free_request(slot);
                    is_less = true;
                },
            );
        }
        // The provider may have found the waiter flag cleared, and so have woken nobody.
        if is_less {
            self.freed();
        }
    }
}
