//! The handle with which a program sends events.

use std::borrow::Borrow;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use callgate_layout::clock;

use crate::base::deadline::answer_due;
use crate::base::debug;
use crate::base::error::{Error, Result, forked};
use crate::base::types::Arguments;
use crate::events::source::event::{Kept, Typed};
use crate::session::connection::REQUEST_TIMEOUT;
use crate::session::events::sources::{Offered, Standing};
use crate::session::plugin_state::PluginState;

/// The state of a topic that a plugin offers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TopicState {
    /// The broker has registered it: plugins that subscribe hear its events.
    Offered,
    /// There is no broker, or the broker has not registered the topic yet. Those who listened before still hear its
    /// events.
    Away,
    /// After a restart of the broker another plugin has the topic. This plugin gets it as soon as it is free.
    InLine {
        /// The plugin that has it.
        owner: String,
    },
    /// Nothing can be sent on it any more: the plugin has closed or may not send, or this is a forked child.
    /// Sending fails with this error.
    Ended(Error),
}

/// A topic that is offered for as long as this lives.
pub(crate) struct Handle {
    pub(crate) state: Arc<PluginState>,
    pub(crate) offered: Arc<Offered>,
}

impl Handle {
    pub(crate) fn name(&self) -> &str {
        self.offered.source.name()
    }

    pub(crate) fn state(&self) -> TopicState {
        // In a forked child the locks may be held by threads that do not exist there, and nothing can be sent.
        if !self.state.is_here() {
            return TopicState::Ended(forked());
        }
        match self.offered.standing() {
            Standing::Ended(error) => TopicState::Ended(error),
            _ if self.state.presence.is_away() || self.state.is_over() => TopicState::Away,
            Standing::Asked => TopicState::Away,
            Standing::Offered => TopicState::Offered,
            Standing::InLine { owner } => TopicState::InLine { owner },
        }
    }

    pub(crate) fn flush(&self, timeout: Duration) -> Result<()> {
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        self.offered.source.flush(match debug::is_on() {
            true => u64::MAX,
            false => clock::now().saturating_add(nanos),
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.state.is_here() {
            let until = answer_due(REQUEST_TIMEOUT);
            self.state.close_topic(&self.offered, until);
        }
    }
}

/// A topic on which this plugin sends events, for as long as this handle lives.
///
/// Sending writes an event once, however many plugins listen, and costs next to nothing while nobody does. Any
/// number of threads may send. All listeners see the events of a topic in one order, in which the events of each
/// thread keep theirs.
///
/// Dropping it ends the topic: listeners still get what was sent before. The drop waits for the broker, as that of
/// [`Provider`](crate::Provider) does.
///
/// ```no_run
/// use callgate_client::{Plugin, Topic};
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Weather")?;
/// let changed: Topic<(u32, String)> = plugin.topic("Weather.Changed")?;
/// changed.send(&(21, "mild".into()))?;
/// # Ok(()) }
/// ```
#[must_use = "dropping a topic ends it at once"]
pub struct Topic<A> {
    handle: Handle,
    _types: PhantomData<fn(A)>,
}

impl<A: Arguments> Topic<A> {
    pub(crate) fn new(handle: Handle) -> Topic<A> {
        Topic {
            handle,
            _types: PhantomData,
        }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Sends an event to all plugins that listen.
    ///
    /// Returns when the event is written where listeners read it; to wait until they have handled it, use
    /// [`Topic::flush`]. If the slowest listener is so far behind that there is no room, this waits, unless the
    /// topic [drops the oldest](crate::TopicOptions::drop_oldest). It waits no longer than the topic's
    /// [timeout](crate::TopicOptions::send_timeout); after that the slow listener loses events, which is no error
    /// here. Inside a handler it does not wait for a listener that itself waits for something that this handler
    /// keeps from it, such as its plugin's turn.
    ///
    /// # Errors
    ///
    /// If nobody listens and there is no history, the event is not read, so errors of the event itself do not show.
    /// Otherwise: `REQUEST_TOO_LARGE` for an event that takes more than a quarter of the capacity;
    /// `INVALID_ARGUMENT` for one that cannot be archived; `CLOSED` when the plugin has closed; `PERMISSION_DENIED`
    /// when it may not send any more. After an error nothing was sent.
    #[inline]
    pub fn send(&self, event: &A) -> Result<()> {
        let sent = self.handle.offered.source.send(&Typed(event));
        sent.map_err(|error| self.at_topic(error))
    }

    /// Sends events one after the other. Takes the lock and wakes listeners only once for up to 64 of them. Returns
    /// how many were sent, which is all of them.
    ///
    /// # Errors
    ///
    /// As [`Topic::send`]. Events before the one that failed may have been sent; the error's context says how many
    /// (`sent`).
    pub fn send_all<E: Borrow<A>>(&self, events: impl IntoIterator<Item = E>) -> Result<usize> {
        let events = events
            .into_iter()
            .map(|event| Kept::<E, A>(event, PhantomData));
        let (sent, outcome) = self.handle.offered.source.send_all(events);
        match outcome {
            Ok(()) => Ok(sent),
            Err(error) => {
                let context = serde_json::json!({ "sent": sent });
                Err(self.at_topic(error).with_context(context))
            }
        }
    }

    #[cold]
    fn at_topic(&self, error: Error) -> Error {
        error.at_gate(self.handle.offered.source.name().clone())
    }

    /// How many subscriptions hear this topic now.
    pub fn subscription_count(&self) -> usize {
        self.handle.offered.source.listeners()
    }

    /// Waits until every plugin that listens now has handled what was sent before. A listener that ends meanwhile,
    /// or that is so far behind that it loses events, is not waited for.
    ///
    /// # Errors
    ///
    /// `TIMEOUT`, with the names of the plugins that have not handled everything. `INVALID_ARGUMENT` at once inside
    /// a handler of a plugin that itself listens and whose handlers cannot run meanwhile. `DEADLOCK`, with the
    /// names of the circle, if a listener waits for something that this handler keeps from it.
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        self.handle.flush(timeout)
    }

    /// Whether the broker has registered the topic, so that plugins which subscribe hear it.
    pub fn is_offered(&self) -> bool {
        matches!(self.state(), TopicState::Offered)
    }

    /// The state of the topic.
    pub fn state(&self) -> TopicState {
        self.handle.state()
    }
}

impl<A: Arguments> std::fmt::Debug for Topic<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
