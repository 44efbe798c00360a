//! A bus with plugins of this process, and a list to which handlers add what they get.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use callgate::Broker;
use callgate_client::{Dispatch, Plugin, Topic, TopicOptions};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TOPIC: &str = "Weather.Changed";

pub(crate) struct Scene {
    pub(crate) broker: Broker,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let broker = Broker::builder().without_socket();
        Scene {
            broker: broker.start().unwrap(),
        }
    }

    pub(crate) fn connect(&self, name: &str, dispatch: Dispatch) -> Plugin {
        Plugin::builder(name)
            .descriptor(self.broker.connect().unwrap())
            .dispatch(dispatch)
            .connect()
            .unwrap()
    }

    /// Two plugins: one that sends, and one that listens.
    pub(crate) fn two(&self, dispatch: Dispatch) -> (Plugin, Plugin) {
        (
            self.connect("Sender", Dispatch::Thread),
            self.connect("Listener", dispatch),
        )
    }
}

pub(crate) fn numbers(sender: &Plugin) -> Topic<(u32,)> {
    sender.topic_with(TOPIC, TopicOptions::new()).unwrap()
}

/// What handlers have noted, in order.
#[derive(Clone)]
pub(crate) struct Notes<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T: Clone + Debug + PartialEq> Notes<T> {
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

    /// Waits until this many were noted. There is no limit to the time as long as more come.
    pub(crate) fn wait(&self, count: usize) -> Vec<T> {
        let mut notes = self.0.0.lock().unwrap();
        while notes.len() < count {
            let before = notes.len();
            let none_came = |notes: &mut Vec<T>| notes.len() == before;
            let waited = self.0.1.wait_timeout_while(notes, PATIENCE, none_came);
            let (now, outcome) = waited.unwrap();
            assert!(!outcome.timed_out(), "only {before} of {count}");
            notes = now;
        }
        notes.clone()
    }
}
