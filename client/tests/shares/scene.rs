//! A bus with plugins of this process.

use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Dispatch, Plugin, Shares, gate_type};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TAG: &str = "Osc.Table";

/// What is shared.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) gains: Vec<f32>,
}

impl Table {
    pub(crate) fn named(name: &str) -> Table {
        Table {
            name: name.to_owned(),
            gains: vec![0.25, 0.5],
        }
    }
}

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

    pub(crate) fn plugin(&self, name: &str) -> Plugin {
        self.connect(name, Dispatch::Thread)
    }

    pub(crate) fn connect(&self, name: &str, dispatch: Dispatch) -> Plugin {
        Plugin::builder(name)
            .descriptor(self.broker.connect().unwrap())
            .dispatch(dispatch)
            .connect()
            .unwrap()
    }
}

/// Waits until a condition holds.
pub(crate) fn eventually(is_done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_done() {
        assert!(Instant::now() < until, "it does not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether other plugins find a share of that tag.
pub(crate) fn is_there(shares: &Shares, tag: &str) -> bool {
    shares.try_get::<Table>(tag).unwrap().is_some()
}
