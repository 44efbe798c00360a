//! What a subscription is told beside events.

use std::sync::Arc;

use callgate_layout::clock;
use parking_lot::Mutex;

use super::handlers::Sending;
use crate::base::error::Error;
use crate::link::peer::Caller;

/// What a subscription is told beside events: see
/// [`SubscriptionBuilder::on_notice`](crate::SubscriptionBuilder::on_notice). In the order of the events that it is about. Of senders
/// that cannot be heard, a subscription keeps the last 64 notices for a program that does not take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventNotice {
    /// A plugin has begun to send, or did so before: its events are heard from here on.
    Here {
        /// The topic.
        topic: Arc<str>,
        /// The plugin.
        sender: Arc<Caller>,
    },
    /// Events were overwritten before they were taken here, because this plugin was too slow for too long, or
    /// the sender does not wait. The next event is the oldest that there is.
    Lost {
        /// The topic.
        topic: Arc<str>,
        /// The plugin whose events they are.
        sender: Arc<Caller>,
        /// How many.
        count: u64,
    },
    /// A plugin sends no more: it has ended, has dropped its topic, or may not be heard any more. Everything that it had sent
    /// was taken before.
    Gone {
        /// The topic.
        topic: Arc<str>,
        /// The plugin.
        sender: Arc<Caller>,
        /// Why.
        why: Error,
    },
    /// A plugin sends on the topic, and its events can never become values of the types that are wanted here
    /// (`TYPE_MISMATCH`, `LENGTH_MISMATCH`). It is not heard.
    Unfit {
        /// The topic.
        topic: Arc<str>,
        /// The plugin.
        sender: Arc<Caller>,
        /// What differs, and where.
        why: Error,
    },
    /// The sender could not write an event as JSON, which is how it would have come here: it has no form there, or is too long.
    Unwritable {
        /// The topic.
        topic: Arc<str>,
        /// The plugin.
        sender: Arc<Caller>,
        /// Which of its events.
        number: u64,
        /// What the sender says about that.
        text: String,
    },
    /// A plugin sends on the topic, and could not be heard for want of memory or descriptors, for example. That is tried again after a
    /// second, and then after twice the time each, up to half a minute; each failure is told.
    Failed {
        /// The topic.
        topic: Arc<str>,
        /// The plugin.
        sender: Arc<Caller>,
        /// Why.
        why: Error,
    },
}

/// The program's function that is told.
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

/// What is logged of one feed, where nobody asked to be told: of losses, one line a second.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lost: Mutex<Unsaid>,
}

/// What happens often, and has one line in a second.
#[derive(Debug, Default)]
pub(crate) struct Unsaid {
    /// When the next line may be written.
    next: u64,
    /// How often it happened without a line.
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
    /// Adds some; how many a line is to say, if there is to be one now.
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
