//! The handler of a subscription. It runs on the client's dispatcher thread, turns events into frames and puts them into the queue of the
//! subscription.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use callgate_client::{EventContext, EventNotice};
use parking_lot::Mutex;
use serde_json::value::RawValue;

use super::arguments::{Elements, payload};
use super::bus::{Bus, Tell};
use super::counts::Counts;
use super::inbox::Inbox;
use super::queue::Queue;
use crate::frame::{FRAME_CAP, Outgoing};

/// State that the handler of a subscription shares with the loop.
pub(super) struct Hearing {
    /// The topic or pattern, as the child wrote it.
    pub(super) subscription: String,
    pub(super) queue: Mutex<Queue>,
    pub(super) bus: Arc<Bus>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) counts: Arc<Counts>,
    pub(super) tell: Arc<dyn Tell>,
}

impl Hearing {
    /// Handles an event, whose arguments are the text of a JSON array.
    pub(super) fn hear(&self, event: &EventContext<'_>, arguments: &str) {
        let Some(line) = self.line(event, arguments) else {
            self.counts.dropped.add(1);
            let (topic, subscription) = (event.topic(), &self.subscription);
            tracing::debug!(topic, subscription, "an event is too large for a frame");
            return;
        };
        let pushed = self.queue.lock().push(line);
        self.counts.dropped.add(pushed.dropped);
        if pushed.is_unhealthy {
            self.tell.unhealthy(&self.subscription);
        }
        self.inbox.has_event();
    }

    fn line(&self, event: &EventContext<'_>, arguments: &str) -> Option<Vec<u8>> {
        let elements = Elements::of(arguments);
        let is_bridged = self.bus.is_bridged(event.sender().plugin());
        let (payload, version) = match (is_bridged, elements.first, elements.count) {
            (true, Some(first), 2) => (first, elements.second),
            _ => (payload(arguments, &elements)?, None),
        };
        let since = event.time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let frame = Outgoing::Deliver {
            topic: event.topic(),
            version: version.filter(|version: &&RawValue| version.get() != "1"),
            id: self.bus.events.next_text().as_str(),
            ts: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            source_plugin: event.sender().name(),
            payload,
            subscription: &self.subscription,
        }
        .to_line(FRAME_CAP);
        frame.ok()
    }

    /// Counts and logs the notices that come between events.
    pub(super) fn note(&self, notice: &EventNotice) {
        let subscription = &self.subscription;
        match notice {
            EventNotice::Lost { count, topic, .. } => {
                self.counts.lost.add(*count);
                tracing::debug!(subscription, topic = &**topic, count, "events were lost");
            }
            notice => tracing::debug!(subscription, ?notice, "of a subscription"),
        }
    }
}
