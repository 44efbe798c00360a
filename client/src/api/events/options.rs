//! Options with which a topic is offered.

use std::time::Duration;

use callgate_layout::Code;
use callgate_layout::events::{DEFAULT_CAPACITY, MAX_CAPACITY, MIN_CAPACITY};

use crate::base::error::{Error, Result};
use crate::events::source::Settings;

/// Options of a topic: who may send on it, how much it keeps, and what happens when listeners are slow.
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
    /// An owned topic, on which only this plugin sends: it keeps 256 KiB of events and has no history, and an event
    /// waits for slow listeners for one second at most.
    pub fn new() -> TopicOptions {
        TopicOptions::default()
    }

    /// Makes the topic open: other plugins may send their own events on it as well.
    pub fn open(mut self) -> TopicOptions {
        self.is_open = true;
        self
    }

    /// How many bytes of events are kept for listeners that are behind: a power of two from 64 KiB to 16 MiB. One
    /// event may take a quarter of it.
    pub fn capacity(mut self, bytes: usize) -> TopicOptions {
        self.capacity = bytes;
        self
    }

    /// How many of the last events a new listener is given first, as far as the capacity holds them. None unless
    /// set.
    pub fn history(mut self, events: u32) -> TopicOptions {
        self.history = events;
        self
    }

    /// Sending never waits: listeners that are too slow lose the oldest events, and are told how many.
    ///
    /// Without this, an event waits for room while the slowest listener has time left in its budget. The budget is
    /// one second at first, and later a tenth of the time that passes.
    pub fn drop_oldest(mut self) -> TopicOptions {
        self.lossless = false;
        self
    }

    /// Listeners may delay the sender as often as they need to: each event waits for the slowest one until its
    /// [timeout](TopicOptions::send_timeout), however long earlier events have waited for it.
    ///
    /// Without this, even listeners that never pause lose events if there are many listeners, few processors, and
    /// steadily more events than they can handle; a [`flush`](crate::Topic::flush) now and then prevents that as
    /// well. With this, a listener that always catches up at the last moment makes the sender as slow as it likes,
    /// so use it only with plugins that you trust. A listener that does not take events at all costs one timeout;
    /// the sender waits for it again once it has caught up.
    pub fn unlimited_budget(mut self) -> TopicOptions {
        self.budgets = false;
        self
    }

    /// How long one event waits for room at most, 1 s unless set; after that the oldest events are dropped to make
    /// room.
    pub fn send_timeout(mut self, timeout: Duration) -> TopicOptions {
        self.send_timeout = timeout;
        self
    }

    /// The settings of the source; `INVALID_ARGUMENT` for a value out of range.
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
