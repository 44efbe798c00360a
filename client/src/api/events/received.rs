//! Events as values, for programs that take them one by one.

use std::sync::Arc;
use std::time::SystemTime;

use crate::events::handlers::{EventContext, Sending, time_of};
use crate::events::notice::EventNotice;
use crate::link::peer::Caller;

/// What [`Events::next`](crate::Events::next) and its siblings return.
#[derive(Clone, Debug)]
pub enum Received<A> {
    /// An event.
    Event(Event<A>),
    /// A notice, such as a loss of events; its place among the events is kept.
    Notice(EventNotice),
}

/// What [`Events::drain_with`](crate::Events::drain_with) passes to its function.
#[derive(Clone, Debug)]
pub enum Drained<'a, A> {
    /// An event: its sender, number and time, and the values that were sent, as a tuple of the parameters.
    Event(&'a EventContext<'a>, A),
    /// A notice, such as a loss of events; its place among the events is kept.
    Notice(EventNotice),
}

impl<A> From<Drained<'_, A>> for Received<A> {
    #[inline]
    fn from(drained: Drained<'_, A>) -> Received<A> {
        match drained {
            Drained::Event(context, values) => Received::Event(Event::new(context, values)),
            Drained::Notice(notice) => Received::Notice(notice),
        }
    }
}

impl<A> Received<A> {
    /// The event; `None` if this is a notice.
    pub fn event(self) -> Option<Event<A>> {
        match self {
            Received::Event(event) => Some(event),
            Received::Notice(_) => None,
        }
    }
}

/// An event, with values that the program may keep.
#[derive(Clone, Debug)]
pub struct Event<A> {
    /// The values that were sent: a tuple of the parameters.
    pub values: A,
    about: Arc<Sending>,
    number: u64,
    time: u64,
    is_converted: bool,
}

impl<A> Event<A> {
    pub(crate) fn new(context: &EventContext<'_>, values: A) -> Event<A> {
        Event {
            values,
            about: context.about.clone(),
            number: context.number,
            time: context.time,
            is_converted: context.is_converted,
        }
    }

    /// The topic on which it was sent, also if the subscription is to all topics under a prefix.
    pub fn topic(&self) -> &str {
        &self.about.topic
    }

    /// The plugin that sent it.
    pub fn sender(&self) -> &Caller {
        &self.about.sender
    }

    /// The event's number on its sender's topic; see [`EventContext::number`].
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was sent, to within a tick of the kernel (some milliseconds).
    pub fn time(&self) -> SystemTime {
        time_of(self.time)
    }

    /// Whether the event came as JSON and was converted, because the sender's types differ from those that were
    /// subscribed.
    pub fn is_converted(&self) -> bool {
        self.is_converted
    }
}
