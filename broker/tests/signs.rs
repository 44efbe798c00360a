//! Signs of life come from the broker's own thread, so there are none when it hangs or has ended.

// What is not there fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use callgate::BusLimits;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use support::{PATIENCE, bus_with};

/// A log subscriber in which the broker's thread waits, when it logs a warning, until the test releases it.
struct Hold {
    holds: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Subscriber for Hold {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        let _ = self.holds.send(());
        let _ = self.go_on.lock().unwrap().recv();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A broker that hangs gives no sign of life: its signs come from its own thread.
#[test]
fn a_broker_that_hangs_gives_no_sign() {
    let (holds, held) = channel();
    let (go_on, wait) = channel();
    let hold = Hold {
        holds,
        go_on: Mutex::new(wait),
    };
    tracing::subscriber::set_global_default(hold).unwrap();
    let (signs, given) = channel();
    let bus = bus_with(|builder| {
        let limits = BusLimits {
            connections: 1,
            ..BusLimits::default()
        };
        builder
            .limits(limits)
            .signs_of_life(Duration::from_millis(20), move |plugins| {
                let _ = signs.send(plugins);
            })
    });
    let next = || given.recv_timeout(PATIENCE).expect("a sign of life");
    (0..3).for_each(|_| assert_eq!(next(), 0));
    let _plugin = bus.plugin("a");
    while next() == 0 {}
    assert_eq!(next(), 1);
    // The broker has one connection already, refuses this one, and says so in its log.
    let _refused = bus.connect();
    held.recv_timeout(PATIENCE).expect("it warns");
    while given.try_recv().is_ok() {}
    let hangs = given.recv_timeout(Duration::from_millis(500));
    assert!(hangs.is_err(), "it hangs, and says that it lives");
    go_on.send(()).unwrap();
    assert_eq!(next(), 1);
    drop(go_on);
    bus.broker.stop();
    while given.try_recv().is_ok() {}
    let ended = given.recv_timeout(PATIENCE);
    assert!(ended.is_err(), "it has ended, and the function is dropped");
}
