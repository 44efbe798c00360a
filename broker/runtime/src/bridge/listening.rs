//! The subscriptions of a child.
//!
//! The worker subscribes and unsubscribes, because that waits for the broker. The loop moves events from the queues into the child's pipe
//! while the pipe has room.

use std::collections::HashMap;
use std::sync::Arc;

use callgate_client::dynamic::{Encodings, subscribe};
use callgate_client::{Code, Result};
use parking_lot::Mutex;

use super::failures::Told;
use super::hearing::Hearing;
use super::inbox::Done;
use super::outbox::Outbox;
use super::queue::{Held, Queue};
use super::shared::Shared;
use super::types::anything;
use crate::frame::{Subscribe, Unsubscribe};
use crate::process::{Refused, Stdin};

/// The most subscriptions of one child.
const MOST: usize = 256;
/// The most tasks that may wait for the worker when the child subscribes.
const TASKS: usize = 2 * MOST;
/// Events are moved to the child's stdin while at most this many bytes are queued there.
const ROOM: usize = 64 << 10;
/// The most events that are moved before the loop turns to other plugins.
const BATCH: usize = 256;

/// The subscriptions of one life of a child.
pub(super) struct Listening {
    /// The subscriptions by topic or pattern.
    all: HashMap<Box<str>, Listener>,
    /// The bytes of events in all of their queues.
    held: Held,
    /// The position of the queue that is read first next time: the queues take turns.
    turn: usize,
    next: u64,
}

struct Listener {
    /// Its number among all subscriptions of this life, because the same topic may be subscribed to again.
    number: u64,
    hearing: Arc<Hearing>,
    /// The number of requests to subscribe that the worker has not answered yet.
    asked: usize,
    /// Whether the worker has subscribed.
    is_heard: bool,
}

impl Listening {
    pub(super) fn new() -> Listening {
        Listening {
            all: HashMap::new(),
            held: Held::default(),
            turn: 0,
            next: 0,
        }
    }

    /// Subscribes; the caller has checked that the plugin may. Subscribing again to a topic only changes the size and policy of its queue.
    pub(super) fn subscribe(
        &mut self,
        frame: &Subscribe<'_>,
        (shared, out): (&Shared, &mut Outbox),
    ) {
        let (topic, id) = (&*frame.topic, frame.id.as_deref());
        let size = frame.queue_size.unwrap_or(shared.limits.event_queue);
        let overflow = frame.overflow.unwrap_or(shared.limits.overflow);
        if shared.session.waiting() >= TASKS {
            let text = "too much is being subscribed and unsubscribed";
            let told = Told::new(Code::Overloaded.as_str(), text);
            return out.refuse_event((topic, id), &told, shared);
        }
        if let Some(known) = self.all.get(topic) {
            known.hearing.queue.lock().set(size, overflow);
        } else if self.all.len() >= MOST {
            let text = format!("a plugin has at most {MOST} subscriptions");
            let told = Told::new(Code::Overloaded.as_str(), text);
            return out.refuse_event((topic, id), &told, shared);
        } else {
            self.add(topic, Queue::new(&self.held, size, overflow), shared);
        }
        if let Some(known) = self.all.get_mut(topic) {
            known.subscribe(id, shared);
        }
    }

    fn add(&mut self, topic: &str, queue: Queue, shared: &Shared) {
        let hearing = Hearing {
            subscription: topic.to_owned(),
            queue: Mutex::new(queue),
            bus: shared.bus.clone(),
            inbox: shared.inbox.clone(),
            counts: shared.counts.clone(),
            tell: shared.tell.clone(),
        };
        let listener = Listener {
            number: self.next,
            hearing: Arc::new(hearing),
            asked: 0,
            is_heard: false,
        };
        self.next += 1;
        self.all.insert(topic.into(), listener);
    }

    /// Takes the worker's result for a request to subscribe, and answers the child.
    pub(super) fn subscribed(
        &mut self,
        (topic, number): (&str, u64),
        (id, outcome): (Option<&str>, Result<()>),
        (shared, out): (&Shared, &mut Outbox),
    ) {
        let known = self.all.get_mut(topic);
        if let Some(known) = known.filter(|known| known.number == number) {
            known.asked -= 1;
            known.is_heard |= outcome.is_ok();
            if known.asked == 0 && !known.is_heard {
                self.all.remove(topic);
            }
        }
        match (outcome, id) {
            (Ok(()), Some(id)) => out.ack(id, Ok(None)),
            (Ok(()), None) => {}
            (Err(error), id) => out.refuse_event((topic, id), &Told::of(&error), shared),
        }
    }

    /// Ends a subscription; the events in its queue are dropped.
    pub(super) fn unsubscribe(
        &mut self,
        frame: &Unsubscribe<'_>,
        (shared, out): (&Shared, &mut Outbox),
    ) {
        if self.all.remove(&*frame.topic).is_some() {
            let topic = Box::<str>::from(&*frame.topic);
            shared
                .session
                .later(move |opened| drop(opened.subscriptions.remove(&topic)));
        }
        if let Some(id) = &frame.id {
            out.ack(id, Ok(None));
        }
    }

    /// Moves events into the child's pipe while the pipe has room.
    pub(super) fn deliver(&mut self, stdin: &Stdin, shared: &Shared) {
        if self.all.is_empty() || !shared.inbox.takes_events() {
            return;
        }
        let queues: Vec<_> = self.all.values().map(|known| &*known.hearing).collect();
        let (mut at, mut left, mut empty) = (self.turn, BATCH, 0);
        while empty < queues.len() {
            if left == 0 || stdin.queued() > ROOM {
                shared.inbox.leaves_events();
                break;
            }
            match deliver_one(queues[at % queues.len()], stdin) {
                Moved::Event => {
                    shared.counts.delivered.add(1);
                    (left, empty) = (left - 1, 0);
                }
                Moved::Nothing => empty += 1,
                Moved::Full => {
                    shared.inbox.leaves_events();
                    break;
                }
            }
            at += 1;
        }
        self.turn = at % queues.len();
        if left == 0 {
            // The pipe may have room for more, so the loop comes back after it has served other plugins.
            shared.inbox.ring();
        }
    }
}

impl Listener {
    /// Has the worker subscribe, unless it has done so already.
    fn subscribe(&mut self, id: Option<&str>, shared: &Shared) {
        self.asked += 1;
        let (number, id) = (self.number, id.map(Box::from));
        let topic = Box::<str>::from(&*self.hearing.subscription);
        let (hearing, inbox) = (self.hearing.clone(), shared.inbox.clone());
        shared.session.later(move |opened| {
            let outcome = match opened.subscriptions.contains_key(&topic) {
                true => Ok(()),
                false => {
                    let noting = hearing.clone();
                    let builder = opened.plugin.subscription(&topic);
                    let builder = builder.on_notice(move |notice| noting.note(notice));
                    let types = (&anything(), Encodings::JSON);
                    let made = subscribe(builder, types, move |event, _, arguments| {
                        // The client has checked that the arguments are JSON.
                        let arguments = str::from_utf8(arguments).unwrap_or("[]");
                        hearing.hear(&event, arguments);
                        Ok(())
                    });
                    made.map(|made| drop(opened.subscriptions.insert(topic.clone(), made)))
                }
            };
            inbox.done(Done::Subscribed {
                topic,
                number,
                id,
                outcome,
            });
        });
    }
}

/// The result of moving one event from a queue to the child.
enum Moved {
    Event,
    Nothing,
    Full,
}

fn deliver_one(hearing: &Hearing, stdin: &Stdin) -> Moved {
    let line = hearing.queue.lock().pop();
    let Some(line) = line else {
        return Moved::Nothing;
    };
    match stdin.write(&line) {
        Ok(()) => Moved::Event,
        Err(Refused::Full) => {
            hearing.queue.lock().put_back(line);
            Moved::Full
        }
        Err(Refused::Gone) => Moved::Full,
    }
}
