//! Subscribing: at the current broker, and again at each later one.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::FeedToBroker;

use super::PluginState;
use crate::base::deadline::answer_due;
use crate::base::error::{Error, Result};
use crate::events::feed::Feed;
use crate::session::connection::REQUEST_TIMEOUT;
use crate::session::events::feeds::Subscribed;
use crate::session::membership::Membership;

impl PluginState {
    /// Subscribes at the current broker, and at each later one. Returns when every present source has noted the
    /// listener: from then on no event is missed.
    pub(crate) fn subscribe(&self, subscribed: &Arc<Subscribed>) -> Result<()> {
        let until = answer_due(REQUEST_TIMEOUT);
        if self.membership().connection.is_control_thread() {
            let text = "what is dropped together with a link cannot wait for the broker";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        self.tell_subscription(subscribed, until)?;
        let heard = subscribed.await_heard(until);
        heard.unwrap_or_else(|| Err(self.not_subscribed(subscribed)))
    }

    fn tell_subscription(&self, subscribed: &Arc<Subscribed>, until: Instant) -> Result<()> {
        loop {
            let membership = self.await_membership(until)?;
            let said = self.subscribe_on(&membership, subscribed);
            if !self.has_ended(&membership, said.as_ref().err(), until) {
                return said;
            }
        }
    }

    /// The error for a subscription that was not heard in time.
    #[cold]
    fn not_subscribed(&self, subscribed: &Subscribed) -> Error {
        if let Err(away) = self.presence.check() {
            return away;
        }
        let text = format!(
            "not every plugin that sends on `{}` has taken note of this one within 5 s",
            subscribed.hearing.name
        );
        Error::new(Code::Timeout, text)
    }

    /// Tells a membership's broker of a subscription, unless it was told already.
    pub(super) fn subscribe_on(
        &self,
        membership: &Membership,
        subscribed: &Arc<Subscribed>,
    ) -> Result<()> {
        self.say(membership, || {
            if !subscribed.is_to_say(membership.id) {
                return Ok(true);
            }
            let request = membership.connection.next_number();
            membership.followed.asking(request, subscribed);
            let sent = membership.send_if_room(&subscribed.record(request).into());
            match sent {
                Ok(true) => subscribed.said(membership.id),
                _ => drop(membership.followed.answered(request)),
            }
            sent
        })
    }

    /// Ends a subscription that was removed from the plugin's list. Returns its feeds, on which handlers may still
    /// be running.
    pub(crate) fn unsubscribe(&self, subscribed: &Arc<Subscribed>) -> Vec<Arc<Feed>> {
        let said = {
            // Under this lock a plugin that comes back has either told the next broker already, or finds the
            // subscription ended.
            let _alone = self.saying.lock();
            subscribed.end()
        };
        let feeds = subscribed.hearing.close();
        let membership = self.membership();
        for older in self.older_memberships() {
            drop(older.followed.forget(subscribed));
        }
        drop(membership.followed.forget(subscribed));
        if said == membership.id && membership.connection.check_alive().is_ok() {
            // A broker that has ended has forgotten it anyway; senders see in the cursors that this listener has
            // left.
            let subscription = subscribed.number();
            let _ = membership.send(&FeedToBroker::Unsubscribe { subscription }.into());
        }
        feeds
    }
}
