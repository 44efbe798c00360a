//! What one plugin has heard, in short notation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use callgate_client::EventNotice;

/// The value of the event with some number.
pub(super) trait Value {
    /// The value of the event with this number.
    fn of(number: u64) -> Self;

    /// Whether this is the value of the event with that number.
    fn is(&self, number: u64) -> bool;
}

macro_rules! whole_numbers {
    ($($type:ty),*) => {
        $(impl Value for $type {
            fn of(number: u64) -> $type {
                number as $type
            }

            fn is(&self, number: u64) -> bool {
                u64::from(*self) == number
            }
        })*
    };
}

whole_numbers!(u32, u64);

/// Every tenth value is not a number (NaN), which JSON cannot express.
impl Value for f64 {
    fn of(number: u64) -> f64 {
        match number % 10 {
            9 => f64::NAN,
            _ => number as f64,
        }
    }

    fn is(&self, number: u64) -> bool {
        self.total_cmp(&f64::of(number)).is_eq()
    }
}

/// Reads what is sent as `f64` without loss: the numbers stay small enough for an `f32`.
impl Value for f32 {
    fn of(number: u64) -> f32 {
        f64::of(number) as f32
    }

    fn is(&self, number: u64) -> bool {
        f64::from(*self).is(number)
    }
}

impl Value for String {
    fn of(number: u64) -> String {
        number.to_string()
    }

    fn is(&self, number: u64) -> bool {
        *self == number.to_string()
    }
}

/// What was heard of each sender on each topic: `here, 0..5, lost 2, 7..9 as JSON, gone PROVIDER_GONE: …`. Events
/// with consecutive numbers are written as a run.
#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<All>>);

/// By senders and topics.
type All = BTreeMap<(String, String), Vec<Note>>;

enum Note {
    Run {
        from: u64,
        to: u64,
        is_converted: bool,
    },
    Said(String),
}

impl Notes {
    /// Notes an event of a sender on a topic: its number, whether it was converted, and its value.
    pub(super) fn event(
        &self,
        (sender, topic): (&str, &str),
        (number, is_converted): (u64, bool),
        value: &impl Value,
    ) {
        self.with((sender, topic), |notes| {
            if !value.is(number) {
                notes.push(Note::Said(format!("another value as {number}")));
            }
            match notes.last_mut() {
                Some(Note::Run {
                    to,
                    is_converted: was,
                    ..
                }) if *to == number && *was == is_converted => *to += 1,
                _ => notes.push(Note::Run {
                    from: number,
                    to: number + 1,
                    is_converted,
                }),
            }
        });
    }

    /// Notes an event whose values cannot be read.
    pub(super) fn unreadable(&self, why: &str) {
        self.with(("", ""), |notes| {
            notes.push(Note::Said(why.to_owned()));
        });
    }

    pub(super) fn notice(&self, notice: &EventNotice) {
        let (topic, sender, text) = match notice {
            EventNotice::Here { topic, sender } => (topic, sender, "here".to_owned()),
            EventNotice::Lost {
                topic,
                sender,
                count,
            } => (topic, sender, format!("lost {count}")),
            EventNotice::Gone { topic, sender, why } => (
                topic,
                sender,
                format!("gone {}: {}", why.code(), why.message()),
            ),
            EventNotice::Unfit { topic, sender, why } => {
                (topic, sender, format!("unfit {}", why.code()))
            }
            EventNotice::Unwritable {
                topic,
                sender,
                number,
                ..
            } => (topic, sender, format!("unwritable {number}")),
            EventNotice::Failed { topic, sender, why } => {
                (topic, sender, format!("failed {}", why.code()))
            }
            other => return self.unreadable(&format!("{other:?}")),
        };
        self.with((sender.name(), topic), |notes| {
            notes.push(Note::Said(text));
        });
    }

    fn with(&self, (sender, topic): (&str, &str), note: impl FnOnce(&mut Vec<Note>)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        note(
            all.entry((sender.to_owned(), topic.to_owned()))
                .or_default(),
        );
    }

    /// Everything about a sender on a topic.
    pub(super) fn line(&self, sender: &str, topic: &str) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = all.get(&(sender.to_owned(), topic.to_owned()));
        let words = notes.into_iter().flatten().map(|note| match note {
            Note::Said(text) => text.clone(),
            Note::Run {
                from,
                to,
                is_converted: false,
            } => format!("{from}..{to}"),
            Note::Run { from, to, .. } => format!("{from}..{to} as JSON"),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}
