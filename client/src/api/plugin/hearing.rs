//! Hearing events: the methods by which a plugin subscribes.

use std::sync::Arc;

use callgate_layout::Encodings;

use super::Plugin;
use crate::api::events::pull::Events;
use crate::api::events::subscription::{Subscription, SubscriptionBuilder};
use crate::base::error::Result;
use crate::base::types::{Arguments, action_signature_of};
use crate::events::handlers::{EventHandler, read};
use crate::session::plugin_state::PluginState;

impl Plugin {
    /// Hears the events of a topic, or of all topics under a prefix, which is written `weather.*`; a `*` alone is no prefix. From when this
    /// has returned until the subscription is dropped, no event is missed, but those whose [loss](Subscription::lost) is told.
    ///
    /// Nobody need send on the topic yet. Events of one sender come in the order in which they were sent, one after the
    /// other; those of several senders in no order, in a [pool](crate::Dispatch::Pool) at the same time. Several handlers of one plugin on
    /// the same name with the same types are run in the order in which they subscribed. A handler that fails or panics is
    /// logged and counted ([`Subscription::failed`]), and keeps no other one from running.
    ///
    /// Handlers run where those of gates do ([`Dispatch`](crate::Dispatch)), each event in a chain of its own. A handler that is slower
    /// than the sender holds it up for a while; then events are lost, which is told
    /// ([`SubscriptionBuilder::on_notice`]) and counted ([`Subscription::lost`]). Of a sender that shows its last events to new listeners (its history),
    /// the first of several handlers that share a subscription sees them.
    ///
    /// Where the sender's types are others, events are converted as calls are ([`Plugin::subscriber`]).
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a name that cannot be, or that has a star elsewhere than behind its last dot; `PERMISSION_DENIED`, `OVERLOADED` over the limit of
    /// subscriptions, `TIMEOUT` where a sender does not answer the broker in five seconds, `BROKER_GONE`.
    pub fn subscribe<M: 'static, H: EventHandler<M>>(
        &self,
        topic: &str,
        handler: H,
    ) -> Result<Subscription> {
        self.subscription(topic).subscribe(handler)
    }

    /// Says more about a subscription before it is made:
    ///
    /// ```no_run
    /// # use callgate_client::{EventNotice, Plugin};
    /// # fn main() -> callgate_client::Result<()> {
    /// let plugin = Plugin::connect("Display")?;
    /// let _weather = plugin
    ///     .subscription("weather.*")
    ///     .on_notice(|notice| {
    ///         if let EventNotice::Lost { count, .. } = notice {
    ///             eprintln!("{count} events were lost");
    ///         }
    ///     })
    ///     .subscribe(|degrees: u32, text: String| println!("{degrees}: {text}"))?;
    /// # Ok(()) }
    /// ```
    pub fn subscription(&self, topic: &str) -> SubscriptionBuilder {
        SubscriptionBuilder::new((&self.state, &self.core.group), topic)
    }

    /// Hears the events of a topic, or of all topics under a prefix, to be taken one by one; `A` is a tuple of their
    /// parameters. Otherwise as [`Plugin::subscribe`].
    ///
    /// # Errors
    ///
    /// As [`Plugin::subscribe`].
    pub fn events<A: Arguments>(&self, topic: &str) -> Result<Events<A>> {
        let types = (&action_signature_of::<A>(), Encodings::BOTH);
        Events::new(&self.state, topic, types, read::<A>)
    }

    /// What all handles of the plugin share.
    pub(in crate::api) fn state(&self) -> &Arc<PluginState> {
        &self.state
    }
}
