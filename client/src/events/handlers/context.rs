//! What a handler can know about the event that it is given.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::link::peer::Caller;

/// The event that a handler is given: who sends it, on which topic, which of its events this is.
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
    /// The topic; also where the subscription is to all under a prefix.
    pub fn topic(&self) -> &'a str {
        &self.about.topic
    }

    /// The plugin that has sent it.
    pub fn sender(&self) -> &'a Caller {
        &self.about.sender
    }

    /// Its number: a sender's events on one topic are counted from 0 on, those that nobody heard while
    /// nobody listened left out. A sender that is started again counts anew.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was sent, to within a tick of the kernel (some milliseconds).
    pub fn time(&self) -> SystemTime {
        time_of(self.time)
    }

    /// Whether the sender's types are others than the handler's, so that the event came as JSON.
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
