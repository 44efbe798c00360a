//! Calls whose callers have given up: their slots come back when the late answers do.

use callgate_layout::closing::Fate;
use callgate_layout::flags::Waiter;
use callgate_layout::late::Abandoning;
use callgate_layout::pending::Ticket;
use callgate_layout::sys::futex;
use callgate_layout::{flags, slot};

use super::{Held, Link};

impl Link {
    /// Leaves a call whose caller gives up: the slot comes back when the answer does, or when it is known that
    /// there will be none.
    pub(crate) fn abandon(&self, ticket: Ticket, held: Option<Held>) {
        *self.requests[usize::from(ticket.slot)].lock() = held;
        let wants_release = {
            let late_bell = self.late_bell.lock();
            // Whoever waits for room wants to be woken by a late answer.
            let abandoning = self.abandoning(*late_bell);
            abandoning.abandon(ticket, &self.parts.peer_status)
        };
        if wants_release {
            self.parts.peer_bell.ring();
        }
        self.freed();
    }

    /// Says how a late answer is to be told of.
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

    /// From now on a bell is rung for late answers: for its thread, and for whoever else waits for a slot
    /// here. To be followed by a look at the answers that are there already.
    pub(crate) fn set_late_bell(&self, bell: u8) {
        // Held, so that no call is given up meanwhile that neither this nor its caller tells of it.
        let mut late_bell = self.late_bell.lock();
        if std::mem::replace(&mut *late_bell, bell) == bell {
            return;
        }
        // Held, so that no slot comes free meanwhile and has another caller's flags.
        let _alone = self.sweeper.lock();
        self.abandoning(bell).rename();
        // Who waits for the slots' own words already has to wait for the bell from now on.
        if self.waiters.are_any() {
            self.waiters.wake_all();
        }
    }

    /// The bell that is rung for late answers, if there is one, as a word to wait for: while it is as it is.
    pub(super) fn late_bell_word(&self) -> Option<futex::Awaited<'_>> {
        match *self.late_bell.lock() {
            0 => None,
            bell => Some(self.parts.own.bells.word(bell)),
        }
    }

    /// The reply slots of abandoned calls as words to wait for: while they are as they are.
    pub(super) fn abandoned_words(&self) -> Vec<futex::Awaited<'_>> {
        let (inbox, geometry) = (&self.parts.inbox, self.parts.geometry);
        let slots = self.pending.abandoned();
        slots
            .map(|slot| slot::word(inbox, geometry, slot, slot::state(inbox, geometry, slot)))
            .collect()
    }

    /// Whether a call that was given up is over.
    fn is_over(&self, ticket: Ticket) -> bool {
        self.is_answered(ticket) || !self.is_open() && self.fate(ticket) == Fate::Untaken
    }

    /// Frees what abandoned calls held whose late answers have come, and what the peer has
    /// released of this side's own replies.
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
        // The provider may have found the waiter flag cleared already.
        if is_less {
            self.freed();
        }
    }
}
