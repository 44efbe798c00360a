//! Losing a broker, and going on with the next one.

use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::control::{BrokerFacts, SessionToBroker};

use super::PluginState;
use crate::base::error::{Error, Result};
use crate::session::membership::{Membership, MembershipParts};
use crate::session::notices::BrokerEvent;

/// Whether a broker that ends a session with this, or refuses one, wants the plugin to stay away.
pub(crate) fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::PermissionDenied
            | Code::Protocol
            | Code::Overloaded
            | Code::VersionMismatch
            | Code::InvalidArgument
            | Code::Closed
    )
}

impl PluginState {
    /// The connection of a membership is over; its links go on. Where it is the current one, another broker is
    /// looked for, unless this one has said that there is none for this plugin.
    pub(crate) fn disconnected(&self, membership: &Membership, reason: &Error) {
        if self.membership().id != membership.id {
            membership.disconnected(reason);
            return;
        }
        let comes_back = self.comes_back.get().filter(|_| !is_final(reason.code()));
        let Some(comes_back) = comes_back else {
            self.over(reason);
            membership.disconnected(reason);
            return;
        };
        // First, so that whoever fails with the connection finds that there is none.
        let is_current = || self.membership().id == membership.id;
        let mut is_news = self.presence.lost(reason, is_current);
        membership.disconnected(reason);
        // Where the plugin was about to be back on it, and has not seen yet that it is over.
        is_news |= self.presence.lost(reason, is_current);
        for (_, gate) in self.gates.all() {
            gate.lost();
        }
        self.sent.look_again();
        if is_news {
            tracing::warn!(%reason, "the broker is gone");
            self.notices.tell(BrokerEvent::Lost(reason.clone()));
            comes_back();
        }
    }

    /// There will be no broker any more.
    pub(crate) fn over(&self, reason: &Error) {
        // The first reason stands.
        let before = self.presence.over();
        let is_news = before.is_none() && reason.code() != Code::Closed;
        let reason = &before.unwrap_or_else(|| reason.clone());
        let end_all = || {
            for (_, gate) in self.gates.all() {
                gate.session_ended(reason);
            }
            for subscribed in self.subscriptions.all() {
                subscribed.fail_if_asked(reason);
            }
            for cell in self.cells.all() {
                cell.fail_if_asked(reason);
            }
        };
        // Before that is told, so that who hears of it finds the gates so; and then those that were opened meanwhile.
        end_all();
        self.presence.end(reason);
        end_all();
        self.shares.follows.changed();
        self.sent.look_again();
        if is_news {
            self.notices.tell(BrokerEvent::Ended(reason.clone()));
        }
    }

    /// A new broker has taken the plugin in: this membership is the current one from here on. Tells the broker
    /// everything that is to be told; `heard` is called before, and has it heard.
    pub(crate) fn come_back(
        &self,
        (parts, broker): (MembershipParts, BrokerFacts),
        heard: impl FnOnce(&Arc<Membership>) -> Result<()>,
    ) -> Result<()> {
        let membership = Membership::new(parts, (&self.provided, &self.gates));
        let membership = Arc::new(membership);
        heard(&membership)?;
        {
            let _alone = self.saying.lock();
            self.subscriptions
                .feeds
                .set_tell(membership.tell_of_feeds());
            let before = self.current.swap(membership.clone());
            self.older.lock().push(before);
        }
        // What is told from here on, this broker is told.
        self.waits.forget();
        self.tell_all(&membership)?;
        // Before it is, so that it is told before the next loss.
        let BrokerFacts { pid, generation } = broker;
        // As loud as its loss: who has read of that in a log is to read that it is over.
        tracing::warn!(pid, generation, "the broker is back");
        self.notices.tell(BrokerEvent::Back { pid, generation });
        self.presence.back();
        self.sent.look_again();
        self.shares.follows.changed();
        if let Err(ended) = membership.connection.check_alive() {
            // It was over before, of which nobody was told.
            self.disconnected(&membership, &ended);
            return Err(ended);
        }
        Ok(())
    }

    /// No calls are made any more over the links of an older membership; those that are under way go on.
    pub(crate) fn part(&self, membership: &Membership) {
        for (_, gate) in self.gates.all() {
            gate.left(membership.id);
        }
        self.subscriptions.cut(membership.id);
    }

    /// Providers have had time to come back: those that have not are gone.
    pub(crate) fn settle(&self) {
        let by = self.membership().id;
        for (_, gate) in self.gates.all() {
            gate.settle(by);
        }
        for cell in self.cells.all() {
            cell.settle(by);
        }
    }

    /// Tells a new broker what stands, what is provided and what is open.
    fn tell_all(&self, membership: &Arc<Membership>) -> Result<()> {
        for older in self.older.lock().clone() {
            membership.tell_standing(&older)?;
        }
        for (offer, life) in self.provided.offered_before() {
            self.provide_again(membership, (&offer, life))?;
        }
        for offered in self.offers.all() {
            self.offer_again(membership, &offered)?;
        }
        for (number, _) in self.gates.all() {
            self.open_on(membership, number)?;
        }
        for subscribed in self.subscriptions.all() {
            self.subscribe_on(membership, &subscribed)?;
        }
        for cell in self.cells.all() {
            self.open_cell_on(membership, &cell)?;
        }
        self.use_shares_again(membership)
    }

    /// Lets a membership go whose links are not used any more.
    pub(crate) fn leave(&self, membership: &Arc<Membership>) {
        let mut older = self.older.lock();
        older.retain(|other| !Arc::ptr_eq(other, membership));
        let is_last = older.is_empty();
        drop(older);
        for (_, gate) in self.gates.all() {
            gate.left(membership.id);
        }
        let text = "the broker of this link has ended, and there is a new one";
        membership.end_links(&Error::new(Code::ProviderGone, text));
        for offered in membership.sources.all() {
            offered.source.leave(membership.id.number());
        }
        for cell in self.cells.all() {
            cell.leave(membership.id);
        }
        membership.connection.shut_down();
        if is_last {
            let _ = self.membership().send(&SessionToBroker::Drained.into());
        }
    }
}
