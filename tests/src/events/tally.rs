//! What one listener has heard of each process that sends.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use callgate_client::{Code, EventNotice};

/// What a listener has heard of all senders, by their processes.
#[derive(Debug, Default)]
pub struct Tally {
    senders: BTreeMap<u32, Heard>,
    /// The first thing that went wrong.
    wrong: Option<String>,
    /// The first sender that was reported as gone because its broker had ended.
    cut: Option<String>,
}

/// What a listener has heard of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The number of the first event that it took, or that was reported lost.
    pub first: u64,
    /// The number that it expects next.
    pub next: u64,
    /// Events that it took.
    pub received: u64,
    /// Events that were reported lost.
    pub lost: u64,
    /// How often the sender was reported as there.
    pub here: u64,
    /// How often the sender was reported as gone.
    pub gone: u64,
    /// Events that were reported lost since the last one that it took.
    pending: u64,
    has_begun: bool,
}

impl Tally {
    /// Counts an event, whose number must follow those that were taken or lost before.
    pub fn event(&mut self, process: u32, number: u64) {
        let heard = self.senders.entry(process).or_default();
        if !heard.has_begun {
            heard.has_begun = true;
            heard.first = number.saturating_sub(heard.pending);
            heard.next = heard.first;
        }
        let expected = heard.next + heard.pending;
        if number != expected {
            let text =
                format!("{process}: number {number} where {expected} was to come: {heard:?}");
            self.wrong.get_or_insert(text);
        }
        heard.pending = 0;
        heard.received += 1;
        heard.next = number + 1;
    }

    /// Counts a notice.
    pub fn notice(&mut self, notice: &EventNotice) {
        match notice {
            EventNotice::Here { sender, .. } => self.of(sender.pid()).here += 1,
            EventNotice::Lost { sender, count, .. } => {
                let heard = self.of(sender.pid());
                heard.lost += count;
                heard.pending += count;
            }
            EventNotice::Gone { sender, why, .. } => {
                self.of(sender.pid()).gone += 1;
                match why.code() {
                    Code::ProviderGone | Code::NotReady => {}
                    Code::BrokerGone => {
                        self.cut.get_or_insert(format!("gone: {why}"));
                    }
                    _ => {
                        self.wrong.get_or_insert(format!("gone: {why}"));
                    }
                }
            }
            other => {
                self.wrong.get_or_insert(format!("{other:?}"));
            }
        }
    }

    fn of(&mut self, process: u32) -> &mut Heard {
        self.senders.entry(process).or_default()
    }
}

/// What was heard of one process, as a line, or what went wrong.
impl Tally {
    /// The line about what was heard of a process by a plugin that has lost so many brokers; [`Heard::read`] reads
    /// it.
    ///
    /// A plugin has two memberships at most. A third one closes the oldest. Only then may a sender be gone that was
    /// heard over the oldest membership alone.
    #[must_use]
    pub fn line(&self, process: u32, brokers_lost: u32) -> String {
        let cut = self.cut.as_ref().filter(|_| brokers_lost < 2);
        match self.wrong.as_ref().or(cut) {
            Some(wrong) => wrong.clone(),
            None => self
                .senders
                .get(&process)
                .copied()
                .unwrap_or_default()
                .to_string(),
        }
    }
}

impl Display for Heard {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Heard {
            first,
            next,
            received,
            lost,
            here,
            gone,
            ..
        } = self;
        write!(f, "heard {first} {next} {received} {lost} {here} {gone}")
    }
}

impl Heard {
    /// Reads such a line.
    ///
    /// # Panics
    ///
    /// If the line says that something went wrong.
    #[must_use]
    pub fn read(line: &str) -> Heard {
        let numbers = line
            .strip_prefix("heard ")
            .unwrap_or_else(|| panic!("{line}"));
        let numbers: Vec<u64> = numbers
            .split(' ')
            .map(|word| word.parse().expect("a number"))
            .collect();
        let [first, next, received, lost, here, gone] = numbers[..] else {
            panic!("{line}");
        };
        Heard {
            first,
            next,
            received,
            lost,
            here,
            gone,
            ..Heard::default()
        }
    }
}
