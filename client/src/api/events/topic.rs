//! The handle by which a program sends events.

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

/// What has become of a topic that a plugin sends on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TopicState {
    /// The broker has it: who subscribes hears it.
    Offered,
    /// There is no broker, or it was not told of the topic yet. Those who have listened before still do.
    Away,
    /// Another plugin has the topic since the broker was started again. It is this one's as soon as it is free.
    InLine {
        /// The plugin that has it.
        owner: String,
    },
    /// Nothing can be sent on it any more: the plugin has closed, or may not send, or this is a forked child. Sending fails with this.
    Ended(Error),
}

/// A topic that is offered, for as long as this lives.
pub(crate) struct Handle {
    pub(crate) state: Arc<PluginState>,
    pub(crate) offered: Arc<Offered>,
}

impl Handle {
    pub(crate) fn name(&self) -> &str {
        self.offered.source.name()
    }

    pub(crate) fn state(&self) -> TopicState {
        // In a forked child others may have held the locks, and nothing can be sent there.
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
/// Sending costs one write, however many listen; while nobody does, next to nothing. Any number of threads may send; each
/// listener sees all events of a topic in one order, which is that of each thread.
///
/// Dropping it ends the topic: who listens still gets what was sent. For that it waits for the broker, as
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

    /// Sends an event to whoever listens.
    ///
    /// Returns when it is written where listeners read it; see [`Topic::flush`]. Where the slowest listener is so far behind
    /// that there is no room, it waits, unless the topic [drops the oldest](crate::TopicOptions::drop_oldest). No wait is longer than
    /// the topic's [timeout](crate::TopicOptions::send_timeout); then that listener loses events. That is no error here. Inside a handler it
    /// waits for no listener that waits for what this handler keeps from it, such as its plugin's turn.
    ///
    /// # Errors
    ///
    /// Where nobody listens and there is no history, the event is not looked at, and there is no error about it. Else:
    /// `REQUEST_TOO_LARGE` for an event that takes more than a quarter of the capacity, `INVALID_ARGUMENT` for
    /// one that has no archive; `CLOSED` when the plugin has closed, `PERMISSION_DENIED` when it may send no more. Nothing was sent then.
    #[inline]
    pub fn send(&self, event: &A) -> Result<()> {
        let sent = self.handle.offered.source.send(&Typed(event));
        sent.map_err(|error| self.at_topic(error))
    }

    /// Sends events one after the other, and takes the lock and wakes listeners once for up to 64 of them.
    /// How many were sent: all.
    ///
    /// # Errors
    ///
    /// As [`Topic::send`]. Events before the one that fails may have been sent: [`Topic::send_all`] says in the error's context
    /// how many (`sent`).
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

    /// How many subscriptions hear this now.
    pub fn subscription_count(&self) -> usize {
        self.handle.offered.source.listeners()
    }

    /// Waits until everybody who listens now has handled what was sent before. Those that end meanwhile, or are so far behind that
    /// they lose events, are not waited for.
    ///
    /// # Errors
    ///
    /// `TIMEOUT`, with the names of those that have not. `INVALID_ARGUMENT` at once inside a handler of a plugin that
    /// listens itself, where its handlers cannot run meanwhile; `DEADLOCK` with the names of the circle where one that listens waits
    /// for what this handler keeps from it.
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        self.handle.flush(timeout)
    }

    /// Whether the broker has the topic, so that whoever subscribes hears it.
    pub fn is_offered(&self) -> bool {
        matches!(self.state(), TopicState::Offered)
    }

    /// What has become of it.
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
