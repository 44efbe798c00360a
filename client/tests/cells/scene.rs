//! Buses of this process.

use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Cell, CellWriter, Code, Plugin};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TAG: &str = "Rack.Level";

/// Values that are whole only if all their numbers are equal.
pub(crate) type Level = [u64; 8];

/// A bus.
pub(crate) struct Bus(pub(crate) Broker);

impl Bus {
    pub(crate) fn new() -> Bus {
        Bus(Broker::builder().without_socket().start().unwrap())
    }

    pub(crate) fn connect(&self, name: &str) -> Plugin {
        Plugin::builder(name)
            .descriptor(self.0.connect().unwrap())
            .connect()
            .unwrap()
    }

    /// Moves a plugin to this bus.
    pub(crate) fn takes(&self, plugin: &Plugin) {
        plugin.rejoin(self.0.connect().unwrap()).unwrap();
    }
}

pub(crate) fn writer(plugin: &Plugin) -> CellWriter<Level> {
    plugin.shares().cell_writer(TAG).unwrap()
}

pub(crate) fn reader(plugin: &Plugin) -> Cell<Level> {
    plugin.shares().cell(TAG).unwrap()
}

/// The value of a cell, after checking that it is whole.
pub(crate) fn get(cell: &mut Cell<Level>) -> u64 {
    let value = cell.get().unwrap();
    assert_eq!(value, [value[0]; 8]);
    value[0]
}

pub(crate) fn set(cell: &CellWriter<Level>, value: u64) {
    cell.set(&[value; 8]).unwrap();
}

pub(crate) fn code<T>(outcome: callgate_client::Result<T>) -> Code {
    outcome.map(drop).unwrap_err().code()
}

/// Waits until a condition holds.
pub(crate) fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
