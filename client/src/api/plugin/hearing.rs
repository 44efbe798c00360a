//! The methods with which a plugin subscribes to events.

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
    /// Runs a handler for the events of a topic, or of all topics under a prefix, which is written `weather.*`; a
    /// `*` alone is not allowed. From the return of this method until the subscription is dropped, every event is
    /// handled, except those that are reported as [lost](Subscription::lost).
    ///
    /// The topic may have no sender yet. Events of one sender arrive one after the other, in the order in which
    /// they were sent. Events of several senders arrive in any order, and in a [pool](crate::Dispatch::Pool) at the
    /// same time. If several handlers of one plugin subscribe to the same name with the same types, they run in the
    /// order in which they subscribed. If a handler fails or panics, that is logged and counted
    /// ([`Subscription::failed`]), and the other handlers run nevertheless.
    ///
    /// Handlers run where those of gates do ([`Dispatch`](crate::Dispatch)), each event in a chain of its own. A
    /// handler that is slower than the sender delays the sender for a while; after that events are lost, which is
    /// reported ([`SubscriptionBuilder::on_notice`]) and counted ([`Subscription::lost`]). If the sender keeps a
    /// history (its last events, shown to new listeners), only the first of several handlers with the same name and
    /// types sees it.
    ///
    /// If the sender's types differ, events are converted as calls are ([`Plugin::subscriber`]).
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a name that is not allowed, or with a star anywhere but after its last dot;
    /// `PERMISSION_DENIED`; `OVERLOADED` over the limit of subscriptions; `TIMEOUT` if a sender does not answer the
    /// broker in five seconds; `BROKER_GONE`.
    pub fn subscribe<M: 'static, H: EventHandler<M>>(
        &self,
        topic: &str,
        handler: H,
    ) -> Result<Subscription> {
        self.subscription(topic).subscribe(handler)
    }

    /// Starts a subscription with further settings; [`SubscriptionBuilder::subscribe`] makes it:
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

    /// Subscribes to the events of a topic, or of all topics under a prefix, which the program then takes one by
    /// one. `A` is the tuple of an event's parameters. Otherwise as [`Plugin::subscribe`].
    ///
    /// # Errors
    ///
    /// As [`Plugin::subscribe`].
    pub fn events<A: Arguments>(&self, topic: &str) -> Result<Events<A>> {
        let types = (&action_signature_of::<A>(), Encodings::BOTH);
        Events::new(&self.state, topic, types, read::<A>)
    }

    /// The state that all handles of the plugin share.
    pub(in crate::api) fn state(&self) -> &Arc<PluginState> {
        &self.state
    }
}
