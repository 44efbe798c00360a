//! Subscriptions whose events the program takes one by one.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use callgate_layout::{Encoding, Encodings, Signature, clock};

use super::received::{Drained, Event, Received};
use super::subscription::{encodings_of, name_of, wanted_of};
use crate::base::error::{Error, Result};
use crate::events::feed::{Next, Pace};
use crate::events::handlers::EventContext;
use crate::events::pulled::Puller;
use crate::events::subscription::Hearing;
use crate::link::peer::Caller;
use crate::session::events::feeds::Subscribed;
use crate::session::plugin_state::PluginState;

/// How many events of one sender are taken before it is the next sender's turn.
const BATCH: usize = 64;

/// Events that the program takes one by one, on a thread of its own choice:
/// [`Plugin::events`](crate::Plugin::events).
///
/// If the program does not take them, that delays their sender, as a slow handler does.
///
/// ```no_run
/// use callgate_client::{Plugin, Received};
/// use std::time::Duration;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Display")?;
/// let mut events = plugin.events::<(u32, String)>("Weather.Changed")?;
/// while let Some(received) = events.next(Duration::from_secs(60))? {
///     match received {
///         Received::Event(event) => println!("{:?} of {}", event.values, event.sender().name()),
///         Received::Notice(notice) => println!("{notice:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Events<A> {
    pulled: Pulled,
    /// Reads an event's bytes into values.
    read: Read<A>,
    /// How long a drain waits before it looks, so that a program which drains all the time does not slow the sender.
    pace: Pace,
}

type Read<A> = fn(Encoding, &[u8]) -> Result<A>;

/// A subscription whose events the program takes itself. Dropping it unsubscribes.
pub(crate) struct Pulled {
    state: Arc<PluginState>,
    subscribed: Arc<Subscribed>,
    pub(crate) puller: Arc<Puller>,
}

impl Pulled {
    /// Subscribes to a topic with these types.
    pub(crate) fn new(
        state: &Arc<PluginState>,
        topic: &str,
        (signature, encodings): (&Signature, Encodings),
    ) -> Result<Pulled> {
        let (name, is_prefix) = name_of(topic)?;
        state.check_here()?;
        let encodings = encodings_of(encodings, (false, state));
        let wanted = wanted_of((signature, encodings), &name)?;
        let puller = Arc::<Puller>::default();
        let hearing = Hearing::pulled(name.clone(), is_prefix, puller.clone());
        let subscribed = state.subscriptions.add(Subscribed::new(hearing, wanted));
        // From here on, dropping `pulled` unsubscribes.
        let pulled = Pulled {
            state: state.clone(),
            subscribed,
            puller,
        };
        let heard = state.subscribe(&pulled.subscribed);
        heard.map_err(|error| error.at_gate(name))?;
        Ok(pulled)
    }

    /// The end of a wait that starts now, in nanoseconds of the monotonic clock.
    pub(crate) fn until(timeout: Duration) -> u64 {
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        clock::now().saturating_add(nanos)
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        if self.state.is_here() {
            self.state.subscriptions.remove(&self.subscribed);
            // No handler takes from these feeds, so there is nothing to wait for.
            drop(self.state.unsubscribe(&self.subscribed));
        }
    }
}

/// Makes a value that owns its data of an event or notice.
fn received<A>(next: Next<'_>, read: Read<A>) -> Result<Received<A>> {
    match next {
        Next::Notice(notice) => Ok(Received::Notice(notice)),
        Next::Event(context, encoding, bytes) => {
            let values = read(encoding, bytes).map_err(|error| at_topic(context, error))?;
            Ok(Received::Event(Event::new(context, values)))
        }
    }
}

#[cold]
fn at_topic(context: &EventContext<'_>, error: Error) -> Error {
    error.at_gate(context.about.topic.clone())
}

impl<A> Events<A> {
    /// Subscribes to a topic; `read` turns an event's bytes into values.
    pub(crate) fn new(
        state: &Arc<PluginState>,
        topic: &str,
        types: (&Signature, Encodings),
        read: Read<A>,
    ) -> Result<Events<A>> {
        Ok(Events {
            pulled: Pulled::new(state, topic, types)?,
            read,
            pace: Pace::default(),
        })
    }

    /// Returns the next event or notice. Waits for it for `timeout` at most; `None` if none came.
    ///
    /// # Errors
    ///
    /// If the values of an event cannot be read: `PROTOCOL`, or `TYPE_MISMATCH` if the event was converted. The
    /// next call continues with the event after it. `CLOSED` when the plugin has closed and everything was taken.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Received<A>>> {
        self.pulled.state.check_here()?;
        let until = Pulled::until(timeout);
        let with = |next: Next<'_>| received(next, self.read);
        self.pulled.puller.take_until(until, with)?.transpose()
    }

    /// Returns the next event or notice, as a future that works with any async runtime. The plugin's thread that
    /// looks after [sent calls](crate::dynamic::Gate::send) wakes the task.
    ///
    /// ```no_run
    /// # async fn display(plugin: &callgate_client::Plugin) -> callgate_client::Result<()> {
    /// let mut events = plugin.events::<(u32,)>("Weather.Changed")?;
    /// loop {
    ///     if let Some(event) = events.next_async().await?.event() {
    ///         println!("{}", event.values.0);
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Events::next`]; `OVERLOADED` if all bells of the plugin are taken.
    pub fn next_async(&mut self) -> impl Future<Output = Result<Received<A>>> + use<'_, A> {
        std::future::poll_fn(|context| self.poll_next(context))
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Result<Received<A>>> {
        if let Err(forked) = self.pulled.state.check_here() {
            return Poll::Ready(Err(forked));
        }
        let with = |next: Next<'_>| received(next, self.read);
        let puller = &self.pulled.puller;
        if let Some(taken) = puller.take(with) {
            return Poll::Ready(taken);
        }
        let attended = puller
            .await_by(context.waker())
            .and_then(|pages| self.pulled.state.sent.attend_feeds(&pages, puller));
        if let Err(error) = attended {
            return Poll::Ready(Err(error));
        }
        // An event that came before the waker was set has woken nobody, so look once more.
        match (puller.take(with), puller.over()) {
            (Some(taken), _) => Poll::Ready(taken),
            (None, Some(over)) => Poll::Ready(Err(over)),
            (None, None) => Poll::Pending,
        }
    }

    /// Takes up to `most` events and notices that are there, without waiting.
    ///
    /// # Errors
    ///
    /// As [`Events::next`]. What this call had taken before the error is lost.
    pub fn drain(&mut self, most: usize) -> Result<Vec<Received<A>>> {
        let mut all = Vec::new();
        self.drain_with(most, |drained| {
            all.push(Received::from(drained));
        })?;
        Ok(all)
    }

    /// Passes up to `most` events and notices that are there to a function, without sleeping. Returns their number.
    /// An event counts as handled when the function has returned. Nothing is collected, so this takes half the time
    /// of [`Events::drain`].
    ///
    /// ```no_run
    /// # fn main() -> callgate_client::Result<()> {
    /// # let plugin = callgate_client::Plugin::connect("Display")?;
    /// use callgate_client::Drained;
    ///
    /// let mut levels = plugin.events::<(f32,)>("Meter.Level")?;
    /// let mut loudest = 0.0_f32;
    /// levels.drain_with(1_000, |drained| {
    ///     if let Drained::Event(_, (level,)) = drained {
    ///         loudest = loudest.max(level);
    ///     }
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Events::next`]. The function has already been given what came before the error.
    pub fn drain_with(
        &mut self,
        most: usize,
        mut each: impl FnMut(Drained<'_, A>),
    ) -> Result<usize> {
        self.pulled.state.check_here()?;
        let (mut taken, mut failed) = (0, None);
        let mut with = |next: Next<'_>| {
            match next {
                Next::Notice(notice) => each(Drained::Notice(notice)),
                Next::Event(context, encoding, bytes) => match (self.read)(encoding, bytes) {
                    Ok(values) => each(Drained::Event(context, values)),
                    Err(error) => {
                        failed = Some(at_topic(context, error));
                        return ControlFlow::Break(());
                    }
                },
            }
            ControlFlow::Continue(())
        };
        self.pace.let_pass();
        while taken < most {
            let batch = BATCH.min(most - taken);
            match self.pulled.puller.take_some(batch, &mut with) {
                0 => break,
                some => taken += some,
            }
        }
        match taken {
            0 => self.pace.found_nothing(),
            _ => self.pace.took(taken >= most),
        }
        failed.map_or(Ok(taken), Err)
    }

    /// The plugins whose events are heard now; a plugin is listed once for each topic on which it sends.
    pub fn senders(&self) -> Vec<Arc<Caller>> {
        let feeds = self.pulled.subscribed.hearing.feeds();
        let senders = feeds.iter().map(|feed| feed.about().sender.clone());
        senders.collect()
    }

    /// How many events of all senders were lost so far; see [`Subscription::lost`](crate::Subscription::lost).
    pub fn lost(&self) -> u64 {
        self.pulled.subscribed.hearing.handlers.lost()
    }

    /// Whether events of any sender so far were converted because its types differ.
    pub fn is_converted(&self) -> bool {
        self.pulled.subscribed.hearing.converted() > 0
    }
}

impl<A> std::fmt::Debug for Events<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("topic", &self.pulled.subscribed.hearing.name)
            .finish_non_exhaustive()
    }
}
