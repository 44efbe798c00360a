//! How a plugin loses a broker, and goes on with the next one.

use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::control::{BrokerFacts, SessionToBroker};

use super::PluginState;
use crate::base::error::{Error, Result};
use crate::session::membership::{Membership, MembershipParts};
use crate::session::notices::BrokerEvent;

/// Whether a broker that ends or refuses a session with this code wants the plugin to stay away.
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
    /// Handles the end of a membership's connection; its links go on. If it is the current membership, the plugin
    /// looks for another broker, unless this one has said that there is none for it.
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
        // Set first, so that a thread whose request fails with the connection finds that there is no broker.
        let is_current = || self.membership().id == membership.id;
        let mut is_news = self.presence.lost(reason, is_current);
        membership.disconnected(reason);
        // Tried again, because the plugin may have been about to come back on this connection and did not see its
        // end.
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

    /// Ends the plugin's session: there will be no broker any more.
    pub(crate) fn over(&self, reason: &Error) {
        // The first reason is kept.
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
        // Done before it is told, so that a thread which learns of it finds the gates in their final state; and
        // again after it, for gates that were opened meanwhile.
        end_all();
        self.presence.end(reason);
        end_all();
        self.shares.follows.changed();
        self.sent.look_again();
        if is_news {
            self.notices.tell(BrokerEvent::Ended(reason.clone()));
        }
    }

    /// Makes a membership of a new broker the current one, and tells the broker everything. `heard` is called
    /// before that, and has the control thread read the broker's records.
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
        // Waits that are reported from here on are reported to this broker.
        self.waits.forget();
        self.tell_all(&membership)?;
        // The notice is queued before the plugin counts as back, so that it comes before that of the next loss.
        let BrokerFacts { pid, generation } = broker;
        // Logged at the same level as the loss: whoever reads of the loss in a log should also read that it is
        // over.
        tracing::warn!(pid, generation, "the broker is back");
        self.notices.tell(BrokerEvent::Back { pid, generation });
        self.presence.back();
        self.sent.look_again();
        self.shares.follows.changed();
        if let Err(ended) = membership.connection.check_alive() {
            // The connection had ended before the plugin counted as back, so nobody was told.
            self.disconnected(&membership, &ended);
            return Err(ended);
        }
        Ok(())
    }

    /// Makes no more calls over the links of an older membership; those that are under way go on.
    pub(crate) fn part(&self, membership: &Membership) {
        for (_, gate) in self.gates.all() {
            gate.left(membership.id);
        }
        self.subscriptions.cut(membership.id);
    }

    /// Declares those providers and writers gone that have not come back in time.
    pub(crate) fn settle(&self) {
        let by = self.membership().id;
        for (_, gate) in self.gates.all() {
            gate.settle(by);
        }
        for cell in self.cells.all() {
            cell.settle(by);
        }
    }

    /// Tells a new broker about links that stand, and about everything that is provided and open.
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

    /// Drops a membership whose links are not used any more.
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
