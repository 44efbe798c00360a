//! Buses in this process, and lists to which handlers add what they get.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Dispatch, Plugin, Subscription};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TOPIC: &str = "Weather.Changed";

/// A bus.
pub(crate) struct Bus(pub(crate) Broker);

impl Bus {
    pub(crate) fn new() -> Bus {
        Bus(Broker::builder().without_socket().start().unwrap())
    }

    pub(crate) fn connect(&self, name: &str) -> Plugin {
        self.with_dispatch(name, Dispatch::Thread)
    }

    pub(crate) fn with_dispatch(&self, name: &str, dispatch: Dispatch) -> Plugin {
        Plugin::builder(name)
            .descriptor(self.0.connect().unwrap())
            .dispatch(dispatch)
            .connect()
            .unwrap()
    }

    /// Moves a plugin to this bus.
    pub(crate) fn takes(&self, plugin: &Plugin) {
        plugin.rejoin(self.0.connect().unwrap()).unwrap();
    }
}

/// Adds the numbers of the events to the notes.
pub(crate) fn hear(listener: &Plugin, notes: &Notes<u32>) -> Subscription {
    let seen = notes.clone();
    listener
        .subscribe(TOPIC, move |n: u32| seen.add(n))
        .unwrap()
}

/// What was noted, in order.
#[derive(Clone)]
pub(crate) struct Notes<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T: Clone + Debug> Notes<T> {
    pub(crate) fn new() -> Notes<T> {
        Notes(Arc::new((Mutex::new(Vec::new()), Condvar::new())))
    }

    pub(crate) fn add(&self, note: T) {
        self.0.0.lock().unwrap().push(note);
        self.0.1.notify_all();
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until this many were noted.
    pub(crate) fn wait(&self, count: usize) -> Vec<T> {
        let until = Instant::now() + PATIENCE;
        let mut notes = self.0.0.lock().unwrap();
        while notes.len() < count {
            let left = until.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("{notes:?} and not {count}"));
            notes = self.0.1.wait_timeout(notes, left).unwrap().0;
        }
        notes.clone()
    }
}

/// Waits until a condition holds.
pub(crate) fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
