//! Callgate: a topic, and one plugin for each listener.
//!
//! `callgate` is what each scenario is about: handlers, which the dispatcher runs; in batches and where listeners look all the time
//! a plugin that takes events itself (`drain_with`). The other of both is `callgate-drain` or `callgate-handler`, where each event is sent
//! by itself and in batches. `callgate-kept` keeps what it takes (`drain`). `callgate-json` has a handler whose types are others, so its events are JSON. `callgate-unheard` keeps a
//! history and has no listener: what sending takes where nobody is slow.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use callgate_client::{
    Drained, EventNotice, Events as Pulled, Plugin, Received, Subscription, Topic, TopicOptions,
    View, gate_type,
};

use super::tally::LAST;
use super::{BATCH, Bus, Events, Listener, Looking, Sender, Tally};
use crate::Result;
use crate::payload::{self, Small};
use crate::systems::Setup;
use crate::systems::plugins::{Payload64, connect, start_broker};

const TOPIC: &str = "Bench.Events";
/// The topic that says the end of events that nobody hears.
const END: &str = "Bench.End";
/// How many events are taken at once, by who takes them itself.
const MOST: usize = 256;

/// An event as listeners have it whose types are others.
#[gate_type]
struct Signed {
    words: [i64; 8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Handler,
    Drain,
    Keep,
    Json,
    /// Nobody does.
    Not,
}

/// Callgate, with such listeners.
pub(super) struct Callgate {
    name: &'static str,
    id: &'static str,
    how: How,
}

impl Callgate {
    pub(super) const ALL: [Callgate; 7] = [
        Callgate::new("callgate", "callgate-by-handler", How::Handler),
        Callgate::new("callgate", "callgate-by-drain", How::Drain),
        Callgate::new("callgate-drain", "callgate-drain", How::Drain),
        Callgate::new("callgate-handler", "callgate-handler", How::Handler),
        Callgate::new("callgate-kept", "callgate-kept", How::Keep),
        Callgate::new("callgate-json", "callgate-json", How::Json),
        Callgate::new("callgate-unheard", "callgate-unheard", How::Not),
    ];

    const fn new(name: &'static str, id: &'static str, how: How) -> Callgate {
        Callgate { name, id, how }
    }
}

impl Bus for Callgate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn id(&self) -> &'static str {
        self.id
    }

    fn takes_part(&self, events: Events) -> bool {
        let of_the_scenario = match events {
            Events::Batch | Events::Awake(_) => How::Drain,
            _ => How::Handler,
        };
        match self.name {
            "callgate" => self.how == of_the_scenario,
            "callgate-drain" => events == Events::Stream,
            "callgate-handler" | "callgate-kept" => events == Events::Batch,
            "callgate-unheard" => events == Events::Slow,
            _ => !events.gives_way() && !events.drops_the_oldest(),
        }
    }

    fn host(&self, setup: &Setup, _: Events) -> Result<Box<dyn Any>> {
        start_broker(setup)
    }

    fn listener(
        &self,
        setup: &Setup,
        events: Events,
        nth: usize,
        tally: &Arc<Tally>,
    ) -> Result<Box<dyn Listener>> {
        let plugin = connect(setup, &format!("Listener{nth}"))?;
        match self.how {
            How::Drain | How::Keep => Ok(Box::new(Taker {
                events: plugin.events(TOPIC)?,
                keeps: self.how == How::Keep,
                looking: Looking::new(events),
                _plugin: plugin,
            })),
            _ => Ok(Box::new(Hearer::new(plugin, tally, self.how)?)),
        }
    }

    fn sender(&self, setup: &Setup, events: Events, _: &mut dyn Any) -> Result<Box<dyn Sender>> {
        let plugin = connect(setup, "Sender")?;
        let options = match events.drops_the_oldest() {
            true => TopicOptions::new().drop_oldest(),
            false => TopicOptions::new(),
        };
        let (topic, end) = match self.how {
            How::Not => {
                let topic = plugin.topic_with(TOPIC, options.history(1))?;
                (topic, Some(plugin.topic(END)?))
            }
            _ => (plugin.topic_with(TOPIC, options)?, None),
        };
        if end.as_ref().unwrap_or(&topic).subscription_count() != events.listeners() {
            return Err("not every listener listens".into());
        }
        Ok(Box::new(Giver {
            topic,
            end,
            _plugin: plugin,
        }))
    }
}

struct Giver {
    topic: Topic<(Payload64,)>,
    /// Where the end is said, if not there.
    end: Option<Topic<(Payload64,)>>,
    _plugin: Plugin,
}

#[inline]
fn event(number: u64) -> (Payload64,) {
    (Payload64 {
        words: payload::request(number),
    },)
}

impl Sender for Giver {
    fn send(&mut self, numbers: Range<u64>) -> Result<()> {
        let topic = match &self.end {
            Some(end) if numbers.start == LAST => end,
            _ => &self.topic,
        };
        for number in numbers {
            topic.send(&event(number))?;
        }
        Ok(())
    }

    fn send_batches(&mut self, numbers: Range<u64>) -> Result<()> {
        for first in numbers.clone().step_by(BATCH) {
            let batch = first..numbers.end.min(first + BATCH as u64);
            self.topic.send_all(batch.map(event))?;
        }
        Ok(())
    }
}

/// The dispatcher's thread runs the handler; this only waits for it.
struct Hearer {
    ended: Receiver<()>,
    _subscription: Subscription,
    _plugin: Plugin,
}

impl Hearer {
    fn new(plugin: Plugin, tally: &Arc<Tally>, how: How) -> Result<Hearer> {
        let (end, ended) = channel();
        let (tally, told) = (tally.clone(), tally.clone());
        let topic = if how == How::Not { END } else { TOPIC };
        let subscription = plugin.subscription(topic).on_notice(move |notice| {
            if let EventNotice::Lost { count, .. } = notice {
                told.told(*count);
            }
        });
        let take = move |words: &Small| {
            if tally.take(words) {
                // The receiver lives as long as this process.
                let _ = end.send(());
            }
        };
        let subscription = match how {
            How::Json => subscription.subscribe(move |event: Signed| {
                take(&event.words.map(i64::cast_unsigned));
            })?,
            _ => subscription.subscribe(move |event: View<'_, Payload64>| {
                take(&event.words.map(|word| word.to_native()));
            })?,
        };
        Ok(Hearer {
            ended,
            _subscription: subscription,
            _plugin: plugin,
        })
    }
}

impl Listener for Hearer {
    fn listen(&mut self, _: &Tally) -> Result<()> {
        Ok(self.ended.recv()?)
    }
}

/// Takes the events itself.
struct Taker {
    events: Pulled<(Payload64,)>,
    keeps: bool,
    looking: Looking,
    _plugin: Plugin,
}

impl Taker {
    /// Takes what there is; how many events, and whether one of them was the last.
    fn take(&mut self, tally: &Tally) -> Result<(usize, bool)> {
        let mut is_over = false;
        let taken = self.events.drain_with(MOST, |drained| {
            if let Drained::Event(_, (event,)) = drained {
                is_over |= tally.take(&event.words);
            }
        })?;
        Ok((taken, is_over))
    }

    /// The same, where what was taken is kept first.
    fn take_kept(&mut self, tally: &Tally) -> Result<(usize, bool)> {
        let all = self.events.drain(MOST)?;
        let taken = all.len();
        let events = all.into_iter().filter_map(Received::event);
        let is_over = events.fold(false, |is_over, event| {
            tally.take(&event.values.0.words) | is_over
        });
        Ok((taken, is_over))
    }
}

impl Listener for Taker {
    fn listen(&mut self, tally: &Tally) -> Result<()> {
        loop {
            let (taken, is_over) = match self.keeps {
                true => self.take_kept(tally)?,
                false => self.take(tally)?,
            };
            if is_over {
                return Ok(());
            }
            if taken == 0 {
                self.looking.in_vain();
            }
        }
    }
}
