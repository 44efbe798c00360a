//! Events as a program takes them one by one.

use std::sync::Arc;
use std::time::SystemTime;

use crate::events::handlers::{EventContext, Sending, time_of};
use crate::events::notice::EventNotice;
use crate::link::peer::Caller;

/// What [`Events`](crate::Events) give.
#[derive(Clone, Debug)]
pub enum Received<A> {
    /// An event.
    Event(Event<A>),
    /// What else is to be told, in the order of the events.
    Notice(EventNotice),
}

/// What [`Events::drain_with`](crate::Events::drain_with) gives.
#[derive(Clone, Debug)]
pub enum Drained<'a, A> {
    /// An event: what is known of it, and the values that were sent, a tuple of the parameters.
    Event(&'a EventContext<'a>, A),
    /// What else is to be told, in the order of the events.
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
    /// The event, if it is one.
    pub fn event(self) -> Option<Event<A>> {
        match self {
            Received::Event(event) => Some(event),
            Received::Notice(_) => None,
        }
    }
}

/// An event that was taken.
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

    /// The topic; also where the subscription is to all under a prefix.
    pub fn topic(&self) -> &str {
        &self.about.topic
    }

    /// The plugin that has sent it.
    pub fn sender(&self) -> &Caller {
        &self.about.sender
    }

    /// Its number; see [`EventContext::number`].
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was sent, to within a tick of the kernel (some milliseconds).
    pub fn time(&self) -> SystemTime {
        time_of(self.time)
    }

    /// Whether the sender's types are others than those that are wanted, so that the event came as JSON.
    pub fn is_converted(&self) -> bool {
        self.is_converted
    }
}
