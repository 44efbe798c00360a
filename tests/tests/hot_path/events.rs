//! Sending events: with no listener, and with one that is awake.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use callgate::Broker;
use callgate_client::{Dispatch, Plugin, Subscription, Topic};
use callgate_tests::PATIENCE;

use super::{allocations, alone, more_system_calls};

const FEW: u64 = 2_000;
/// How many more events the second run sends, when the costs of two runs are compared.
const MORE: u64 = 10_000;
/// How many times a thread looks before it yields the processor.
const SPINS: u32 = 2_000;

/// A bus with two plugins. One sends; the other may listen.
struct Scene {
    topic: Topic<(u64, u64)>,
    /// The number of the last event that was handled.
    handled: Arc<AtomicU64>,
    heard: Option<Subscription>,
    _plugins: [Plugin; 2],
    _broker: Broker,
}

impl Scene {
    fn new(is_heard: bool) -> Scene {
        let broker = Broker::builder().without_socket();
        let broker = broker.start().expect("a broker");
        let [sender, listener] = ["Sender", "Listener"].map(|name| {
            let connection = broker.connect().expect("a connection");
            let builder = Plugin::builder(name).dispatch(Dispatch::Thread);
            let plugin = builder.descriptor(connection).connect();
            plugin.expect("a plugin on this bus")
        });
        let topic = sender.topic("Hot.Changed").expect("it is free");
        let handled = Arc::<AtomicU64>::default();
        let seen = handled.clone();
        let heard = is_heard.then(|| {
            let subscribed = listener.subscribe("Hot.Changed", move |n: u64, _: u64| {
                seen.store(n, Ordering::Release);
            });
            subscribed.expect("there are not many")
        });
        let scene = Scene {
            topic,
            handled,
            heard,
            _plugins: [sender, listener],
            _broker: broker,
        };
        // Everything that is allocated once for each thread or topic is allocated here.
        scene.send(FEW);
        scene
    }

    /// Sends events, each after the last was handled, so that the sender never waits for room.
    fn send(&self, events: u64) {
        let before = self.handled.load(Ordering::Acquire);
        for n in before + 1..=before + events {
            self.topic.send(&(n, n)).expect("it is sent");
            if self.heard.is_some() {
                self.await_handled(n);
            }
        }
    }

    /// Waits like a caller for its answer: it spins, and yields the processor if that takes long.
    fn await_handled(&self, n: u64) {
        let is_handled = || self.handled.load(Ordering::Acquire) >= n;
        let mut looks = (0..SPINS).map(|_| spin_loop());
        if looks.any(|()| is_handled()) {
            return;
        }
        let begun = Instant::now();
        while !is_handled() {
            assert!(begun.elapsed() < PATIENCE, "event {n} does not come");
            thread::yield_now();
        }
    }
}

#[test]
fn events_that_nobody_hears_allocate_nothing() {
    let _alone = alone();
    let scene = Scene::new(false);
    let made = allocations(|| scene.send(FEW));
    assert_eq!(made, 0, "in {FEW} events");
}

#[test]
fn events_that_are_heard_allocate_nothing() {
    let _alone = alone();
    let scene = Scene::new(true);
    let made = allocations(|| scene.send(FEW));
    assert_eq!(made, 0, "in {FEW} events, on all threads");
}

/// This is run under `strace` by the tests below.
#[test]
#[ignore = "does nothing but send"]
fn two_thousand_unheard() {
    Scene::new(false).send(FEW);
}

/// The same with more events.
#[test]
#[ignore = "does nothing but send"]
fn twelve_thousand_unheard() {
    Scene::new(false).send(FEW + MORE);
}

/// The same with a listener.
#[test]
#[ignore = "does nothing but send"]
fn two_thousand_heard() {
    Scene::new(true).send(FEW);
}

/// The same with more events.
#[test]
#[ignore = "does nothing but send"]
fn twelve_thousand_heard() {
    Scene::new(true).send(FEW + MORE);
}

/// Sending without listeners makes no system calls.
#[test]
fn events_that_nobody_hears_ask_the_kernel_for_nothing() {
    let tests = [
        "events::two_thousand_unheard",
        "events::twelve_thousand_unheard",
    ];
    // The system calls at a program's start and end vary.
    let enough = 20;
    if let Some(more) = more_system_calls(tests, enough) {
        assert!(more < enough, "{more} system calls for {MORE} more events");
    }
}

/// A listener that is awake needs no bell, and the sender does not wait for one that keeps pace.
#[test]
fn events_that_are_heard_ask_the_kernel_for_next_to_nothing() {
    let tests = [
        "events::two_thousand_heard",
        "events::twelve_thousand_heard",
    ];
    let enough = MORE * 4 / 1_000;
    if let Some(more) = more_system_calls(tests, enough) {
        assert!(more < enough, "{more} system calls for {MORE} more events");
    }
}
