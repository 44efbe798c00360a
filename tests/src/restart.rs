//! The events that a plugin is told about its brokers, and calls that restarts of the broker must not affect.

pub mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callgate_client::{BrokerEvent, Error, GateEvent, Plugin, Watch};

use crate::shorthand::await_that;
use crate::{PATIENCE, proc};

/// Longer than it takes until idle memory is given back.
const A_WHILE: Duration = Duration::from_millis(1_500);

/// How many times the longest test starts the broker again: `CALLGATE_RESTARTS`, or six times.
#[must_use]
pub fn restarts() -> u32 {
    let given = std::env::var("CALLGATE_RESTARTS").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(6)
}

/// The events that a plugin is told about its brokers from now on.
#[derive(Debug)]
pub struct Told {
    name: String,
    events: Receiver<BrokerEvent>,
    /// Refusals that were told before the return.
    early: Mutex<VecDeque<(String, Error)>>,
}

impl Told {
    /// Listens to what this plugin is told.
    pub fn by(plugin: &Plugin) -> Told {
        let (sender, events) = channel();
        plugin.on_broker(move |event| {
            // The receiving test may have ended.
            let _ = sender.send(event);
        });
        let name = plugin.name().to_owned();
        let early = Mutex::default();
        Told {
            name,
            events,
            early,
        }
    }

    /// The next event; fails the test if none comes.
    #[track_caller]
    pub fn next(&self) -> BrokerEvent {
        let next = self.events.recv_timeout(PATIENCE);
        next.unwrap_or_else(|_| panic!("plugin `{}` was told nothing", self.name))
    }

    /// The next event, if it comes in time.
    pub fn within(&self, time: Duration) -> Result<BrokerEvent, RecvTimeoutError> {
        self.events.recv_timeout(time)
    }

    /// Expects the loss of the broker as the next event; returns the reason.
    #[track_caller]
    pub fn lost(&self) -> Error {
        match self.next() {
            BrokerEvent::Lost(why) => why,
            other => panic!("plugin `{}` was told {other:?}, not of a loss", self.name),
        }
    }

    /// Expects the return to a broker as the next event; returns its process and generation. What the broker refuses
    /// may be told before it: that is kept for [`Told::gate_refused`].
    #[track_caller]
    pub fn back(&self) -> (u32, u64) {
        loop {
            match self.next() {
                BrokerEvent::Back { pid, generation } => return (pid, generation),
                BrokerEvent::GateRefused { gate, error } => {
                    self.early
                        .lock()
                        .expect("nobody panicked")
                        .push_back((gate, error));
                }
                other => panic!("plugin `{}` was told {other:?}, not of a return", self.name),
            }
        }
    }

    /// Expects as the next event that a broker refuses the plugin; returns the reason.
    #[track_caller]
    pub fn refused(&self) -> Error {
        match self.next() {
            BrokerEvent::Refused(why) => why,
            other => panic!(
                "plugin `{}` was told {other:?}, not of a refusal",
                self.name
            ),
        }
    }

    /// Expects as the next event that the broker does not let the plugin provide a gate; returns the gate and the
    /// reason.
    #[track_caller]
    pub fn gate_refused(&self) -> (String, Error) {
        if let Some(refused) = self.early.lock().expect("nobody panicked").pop_front() {
            return refused;
        }
        match self.next() {
            BrokerEvent::GateRefused { gate, error } => (gate, error),
            other => panic!(
                "plugin `{}` was told {other:?}, not of a gate that is refused",
                self.name
            ),
        }
    }

    /// Expects as the next event that the plugin gives up waiting for a broker; returns the reason.
    #[track_caller]
    pub fn ended(&self) -> Error {
        match self.next() {
            BrokerEvent::Ended(why) => why,
            other => panic!("plugin `{}` was told {other:?}, not of the end", self.name),
        }
    }

    /// Checks that the plugin was told no further events.
    #[track_caller]
    pub fn nothing_more(&self) {
        let next = self.events.try_recv();
        assert!(
            next.is_err(),
            "plugin `{}` was told {next:?}, too",
            self.name
        );
    }
}

/// A thread that makes the same call again and again, and counts the outcomes.
#[derive(Debug)]
pub struct Standing {
    name: String,
    counts: Arc<Counts>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    is_over: AtomicBool,
    answered: AtomicU64,
    /// The error codes of failed calls.
    failed: Mutex<BTreeMap<String, u64>>,
    /// The first failure, in full.
    first: Mutex<Option<String>>,
    /// The longest call, in nanoseconds.
    longest: AtomicU64,
}

impl Standing {
    /// Calls with the numbers from 0 on until it is finished, some thousand times a second at most.
    pub fn start(
        name: &str,
        mut call: impl FnMut(u64) -> callgate_client::Result<()> + Send + 'static,
    ) -> Standing {
        let counts = Arc::new(Counts::default());
        let own = counts.clone();
        let thread = thread::spawn(move || {
            for n in 0.. {
                if own.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let begun = Instant::now();
                own.note(call(n));
                let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
                own.longest.fetch_max(took, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(300));
            }
        });
        let name = name.to_owned();
        Standing {
            name,
            counts,
            thread,
        }
    }

    /// The number of calls answered so far.
    pub fn answered(&self) -> u64 {
        self.counts.answered.load(Ordering::Relaxed)
    }

    /// Waits until more calls are answered.
    #[track_caller]
    pub fn expect_progress(&self) {
        let before = self.answered();
        await_that(&format!("{} goes on", self.name), || {
            self.answered() > before + 3
        });
    }

    /// Stops the thread; fails the test if any call failed. Returns the number of calls and the time of the longest.
    #[track_caller]
    pub fn finish(self) -> (u64, Duration) {
        self.counts.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic");
        let failed = self.counts.failed.lock().expect("no panic");
        let first = self.counts.first.lock().expect("no panic");
        let (name, answered) = (&self.name, self.counts.answered.load(Ordering::Relaxed));
        assert!(
            failed.is_empty(),
            "{name}: {answered} calls answered, and {failed:?}; the first failure: {first:?}"
        );
        assert!(answered > 0, "{name}: no call was made");
        let longest = Duration::from_nanos(self.counts.longest.load(Ordering::Relaxed));
        (answered, longest)
    }
}

impl Counts {
    fn note(&self, outcome: callgate_client::Result<()>) {
        let Err(error) = outcome else {
            self.answered.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let mut failed = self.failed.lock().expect("no panic");
        *failed.entry(error.code().to_string()).or_default() += 1;
        let mut first = self.first.lock().expect("no panic");
        first.get_or_insert_with(|| format!("{error}; may have run: {}", error.may_have_run()));
    }
}

/// The events of a gate, until there are none for a while.
#[track_caller]
pub fn events(watch: &Watch, quiet: Duration) -> Vec<GateEvent> {
    let mut events = Vec::new();
    while let Some(event) = watch.next(quiet).expect("it goes on") {
        events.push(event);
    }
    events
}

/// The resources that a process holds, apart from the allocator's: descriptors, shared memory and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Open descriptors.
    pub descriptors: usize,
    /// Maps of memory that Callgate shares.
    pub shared: usize,
    /// Threads.
    pub threads: usize,
}

impl Held {
    /// What a process holds now.
    #[must_use]
    pub fn of(pid: u32) -> Held {
        Held {
            descriptors: proc::descriptors(pid),
            shared: proc::shared_maps(pid),
            threads: proc::threads(pid),
        }
    }

    /// The resources that a process holds, once they have not changed for a while.
    #[must_use]
    pub fn at_rest(pid: u32) -> Held {
        let mut last = (Held::of(pid), Instant::now());
        proc::eventually("a process is at rest", || {
            let now = Held::of(pid);
            if now != last.0 {
                last = (now, Instant::now());
            }
            match last.1.elapsed() >= A_WHILE {
                true => Ok(now),
                false => Err(format!("{now:?}")),
            }
        })
    }

    /// Waits until a process holds exactly this again.
    pub fn expect_again(self, who: &str, pid: u32) {
        proc::eventually(&format!("{who} holds what it did"), || {
            let now = Held::of(pid);
            match now == self {
                true => Ok(()),
                false => Err(format!("before {self:?}, now {now:?}")),
            }
        });
    }
}
