//! A bus with plugins of this process, and a list to which handlers add what they get.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

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

    /// Waits until this many were noted.
    pub(crate) fn wait(&self, count: usize) -> Vec<T> {
        let until = Instant::now() + PATIENCE;
        let mut notes = self.0.0.lock().unwrap();
        while notes.len() < count {
            let left = until.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("only {} of {count}", notes.len()));
            notes = self.0.1.wait_timeout(notes, left).unwrap().0;
        }
        notes.clone()
    }
}
