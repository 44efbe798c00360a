//! The peer takes no more calls from this link: which of this side's it has taken, and who has to look.

use callgate_layout::Code;
use callgate_layout::closing::{self, Fate};
use callgate_layout::life::Ended;
use callgate_layout::pending::Ticket;

use super::{Held, Link, LinkParts};
use crate::base::error::Error;

impl Link {
    /// Whether calls can be published: the link has not ended, and its peer takes calls, as far as this
    /// side has noticed.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.life.is_open()
    }

    /// The peer takes no more calls from this link. Wakes everybody who waits on it: some may have been told
    /// nothing although their calls are not taken.
    #[cold]
    pub(crate) fn close(&self) {
        if self.life.close() {
            self.wake_callers();
        }
    }

    /// Whether the peer has said which calls it has taken, and takes no more. Where it has answered all of them and
    /// has no more to do with the link, that ends.
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

    /// The error of a call that the peer has not taken, because it takes no more.
    #[cold]
    pub(crate) fn closed(&self) -> Error {
        let name = self.peer().name();
        let text = format!("plugin `{name}` has closed; the call was not run");
        Error::new(Code::ProviderGone, text)
    }

    /// How the wait for the answer to a call has ended, if it has, as far as the link is concerned.
    pub(crate) fn ended(&self, ticket: Ticket) -> Option<Ended> {
        let is_answered = || self.is_answered(ticket);
        self.life.ended(is_answered, || self.fate(ticket))
    }

    /// What became of a call that was published.
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

    /// Frees the slot of a call that was published, where that certainly was not taken; says whether it was freed.
    /// Nobody but the caller has a use for its request then.
    #[cold]
    pub(crate) fn take_back(&self, ticket: Ticket) -> bool {
        let is_untaken = self.fate(ticket) == Fate::Untaken;
        if is_untaken {
            self.cancel(ticket);
        }
        is_untaken
    }

    /// The caller of a call waits for it no more. Whether it may have run: if not, its slot is free, and so is
    /// what its request took; else these come back when the answer does.
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
