//! Events that a child sends, on open topics that the bridge offers and keeps.

use callgate_client::dynamic::{Topic, topic_json};
use callgate_client::{Code, Error, Result, TopicOptions, TopicState};

use super::cache::{Cache, Found, Full};
use super::failures::Told;
use super::inbox::Done;
use super::outbox::Outbox;
use super::shared::Shared;
use super::types::anything;
use crate::frame::Publish;

/// The most topics that are kept open.
const TOPICS: usize = 64;
/// The most events that wait for topics to be offered, and the most bytes of them.
const EVENTS: usize = 1024;
const WAITING: usize = 8 << 20;

/// The topics on which one life of a child sends.
pub(super) struct Topics {
    open: Cache<Topic, Waiting>,
    /// The number of waiting events, and their bytes.
    waiting: (usize, usize),
}

/// An event that waits until its topic is offered.
struct Waiting {
    id: Option<Box<str>>,
    /// The text of a JSON array.
    event: String,
}

impl Topics {
    pub(super) fn new() -> Topics {
        Topics {
            open: Cache::new(TOPICS),
            waiting: (0, 0),
        }
    }

    /// Sends an event; the caller has checked that the plugin may. Does not wait: listeners that read too slowly lose events.
    pub(super) fn publish(&mut self, frame: &Publish<'_>, (shared, out): (&Shared, &mut Outbox)) {
        let (topic, id) = (&*frame.topic, frame.id.as_deref());
        let payload = frame.payload.get();
        let event = match frame.version {
            None => format!("[{payload}]"),
            Some(version) => format!("[{payload},{}]", version.get()),
        };
        let id = id.map(Box::from);
        self.go(topic, Waiting { id, event }, (shared, out));
    }

    /// Sends an event, or queues it until its topic is offered.
    fn go(&mut self, name: &str, event: Waiting, (shared, out): (&Shared, &mut Outbox)) {
        let (events, bytes) = self.waiting;
        let has_room = events < EVENTS && bytes + event.event.len() <= WAITING;
        let topic = match self.open.find(name) {
            Found::Open(topic) => topic,
            Found::Opening(waiting) if has_room => {
                self.waiting = (events + 1, bytes + event.event.len());
                return waiting.push(event);
            }
            Found::Absent if has_room => return self.offer(name, event, (shared, out)),
            _ => {
                let text = "too many events wait for topics that are being offered";
                let told = Told::new(Code::Overloaded.as_str(), text);
                return out.refuse_event((name, event.id.as_deref()), &told, shared);
            }
        };
        if let Err(error) = send(topic, &event, (shared, out)) {
            let told = Told::of(&error);
            out.refuse_event((name, event.id.as_deref()), &told, shared);
            self.look_at(name, shared);
        }
    }

    /// Queues an event and has the worker offer its topic.
    fn offer(&mut self, name: &str, event: Waiting, (shared, out): (&Shared, &mut Outbox)) {
        let (events, bytes) = self.waiting;
        let length = event.event.len();
        match self.open.opening(name, event) {
            Ok(gone) => {
                self.waiting = (events + 1, bytes + length);
                if let Some(gone) = gone {
                    shared.session.drop_later(gone);
                }
            }
            Err(Full(event)) => {
                let text = format!("{TOPICS} topics are being offered, as many as may be");
                let told = Told::new(Code::Overloaded.as_str(), text);
                return out.refuse_event((name, event.id.as_deref()), &told, shared);
            }
        }
        let (inbox, name) = (shared.inbox.clone(), Box::<str>::from(name));
        shared.session.later(move |opened| {
            let options = TopicOptions::new().open().drop_oldest();
            let outcome = topic_json(&opened.plugin, &name, &anything(), &options);
            inbox.done(Done::Topic { name, outcome });
        });
    }

    /// Takes a topic that the worker has offered and sends the events that waited for it; or answers them with the worker's error.
    pub(super) fn offered(
        &mut self,
        name: &str,
        outcome: Result<Topic>,
        (shared, out): (&Shared, &mut Outbox),
    ) {
        let (waiting, failed) = match outcome {
            Ok(topic) => (self.open.opened(name, topic), None),
            Err(error) => (self.open.remove(name).1, Some(Told::of(&error))),
        };
        for event in waiting {
            let (events, bytes) = self.waiting;
            self.waiting = (events - 1, bytes - event.event.len());
            match &failed {
                None => self.go(name, event, (shared, out)),
                Some(told) => out.refuse_event((name, event.id.as_deref()), told, shared),
            }
        }
    }

    /// Drops the topic if it has ended, because the broker no longer lets the plugin send on it. The next event offers it again.
    fn look_at(&mut self, name: &str, shared: &Shared) {
        if let Found::Open(topic) = self.open.find(name)
            && matches!(topic.state(), TopicState::Ended(_))
            && let (Some(ended), _) = self.open.remove(name)
        {
            shared.session.drop_later(ended);
        }
    }
}

fn send(
    topic: &Topic,
    event: &Waiting,
    (shared, out): (&Shared, &mut Outbox),
) -> Result<(), Error> {
    topic.send(event.event.as_bytes())?;
    shared.counts.published.add(1);
    if let Some(id) = &event.id {
        let event = shared.bus.events.next_text();
        out.ack(id, Ok(Some(event.as_str())));
    }
    Ok(())
}
