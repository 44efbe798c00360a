//! Offering topics: at the current broker, and again at each later one.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::SourceToBroker;

use super::PluginState;
use crate::base::deadline::answer_due;
use crate::base::error::{Error, Result};
use crate::session::connection::{Answer, REQUEST_TIMEOUT, Returned};
use crate::session::events::sources::{Offered, Standing};
use crate::session::membership::Membership;

impl PluginState {
    /// Leaves it to the broker to tell listeners why the topics of this plugin end. The plugin is about to close.
    pub(crate) fn leave_the_end_to_the_broker(&self) {
        for offered in self.offers.all() {
            offered.source.leave_the_end_to_the_broker();
        }
    }

    /// Offers a topic at the current broker, and at each later one. Returns when the plugins that have subscribed
    /// to it already are set up.
    pub(crate) fn offer_topic(&self, offered: &Arc<Offered>) -> Result<()> {
        // Twice the usual time, because the broker itself waits for listeners that do not answer.
        let until = answer_due(REQUEST_TIMEOUT * 2);
        loop {
            let membership = self.await_membership(until)?;
            let Err(error) = self.request_to_offer(&membership, offered, until) else {
                if !self.topic_offered(offered, &membership) {
                    continue;
                }
                let kept = offered.await_history(until);
                return kept.inspect_err(|_| self.close_topic(offered, until));
            };
            membership.sources.remove(offered);
            offered.source.leave(membership.id.number());
            if error.code() == Code::Timeout {
                // The broker may register the topic later, and would keep it for a plugin that does not know of it.
                let request = membership.connection.next_number();
                let topic = offered.source.name().to_string();
                let _ = membership.send(&SourceToBroker::Close { request, topic }.into());
            }
            if !self.has_ended(&membership, Some(&error), until) {
                return Err(error);
            }
        }
    }

    fn request_to_offer(
        &self,
        membership: &Membership,
        offered: &Arc<Offered>,
        until: Instant,
    ) -> Answer {
        let ready = self.ready_schema(membership, &offered.types.schema, until)?;
        let word = offered.place((membership.id, &membership.memory))?;
        let offer = |request| {
            // The broker may ask for rings before it answers, so the source has to be known.
            membership.sources.offering(request, offered);
            let record = offered.record((request, word), (ready.source.clone(), false));
            record.into()
        };
        membership.connection.request_until(until, offer)
    }

    /// Notes that a broker has registered the topic. Returns `false` if the plugin has another broker now, which
    /// must be asked too.
    fn topic_offered(&self, offered: &Arc<Offered>, by: &Membership) -> bool {
        let _alone = self.saying.lock();
        let is_current = self.membership().id == by.id;
        if is_current {
            self.offers.add(offered);
            offered.stands(Standing::Offered);
        }
        is_current
    }

    /// Offers a topic again to a new broker, if the plugin still sends on it. The control thread handles the
    /// answer.
    pub(super) fn offer_again(
        &self,
        membership: &Membership,
        offered: &Arc<Offered>,
    ) -> Result<()> {
        if !self.offers.has(offered) {
            return Ok(());
        }
        offered.asked_again();
        let schema = &offered.types.schema;
        let ready = self.ready_schema(membership, schema, answer_due(REQUEST_TIMEOUT))?;
        let word = match offered.place((membership.id, &membership.memory)) {
            Ok(word) => word,
            Err(error) => {
                // Only this topic ends; everything else goes on.
                self.topic_ended(membership, offered, &error);
                return Ok(());
            }
        };
        self.say(membership, || match self.offers.has(offered) {
            true => membership.offer_again((offered, word), ready.source.clone()),
            false => Ok(true),
        })
    }

    /// Ends a source because the broker does not let the plugin send on the topic any more.
    pub(crate) fn topic_ended(
        &self,
        membership: &Membership,
        offered: &Arc<Offered>,
        reason: &Error,
    ) {
        offered.end(&reason.clone().at_gate(offered.source.name().clone()));
        self.offers.remove(offered);
        membership.sources.remove(offered);
    }

    /// Ends a source because the program has dropped the topic, and tells the broker, waiting until `until` at
    /// most.
    pub(crate) fn close_topic(&self, offered: &Arc<Offered>, until: Instant) {
        let reason = Error::new(Code::Closed, "this plugin sends on the topic no more");
        offered.end(&reason.at_gate(offered.source.name().clone()));
        let was_offered = {
            // Under this lock a plugin that comes back has either offered the topic already, or finds it gone.
            let _alone = self.saying.lock();
            self.offers.remove(offered)
        };
        let membership = self.membership();
        membership.sources.remove(offered);
        if !was_offered || membership.connection.check_alive().is_err() {
            return;
        }
        let is_it = |other: &Arc<Offered>| Arc::ptr_eq(other, offered);
        let connection = &membership.connection;
        connection
            .forget_returns(|returned| matches!(returned, Returned::Topic(other) if is_it(other)));
        connection.tell(until, |request| {
            let topic = offered.source.name().to_string();
            SourceToBroker::Close { request, topic }.into()
        });
    }
}
