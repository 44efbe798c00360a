//! The context of an event, for its handler.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::link::peer::Caller;

/// Facts about an event, for its handler: the sender, the topic, the event's number and time.
///
/// A handler that wants it takes it as its first parameter:
///
/// ```
/// use callgate_client::{EventContext, EventHandler};
/// fn is_handler<M>(_: impl EventHandler<M>) {}
/// is_handler(|event: EventContext<'_>, degrees: u32| {
///     println!("{}: {degrees}, says {}", event.topic(), event.sender().name());
/// });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EventContext<'a> {
    pub(crate) about: &'a Arc<Sending>,
    pub(crate) number: u64,
    pub(crate) time: u64,
    pub(crate) is_converted: bool,
}

/// One plugin that sends on one topic.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) topic: Arc<str>,
    pub(crate) sender: Arc<Caller>,
}

impl<'a> EventContext<'a> {
    /// The topic on which it was sent, also if the subscription is to all topics under a prefix.
    pub fn topic(&self) -> &'a str {
        &self.about.topic
    }

    /// The plugin that sent it.
    pub fn sender(&self) -> &'a Caller {
        &self.about.sender
    }

    /// The event's number. A sender counts its events on one topic from 0; events that it did not write because
    /// nobody listened are not counted. A sender that is restarted counts from 0 again.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was sent, to within a tick of the kernel (some milliseconds).
    pub fn time(&self) -> SystemTime {
        time_of(self.time)
    }

    /// Whether the event came as JSON and was converted, because the sender's types differ from the handler's.
    pub fn is_converted(&self) -> bool {
        self.is_converted
    }
}

/// The time of a record, in nanoseconds since 1970.
pub(crate) fn time_of(nanos: u64) -> SystemTime {
    let since = Duration::from_nanos(nanos);
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
