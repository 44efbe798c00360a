//! How a topic is offered.

use std::time::Duration;

use callgate_layout::Code;
use callgate_layout::events::{DEFAULT_CAPACITY, MAX_CAPACITY, MIN_CAPACITY};

use crate::base::error::{Error, Result};
use crate::events::source::Settings;

/// How a plugin sends on a topic.
///
/// ```
/// use callgate_client::TopicOptions;
/// use std::time::Duration;
///
/// let options = TopicOptions::new().history(3).capacity(1 << 20).send_timeout(Duration::from_millis(50));
/// ```
#[derive(Clone, Debug)]
#[must_use = "it only says how a topic is offered"]
pub struct TopicOptions {
    pub(crate) is_open: bool,
    capacity: usize,
    history: u32,
    lossless: bool,
    budgets: bool,
    send_timeout: Duration,
}

impl Default for TopicOptions {
    fn default() -> TopicOptions {
        TopicOptions {
            is_open: false,
            capacity: DEFAULT_CAPACITY as usize,
            history: 0,
            lossless: true,
            budgets: true,
            send_timeout: Duration::from_secs(1),
        }
    }
}

impl TopicOptions {
    /// An owned topic, on which this plugin alone sends: 256 KiB of events, no history, and who sends waits for a second at
    /// most.
    pub fn new() -> TopicOptions {
        TopicOptions::default()
    }

    /// The topic is open: other plugins may send on it as well, each with events of its own.
    pub fn open(mut self) -> TopicOptions {
        self.is_open = true;
        self
    }

    /// How many bytes of events are kept for those who are behind: a power of two from 64 KiB to 16 MiB. An event may take a
    /// quarter of it.
    pub fn capacity(mut self, bytes: usize) -> TopicOptions {
        self.capacity = bytes;
        self
    }

    /// How many of the last events a new listener is shown first, as far as the capacity holds them.
    pub fn history(mut self, events: u32) -> TopicOptions {
        self.history = events;
        self
    }

    /// Who sends never waits: listeners that are too slow lose the oldest events, and are told how many.
    ///
    /// Otherwise an event waits for room while the slowest listener has time left of its budget, of a second at first and then of
    /// a tenth of the time.
    pub fn drop_oldest(mut self) -> TopicOptions {
        self.lossless = false;
        self
    }

    /// Listeners may hold who sends up as often as they need to: an event waits for the slowest one until its
    /// [timeout](TopicOptions::send_timeout), however much that one was waited for before.
    ///
    /// Otherwise also listeners that do their best lose events where there are many of them, few processors, and more events than they
    /// can handle all the time; a [`flush`](crate::Topic::flush) now and then prevents that as well. With this, a listener that
    /// always catches up in the last moment makes the sender as slow as it likes, so it is for plugins that are trusted. One that
    /// stands still costs a timeout once, and is waited for again when it has caught up.
    pub fn unlimited_budget(mut self) -> TopicOptions {
        self.budgets = false;
        self
    }

    /// How long an event waits for room at most; then the oldest events are dropped for it.
    pub fn send_timeout(mut self, timeout: Duration) -> TopicOptions {
        self.send_timeout = timeout;
        self
    }

    /// The same for the source, if it can be.
    pub(crate) fn settings(&self) -> Result<Settings> {
        let capacity = u32::try_from(self.capacity).ok().filter(|capacity| {
            capacity.is_power_of_two() && (MIN_CAPACITY..=MAX_CAPACITY).contains(capacity)
        });
        let Some(capacity) = capacity else {
            let text = format!(
                "a topic's capacity is a power of two from {MIN_CAPACITY} to {MAX_CAPACITY} bytes, and not {}",
                self.capacity
            );
            return Err(Error::new(Code::InvalidArgument, text));
        };
        Ok(Settings {
            capacity,
            history: self.history,
            lossless: self.lossless,
            budgets: self.budgets,
            send_timeout: self.send_timeout,
        })
    }
}
