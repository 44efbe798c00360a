//! The role `numbers-sender NAME lossless|patient|oldest CAPACITY LENGTH`: it sends events with so many additional
//! bytes.
//!
//! `send COUNT` sends events. `paced COUNT EVERY MILLIS` does too, and waits for the listeners after every `EVERY`
//! events, at most so long. `stream MICROS` makes it send all the time with such pauses, until `stop`. `mark` sends
//! one event. All of these answer with how many events it has sent in all; `send` and `paced` also with how many
//! milliseconds those sends took that took more than ten. `flush` answers `OK` or an error's code, `listeners` the
//! number of listeners, and `warnings` the warnings of its client.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callgate_client::{Plugin, Result, Topic, TopicOptions};

use super::{Numbered, TOPIC, answer, number};
use crate::{PATIENCE, warned};

/// A send that takes longer has waited for a listener.
const LONG: Duration = Duration::from_millis(10);

struct Sender {
    topic: Topic<Numbered>,
    bytes: Vec<u8>,
    /// How many were sent. The lock is held during a send, so that events are sent in the order of their numbers.
    sent: Mutex<u64>,
    /// How long the slow sends took, in nanoseconds.
    waited: AtomicU64,
    is_over: AtomicBool,
}

pub(super) fn run(name: &str, more: &[String]) -> Result<()> {
    let [loss, capacity, length] = more else {
        panic!("usage: callgate-peer numbers-sender NAME lossless|patient|oldest CAPACITY LENGTH");
    };
    warned::collect_here();
    let plugin = Plugin::connect(name)?;
    let mut options = TopicOptions::new().capacity(capacity.parse().expect("a number"));
    options = match loss.as_str() {
        "oldest" => options.drop_oldest(),
        "patient" => options.unlimited_budget().send_timeout(PATIENCE),
        _ => options,
    };
    let sender = Arc::new(Sender {
        topic: plugin.topic_with(TOPIC, options)?,
        bytes: vec![7; length.parse().expect("a number")],
        sent: Mutex::default(),
        waited: AtomicU64::default(),
        is_over: AtomicBool::default(),
    });
    let mut stream = None;
    answer(|words| sender.obey(words, &mut stream));
    Ok(())
}

impl Sender {
    fn obey(self: &Arc<Sender>, words: &[&str], stream: &mut Option<JoinHandle<()>>) -> String {
        match words[0] {
            "send" => self.send(number(words, 1), (u64::MAX, 0)),
            "paced" => self.send(number(words, 1), (number(words, 2), number(words, 3))),
            "mark" => self.send(1, (u64::MAX, 0)),
            "stream" => {
                let (sender, pause) = (self.clone(), Duration::from_micros(number(words, 1)));
                *stream = Some(thread::spawn(move || sender.stream(pause)));
            }
            "stop" => {
                self.is_over.store(true, Ordering::Relaxed);
                stream
                    .take()
                    .into_iter()
                    .for_each(|stream| stream.join().expect("no panic"));
                self.is_over.store(false, Ordering::Relaxed);
            }
            "flush" => {
                let flushed = self.topic.flush(PATIENCE);
                return flushed.map_or_else(|error| error.to_string(), |()| "OK".to_owned());
            }
            "listeners" => return self.topic.subscription_count().to_string(),
            "warnings" => return warned::seen_here().join("; "),
            other => panic!("{other}"),
        }
        let sent = *self.sent.lock().expect("no panic");
        format!("{sent} {}", self.waited.load(Ordering::Relaxed) / 1_000_000)
    }

    fn send(&self, count: u64, (every, millis): (u64, u64)) {
        for n in 1..=count {
            self.one();
            if n % every == 0 {
                // Listeners that stand still are not waited for any longer.
                let _ = self.topic.flush(Duration::from_millis(millis));
            }
        }
    }

    fn one(&self) {
        let mut sent = self.sent.lock().expect("no panic");
        let begun = Instant::now();
        let event = (std::process::id(), *sent, self.bytes.clone());
        self.topic.send(&event).expect("it is sent");
        *sent += 1;
        let took = begun.elapsed();
        if took > LONG {
            self.waited
                .fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    fn stream(&self, pause: Duration) {
        while !self.is_over.load(Ordering::Relaxed) {
            self.one();
            match pause.is_zero() {
                true => thread::yield_now(),
                false => thread::sleep(pause),
            }
        }
    }
}
