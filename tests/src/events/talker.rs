//! The role `talker NAME thread|pool|group`: it sends and hears on any topics, as the lines of its input say.
//!
//! | line | what it does |
//! |---|---|
//! | `offer TOPIC owned\|open CAPACITY HISTORY TYPE` | sends on a topic from now on |
//! | `send TOPIC COUNT` | sends its next events; the value of each is its number. Answers with how many it has sent in all |
//! | `stream TOPIC`, `quiet TOPIC` | sends with short pauses until told to stop; then answers as `send` does |
//! | `flush TOPIC` | waits until every listener has handled all events |
//! | `listeners TOPIC` | answers how many listeners there are |
//! | `end TOPIC` | stops sending on the topic for good |
//! | `hear TOPIC handler\|pull TYPE` | hears a topic, or all topics under a prefix, until `deaf TOPIC` |
//! | `failed TOPIC` | answers for how many events a handler has failed |
//! | `heard SENDER TOPIC` | answers what it has heard of a sender on a topic, as `notes.rs` writes it |
//! | `warnings` | answers with the warnings of its client |
//!
//! All other lines are answered with `OK` or an error's code. Types are `f32`, `f64`, `u32`, `u64` and `text`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use callgate_client::{
    Arguments, Code, EventContext, Events, Group, Plugin, Received, Result, Subscription, Topic,
    TopicOptions,
};

use super::answer;
use super::notes::{Notes, Value};
use crate::{PATIENCE, suite, warned};

/// How long a pulling thread waits before it checks whether it is to end.
const A_WHILE: Duration = Duration::from_millis(50);

/// Events of one parameter.
trait Speaks: Send + Sync {
    fn say(&self, number: u64) -> Result<()>;
    fn flush(&self) -> Result<()>;
    fn listeners(&self) -> usize;
}

impl<V: Value> Speaks for Topic<(V,)>
where
    (V,): Arguments,
{
    fn say(&self, number: u64) -> Result<()> {
        self.send(&(V::of(number),))
    }

    fn flush(&self) -> Result<()> {
        Topic::flush(self, PATIENCE / 2)
    }

    fn listeners(&self) -> usize {
        self.subscription_count()
    }
}

/// A topic on which it sends.
struct Offered {
    topic: Box<dyn Speaks>,
    /// The number of the next event, and the error of the last send that failed.
    next: Mutex<(u64, Option<Code>)>,
    streams: AtomicBool,
}

impl Offered {
    fn send(&self, count: u64) -> String {
        for _ in 0..count {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            match self.topic.say(next.0) {
                Ok(()) => next.0 += 1,
                Err(error) => next.1 = Some(error.code()),
            }
        }
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.1.map_or(next.0.to_string(), |code| code.to_string())
    }

    fn stream(self: &Arc<Offered>) {
        self.streams.store(true, Ordering::Relaxed);
        let own = self.clone();
        thread::spawn(move || {
            while own.streams.load(Ordering::Relaxed) {
                own.send(1);
                thread::sleep(Duration::from_micros(100));
            }
        });
    }
}

/// A subscription, which ends when this is dropped.
enum Heard {
    Handler(Subscription),
    Pull(Arc<AtomicBool>),
}

impl Drop for Heard {
    fn drop(&mut self) {
        if let Heard::Pull(is_over) = self {
            is_over.store(true, Ordering::Relaxed);
        }
    }
}

struct Talker {
    plugin: Plugin,
    topics: HashMap<String, Arc<Offered>>,
    heard: HashMap<String, Heard>,
    notes: Notes,
}

pub(super) fn run(name: &str, mode: &str) -> Result<()> {
    warned::collect_here();
    let mut builder = Plugin::builder(name).dispatch(suite::dispatch(mode));
    let mut _neighbour = None;
    if mode == "group" {
        let group = Group::new()?;
        let neighbour = Plugin::builder(&format!("{name}.Neighbour")).group(&group);
        _neighbour = Some(neighbour.connect()?);
        builder = builder.group(&group);
    }
    let mut talker = Talker {
        plugin: builder.connect()?,
        topics: HashMap::new(),
        heard: HashMap::new(),
        notes: Notes::default(),
    };
    answer(|words| talker.obey(words).unwrap_or_else(|code| code.to_string()));
    Ok(())
}

impl Talker {
    fn obey(&mut self, words: &[&str]) -> std::result::Result<String, Code> {
        let done = match *words {
            ["offer", topic, how, capacity, history, kind] => {
                let options = options(how, capacity, history);
                self.offer(topic, options, kind)
            }
            ["hear", topic, how, kind] => self.hear(topic, how, kind),
            ["flush", topic] => {
                let flushed = self.topic(topic).topic.flush();
                return Ok(flushed.map_or_else(|error| error.to_string(), |()| "OK".to_owned()));
            }
            ["end", topic] => {
                self.topics.remove(topic);
                Ok(())
            }
            ["deaf", topic] => {
                self.heard.remove(topic);
                Ok(())
            }
            ["stream", topic] => {
                self.topic(topic).stream();
                Ok(())
            }
            ["quiet", topic] => {
                self.topic(topic).streams.store(false, Ordering::Relaxed);
                return Ok(self.topic(topic).send(0));
            }
            ["send", topic, count] => {
                return Ok(self.topic(topic).send(count.parse().expect("a number")));
            }
            ["listeners", topic] => return Ok(self.topic(topic).topic.listeners().to_string()),
            ["warnings"] => return Ok(warned::seen_here().join("; ")),
            ["heard", sender, topic] => return Ok(self.notes.line(sender, topic)),
            ["failed", topic] => match self.heard.get(topic) {
                Some(Heard::Handler(subscription)) => return Ok(subscription.failed().to_string()),
                _ => return Ok(self.notes.line("", "")),
            },
            _ => panic!("{words:?}"),
        };
        done.map(|()| "OK".to_owned()).map_err(|error| error.code())
    }

    fn topic(&self, name: &str) -> &Arc<Offered> {
        self.topics.get(name).expect("it is offered")
    }

    fn offer(&mut self, name: &str, options: TopicOptions, kind: &str) -> Result<()> {
        let plugin = &self.plugin;
        let topic: Box<dyn Speaks> = match kind {
            "f32" => Box::new(plugin.topic_with::<(f32,)>(name, options)?),
            "u32" => Box::new(plugin.topic_with::<(u32,)>(name, options)?),
            "u64" => Box::new(plugin.topic_with::<(u64,)>(name, options)?),
            "f64" => Box::new(plugin.topic_with::<(f64,)>(name, options)?),
            _ => Box::new(plugin.topic_with::<(String,)>(name, options)?),
        };
        let offered = Offered {
            topic,
            next: Mutex::default(),
            streams: AtomicBool::default(),
        };
        self.topics.insert(name.to_owned(), Arc::new(offered));
        Ok(())
    }

    fn hear(&mut self, name: &str, how: &str, kind: &str) -> Result<()> {
        let heard = match (how, kind) {
            ("handler", _) => Heard::Handler(self.by_handler(name, kind)?),
            (_, "f32") => self.by_thread::<f32>(name)?,
            (_, "u32") => self.by_thread::<u32>(name)?,
            (_, "u64") => self.by_thread::<u64>(name)?,
            (_, "f64") => self.by_thread::<f64>(name)?,
            _ => self.by_thread::<String>(name)?,
        };
        self.heard.insert(name.to_owned(), heard);
        Ok(())
    }

    fn by_handler(&self, name: &str, kind: &str) -> Result<Subscription> {
        let (notes, told) = (self.notes.clone(), self.notes.clone());
        let builder = self.plugin.subscription(name);
        let builder = builder.on_notice(move |notice| told.notice(notice));
        macro_rules! by {
            ($type:ty) => {
                builder.subscribe(move |event: EventContext<'_>, value: $type| {
                    let of = (event.sender().name(), event.topic());
                    notes.event(of, (event.number(), event.is_converted()), &value);
                })
            };
        }
        match kind {
            "f32" => by!(f32),
            "u32" => by!(u32),
            "u64" => by!(u64),
            "f64" => by!(f64),
            _ => by!(String),
        }
    }

    fn by_thread<V: Value + 'static>(&self, name: &str) -> Result<Heard>
    where
        (V,): Arguments,
    {
        let mut events: Events<(V,)> = self.plugin.events(name)?;
        let (notes, is_over) = (self.notes.clone(), Arc::<AtomicBool>::default());
        let heard = Heard::Pull(is_over.clone());
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                match events.next(A_WHILE) {
                    Ok(Some(Received::Event(event))) => {
                        let of = (event.sender().name(), event.topic());
                        let how = (event.number(), event.is_converted());
                        notes.event(of, how, &event.values.0);
                    }
                    Ok(Some(Received::Notice(notice))) => notes.notice(&notice),
                    Ok(None) => {}
                    Err(error) if error.code() == Code::Closed => return,
                    Err(error) => notes.unreadable(error.code().as_str()),
                }
            }
        });
        Ok(heard)
    }
}

fn options(how: &str, capacity: &str, history: &str) -> TopicOptions {
    let number = |text: &str| text.parse().expect("a number");
    let options = TopicOptions::new().capacity(number(capacity));
    let options = options.history(number(history) as u32);
    match how {
        "open" => options.open(),
        _ => options,
    }
}
