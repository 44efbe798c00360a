//! Notices: what a subscription is told besides events.

use std::sync::Arc;

use callgate_layout::clock;
use parking_lot::Mutex;

use super::handlers::Sending;
use crate::base::error::Error;
use crate::link::peer::Caller;

/// A notice to a subscription, besides events: see
/// [`SubscriptionBuilder::on_notice`](crate::SubscriptionBuilder::on_notice). Notices keep their place among the
/// events of their sender. Of senders that cannot be heard, a subscription keeps the last 64 notices for a program
/// that does not take them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventNotice {
    /// A plugin sends on the topic: its events are heard from here on.
    Here {
        /// The topic.
        topic: Arc<str>,
        /// The plugin that sends.
        sender: Arc<Caller>,
    },
    /// Events were overwritten before they were taken here, because this plugin was too slow for too long, or
    /// because the sender does not wait for listeners. The next event is the oldest that was still there.
    Lost {
        /// The topic.
        topic: Arc<str>,
        /// The plugin that sent them.
        sender: Arc<Caller>,
        /// How many events were lost.
        count: u64,
    },
    /// A plugin does not send any more: it has ended or dropped its topic, or may not be heard any more. All that
    /// it had sent was taken before this notice.
    Gone {
        /// The topic.
        topic: Arc<str>,
        /// The plugin that sent.
        sender: Arc<Caller>,
        /// The reason.
        why: Error,
    },
    /// A plugin sends on the topic, but its types cannot be converted to those of this subscription
    /// (`TYPE_MISMATCH`, `LENGTH_MISMATCH`). It is not heard.
    Unfit {
        /// The topic.
        topic: Arc<str>,
        /// The plugin that sends.
        sender: Arc<Caller>,
        /// What differs, and where.
        why: Error,
    },
    /// The sender could not write an event as JSON, in which this subscription gets it: the value has no JSON form,
    /// or is too long.
    Unwritable {
        /// The topic.
        topic: Arc<str>,
        /// The plugin that sent it.
        sender: Arc<Caller>,
        /// The event's number.
        number: u64,
        /// The sender's reason.
        text: String,
    },
    /// A plugin sends on the topic but could not be heard, for example for lack of memory or descriptors. That is
    /// tried again after one second, and then after twice the time each, up to half a minute; each failure is told.
    Failed {
        /// The topic.
        topic: Arc<str>,
        /// The plugin that sends.
        sender: Arc<Caller>,
        /// The reason.
        why: Error,
    },
}

/// The program's function for notices.
pub(crate) type OnNotice = Arc<dyn Fn(&EventNotice) + Send + Sync>;

impl EventNotice {
    pub(crate) fn here(about: &Sending) -> EventNotice {
        let (topic, sender) = about.both();
        EventNotice::Here { topic, sender }
    }

    pub(crate) fn lost(about: &Sending, count: u64) -> EventNotice {
        let (topic, sender) = about.both();
        EventNotice::Lost {
            topic,
            sender,
            count,
        }
    }

    pub(crate) fn gone(about: &Sending, why: Error) -> EventNotice {
        let (topic, sender) = about.both();
        EventNotice::Gone { topic, sender, why }
    }

    pub(crate) fn unfit(about: &Sending, why: Error) -> EventNotice {
        let (topic, sender) = about.both();
        EventNotice::Unfit { topic, sender, why }
    }

    pub(crate) fn failed(about: &Sending, why: Error) -> EventNotice {
        let (topic, sender) = about.both();
        EventNotice::Failed { topic, sender, why }
    }

    pub(crate) fn unwritable(about: &Sending, number: u64, text: String) -> EventNotice {
        let (topic, sender) = about.both();
        EventNotice::Unwritable {
            topic,
            sender,
            number,
            text,
        }
    }
}

impl Sending {
    fn both(&self) -> (Arc<str>, Arc<Caller>) {
        (self.topic.clone(), self.sender.clone())
    }
}

/// Logs the notices of one feed, for subscriptions without a function for them; losses at most once a second.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lost: Mutex<Unsaid>,
}

/// Counts something that happens often and is logged at most once a second.
#[derive(Debug, Default)]
pub(crate) struct Unsaid {
    /// When the next line may be logged, in nanoseconds of the coarse clock.
    next: u64,
    /// How often it has happened since the last line.
    count: u64,
}

/// The time between two lines, in nanoseconds.
const PAUSE: u64 = 1_000_000_000;

impl Log {
    #[cold]
    pub(crate) fn write(&self, notice: &EventNotice) {
        match notice {
            EventNotice::Lost {
                topic,
                sender,
                count,
            } => {
                let Some(count) = self.lost.lock().add(*count) else {
                    return;
                };
                let sender = sender.name();
                tracing::warn!(%topic, sender, count, "events were lost: this plugin is too slow for their sender");
            }
            EventNotice::Unfit { topic, sender, why } => {
                tracing::warn!(%topic, sender = sender.name(), %why, "a sender is not heard");
            }
            EventNotice::Failed { topic, sender, why } => {
                tracing::warn!(%topic, sender = sender.name(), %why, "a sender cannot be heard");
            }
            EventNotice::Unwritable {
                topic,
                sender,
                number,
                text,
            } => {
                let sender = sender.name();
                tracing::warn!(%topic, sender, number, text, "the sender could not write an event as JSON");
            }
            EventNotice::Gone { topic, sender, why } => {
                tracing::debug!(%topic, sender = sender.name(), %why, "a sender is gone");
            }
            EventNotice::Here { topic, sender } => {
                tracing::debug!(%topic, sender = sender.name(), "a sender is heard");
            }
        }
    }
}

impl Unsaid {
    /// Adds to the count. If a line is due now, returns the count for it.
    pub(crate) fn add(&mut self, count: u64) -> Option<u64> {
        self.count += count;
        let now = clock::coarse_now();
        if now < self.next {
            return None;
        }
        self.next = now + PAUSE;
        Some(std::mem::take(&mut self.count))
    }
}
