//! Subscriptions whose events are passed to handlers.

use std::sync::Arc;

use callgate_layout::{Code, Encodings, Signature, control};

use crate::api::group::GroupCore;
use crate::base::error::{Error, Result};
use crate::events::feed::Feed;
use crate::events::handlers::{ErasedEvents, EventHandler, erase};
use crate::events::notice::{EventNotice, OnNotice};
use crate::events::registered::Registered;
use crate::events::subscription::Hearing;
use crate::link::peer::Caller;
use crate::serve::dispatcher::Dispatcher;
use crate::session::events::feeds::Subscribed;
use crate::session::plugin_state::PluginState;
use crate::session::wanted::Wanted;

/// A handler that is subscribed to events. Dropping this [unsubscribes](Subscription::unsubscribe) it.
#[must_use = "dropping it unsubscribes the handler"]
pub struct Subscription {
    state: Arc<PluginState>,
    dispatcher: Arc<Dispatcher>,
    subscribed: Arc<Subscribed>,
    registered: Arc<Registered>,
}

/// A subscription that is about to be made, with its settings:
/// [`Plugin::subscription`](crate::Plugin::subscription).
#[must_use = "nothing is heard before `subscribe`"]
pub struct SubscriptionBuilder {
    state: Arc<PluginState>,
    group: Arc<GroupCore>,
    topic: String,
    on_notice: Option<OnNotice>,
    exact_only: bool,
}

/// Splits the `*` off a name that is subscribed to. Returns the name and whether it is a prefix. A star is allowed
/// only behind the last dot of a prefix.
pub(crate) fn name_of(topic: &str) -> Result<(Arc<str>, bool)> {
    let invalid = |text| Error::new(Code::InvalidArgument, text);
    match topic
        .strip_suffix('*')
        .filter(|prefix| prefix.ends_with('.'))
    {
        Some(prefix) => {
            control::check_prefix(prefix).map_err(invalid)?;
            Ok((prefix.into(), true))
        }
        None if topic.contains('*') => {
            let text = "a star stands at the end, after a dot, as in `Weather.*`: it hears all topics under that prefix";
            Err(Error::new(Code::InvalidArgument, text).at_gate(topic))
        }
        None => {
            control::check_gate_name(topic).map_err(invalid)?;
            Ok((topic.into(), false))
        }
    }
}

impl SubscriptionBuilder {
    pub(in crate::api) fn new(
        (state, group): (&Arc<PluginState>, &Arc<GroupCore>),
        topic: &str,
    ) -> SubscriptionBuilder {
        SubscriptionBuilder {
            state: state.clone(),
            group: group.clone(),
            topic: topic.to_owned(),
            on_notice: None,
            exact_only: false,
        }
    }

    /// Sets a function for [notices](EventNotice): of events that were lost, of senders that come and go. It runs
    /// where the handler does, in order with the events. Without it, losses and senders whose types do not fit are
    /// logged.
    pub fn on_notice(mut self, told: impl Fn(&EventNotice) + Send + Sync + 'static) -> Self {
        self.on_notice = Some(Arc::new(told));
        self
    }

    /// Turns conversion off: a sender whose types differ is not heard, which is told by [`EventNotice::Unfit`].
    pub fn exact_only(mut self) -> Self {
        self.exact_only = true;
        self
    }

    /// Makes the subscription; otherwise as [`Plugin::subscribe`](crate::Plugin::subscribe).
    ///
    /// # Errors
    ///
    /// As [`Plugin::subscribe`](crate::Plugin::subscribe).
    pub fn subscribe<M: 'static, H: EventHandler<M>>(self, handler: H) -> Result<Subscription> {
        self.with(&H::event_signature(), Encodings::BOTH, erase(handler))
    }

    /// Subscribes a handler for events of this signature, in these encodings.
    pub(crate) fn with(
        self,
        signature: &Signature,
        encodings: Encodings,
        handler: Box<dyn ErasedEvents>,
    ) -> Result<Subscription> {
        let (name, is_prefix) = name_of(&self.topic)?;
        let (state, group) = (&self.state, &self.group);
        state.check_here()?;
        let encodings = encodings_of(encodings, (self.exact_only, state));
        let wanted = wanted_of((signature, encodings), &name)?;
        group.start_serving()?;
        let feeds = state.subscriptions.feeds.clone();
        let hearing = Hearing::dispatched(name.clone(), is_prefix, feeds);
        let registered = Registered::new(handler, self.on_notice);
        let new = Subscribed::new(hearing, wanted);
        let subscribed = state.subscriptions.register(new, &registered);
        // From here on, dropping `subscription` unsubscribes.
        let subscription = Subscription {
            state: state.clone(),
            dispatcher: group.dispatcher.clone(),
            subscribed,
            registered,
        };
        let heard = state.subscribe(&subscription.subscribed);
        heard.map_err(|error| error.at_gate(name))?;
        Ok(subscription)
    }
}

/// The encodings in which events may come: what the handler can read, less JSON for typed handlers that must not
/// convert.
pub(crate) fn encodings_of(
    encodings: Encodings,
    (exact_only, state): (bool, &PluginState),
) -> Encodings {
    match encodings == Encodings::BOTH {
        true if exact_only => Encodings::ARCHIVE,
        true => state.encodings,
        false => encodings,
    }
}

/// The types and encodings that a subscription wants.
pub(crate) fn wanted_of(
    (signature, encodings): (&Signature, Encodings),
    name: &Arc<str>,
) -> Result<Wanted> {
    let wanted = Wanted::new(signature.clone(), encodings);
    wanted.map_err(|error| error.at_gate(name.clone()))
}

impl Subscription {
    /// The topic, or the prefix with its dot.
    pub fn topic(&self) -> &str {
        &self.subscribed.hearing.name
    }

    /// The plugins whose events are heard now; a plugin is listed once for each topic on which it sends.
    pub fn senders(&self) -> Vec<Arc<Caller>> {
        let feeds = self.subscribed.hearing.feeds();
        let senders = feeds.iter().map(|feed| feed.about().sender.clone());
        senders.collect()
    }

    /// Whether events of any sender so far were converted because its types differ.
    pub fn is_converted(&self) -> bool {
        self.subscribed.hearing.converted() > 0
    }

    /// How many senders are not heard, because their types cannot be converted ([`EventNotice::Unfit`]).
    pub fn unfit(&self) -> u64 {
        self.subscribed.hearing.unfit()
    }

    /// How many events the handler failed to handle: by an error, a panic, or values that cannot be read.
    pub fn failed(&self) -> u64 {
        self.registered.failed()
    }

    /// How many events were lost since the handler was registered, of all senders. An event is lost if the sender
    /// overwrote it because this plugin was too slow for too long, or if it was not taken from an older broker's
    /// ring before that was closed. Each loss is also told by [`EventNotice::Lost`].
    pub fn lost(&self) -> u64 {
        self.subscribed.hearing.handlers.lost_of(&self.registered)
    }

    /// Ends the subscription. When this has returned, the handler runs no more, and the values that it has captured
    /// are dropped. Inside that very handler it does not wait: then they are dropped when the handler returns.
    pub fn unsubscribe(self) {}

    /// Unregisters the handler. Returns the feeds on which it may still be running.
    fn remove(&self) -> Vec<Arc<Feed>> {
        let is_over = self
            .state
            .subscriptions
            .unregister(&self.subscribed, &self.registered);
        match is_over {
            true => self.state.unsubscribe(&self.subscribed),
            false => self.subscribed.hearing.known_feeds(),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if !self.state.is_here() {
            return;
        }
        let feeds = self.remove();
        // Where handlers run one at a time, any other handler that has begun lies below this one on the stack, and
        // cannot end while this waits.
        if !self.dispatcher.is_pool() && self.dispatcher.is_inside() {
            return;
        }
        let others = feeds.iter().filter(|feed| !feed.is_here());
        others.for_each(|feed| feed.await_idle());
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic())
            .finish_non_exhaustive()
    }
}
