//! What a caller has seen, and the time for which it ran.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::Error;
use serde_json::{Value, json};

/// A long timeout: longer than any stop of a process.
pub(super) const LONG: Duration = Duration::from_secs(10);

/// A long timeout where there is no broker and no process is stopped any more. Then only a deadline ends some waits:
/// handlers of cancelled chains that wait for each other, which a broker would report as a deadlock; and a chain that
/// waits for memory which its own outer calls hold, where a broker would provide more.
pub(super) const WITHOUT_BROKER: Duration = Duration::from_secs(2);

/// A clock that stands still while the process is stopped or gets no processor for long.
///
/// A thread reads the time every few milliseconds. A longer pause between two reads counts only as much as the
/// longest usual one. So a call that took longer by this clock really waited that long, while its process could
/// notice the deadline.
/// process was there to notice the deadline.
#[derive(Debug, Default)]
pub(super) struct Awake(AtomicU64);

const LOOK: Duration = Duration::from_millis(3);
const MOST: Duration = Duration::from_millis(15);

impl Awake {
    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn run(&self) {
        let mut last = Instant::now();
        loop {
            thread::sleep(LOOK);
            let now = Instant::now();
            let passed = (now - last).min(MOST).as_nanos() as u64;
            self.0.fetch_add(passed, Ordering::SeqCst);
            last = now;
        }
    }
}

/// What a caller process has seen, over all its threads.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) awake: Awake,
    calls: AtomicU64,
    codes: Mutex<BTreeMap<String, u64>>,
    /// Right answers for each gate of each provider.
    pub(super) doors: Vec<[AtomicU64; 3]>,
    /// The longest delay past a deadline, and of which call.
    latest: Mutex<(Duration, String)>,
    lacks_broker: AtomicBool,
}

impl Tally {
    pub(super) fn new(doors: usize) -> Arc<Tally> {
        let tally = Arc::new(Tally {
            doors: (0..doors).map(|_| Default::default()).collect(),
            ..Tally::default()
        });
        let theirs = tally.clone();
        thread::spawn(move || theirs.awake.run());
        tally
    }

    /// From now on, there may be no broker.
    pub(super) fn lose_broker(&self) {
        self.lacks_broker.store(true, Ordering::SeqCst);
    }

    pub(super) fn may_lack_broker(&self) -> bool {
        self.lacks_broker.load(Ordering::SeqCst)
    }

    pub(super) fn late(&self, late: Duration, what: &str) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if late > latest.0 {
            *latest = (late, what.to_owned());
        }
    }

    pub(super) fn count(&self, error: Option<&Error>, timeout: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Some(error) = error else { return };
        let long = if timeout >= WITHOUT_BROKER {
            " (long)"
        } else {
            ""
        };
        let run = if error.may_have_run() {
            ""
        } else {
            " (not run)"
        };
        let mut text = format!("{}{long}{run}", error.code());
        if let Some(inner) = error.context().map(|context| &context["handler_code"]) {
            text = format!("{text} {}", inner.as_str().unwrap_or("?"));
        }
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        *codes.entry(text).or_default() += 1;
    }

    /// All counts as a line.
    pub(super) fn line(&self) -> String {
        let doors = self.doors.iter().flatten();
        let doors: Vec<u64> = doors.map(|count| count.load(Ordering::Relaxed)).collect();
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        json!({
            "calls": self.calls.load(Ordering::Relaxed),
            "codes": *codes,
            "doors": doors,
            "late": latest.0.as_micros() as u64,
            "latest": latest.1,
        })
        .to_string()
    }
}

/// The counts that callers have printed, as the test reads them.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Steps of calls that have ended, with any outcome.
    pub calls: u64,
    /// How often each error came.
    pub codes: BTreeMap<String, u64>,
    /// Right answers for each gate of each provider.
    pub doors: Vec<u64>,
    /// The longest delay of a call past its deadline.
    pub late: Duration,
    /// The call with that delay.
    pub latest: String,
}

impl Counts {
    /// Reads a line of a caller; `None` if it has other contents.
    pub fn read(line: &str) -> Option<Counts> {
        let value: Value = serde_json::from_str(line).ok()?;
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let codes = value["codes"].as_object()?.iter();
        Some(Counts {
            calls: number(&value["calls"]),
            codes: codes.map(|(code, n)| (code.clone(), number(n))).collect(),
            doors: value["doors"].as_array()?.iter().map(number).collect(),
            late: Duration::from_micros(number(&value["late"])),
            latest: value["latest"].as_str()?.to_owned(),
        })
    }

    /// Adds what another caller has counted.
    pub fn add(&mut self, other: &Counts) {
        self.calls += other.calls;
        for (code, times) in &other.codes {
            *self.codes.entry(code.clone()).or_default() += times;
        }
        if other.late > self.late {
            (self.late, self.latest) = (other.late, other.latest.clone());
        }
    }
}
