//! A peer that takes no more calls from this link: which calls it has taken, and which threads have to look.

use callgate_layout::Code;
use callgate_layout::closing::{self, Fate};
use callgate_layout::life::Ended;
use callgate_layout::pending::Ticket;

use super::{Held, Link, LinkParts};
use crate::base::error::Error;

impl Link {
    /// Whether calls can be published: the link has not ended, and the peer takes calls, as far as this side has
    /// noticed.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.life.is_open()
    }

    /// Notes that the peer takes no more calls from this link. Wakes all threads that wait on the link: the peer
    /// does not tell the callers of calls that it has not taken.
    #[cold]
    pub(crate) fn close(&self) {
        if self.life.close() {
            self.wake_callers();
        }
    }

    /// Whether the peer has said that it takes no more calls, and which it has taken. If it has also answered all
    /// of those, ends the link.
    pub(crate) fn look_at_closing(&self) -> bool {
        let (inbox, geometry) = (&self.parts.inbox, self.parts.geometry);
        match closing::look(inbox, geometry) {
            None => return false,
            _ if self.is_gone() => {}
            Some(true) => {
                let text = format!("plugin `{}` has closed", self.peer().name());
                self.end_with(Error::new(Code::ProviderGone, text));
            }
            Some(false) => self.close(),
        }
        true
    }

    /// The error of a call that the peer has not taken before it closed.
    #[cold]
    pub(crate) fn closed(&self) -> Error {
        let name = self.peer().name();
        let text = format!("plugin `{name}` has closed; the call was not run");
        Error::new(Code::ProviderGone, text)
    }

    /// Whether and how the link has ended the wait for the answer to a call.
    pub(crate) fn ended(&self, ticket: Ticket) -> Option<Ended> {
        let is_answered = || self.is_answered(ticket);
        self.life.ended(is_answered, || self.fate(ticket))
    }

    /// Whether the peer has taken a call that was published.
    #[cold]
    pub(super) fn fate(&self, ticket: Ticket) -> Fate {
        let LinkParts {
            inbox,
            outbox,
            geometry,
            ..
        } = &self.parts;
        let number = || self.ring.number_of(outbox, ticket.slot);
        closing::fate(inbox, *geometry, number)
    }

    /// Frees the slot of a published call if the peer certainly has not taken it. Returns whether it did. The
    /// caller then frees the request.
    #[cold]
    pub(crate) fn take_back(&self, ticket: Ticket) -> bool {
        let is_untaken = self.fate(ticket) == Fate::Untaken;
        if is_untaken {
            self.cancel(ticket);
        }
        is_untaken
    }

    /// Gives a call up. Returns whether it may have run. If not, its slot and its request are free; otherwise they
    /// become free when the answer comes.
    #[cold]
    pub(crate) fn give_up(&self, ticket: Ticket, held: Option<Held>) -> bool {
        if self.take_back(ticket) {
            if let Some(held) = held {
                self.free_unsent(held);
            }
            return false;
        }
        self.abandon(ticket, held);
        true
    }
}
