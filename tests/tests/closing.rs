//! Plugins that close while others call them: each call is answered, or its caller knows that it did not run. The
//! calls of other threads and processes continue until they are answered.
#![forbid(unsafe_code)]

use std::thread;
use std::time::Instant;

use callgate_client::{Dispatch, Group, Plugin};
use callgate_tests::counted::{self, Ran};
use callgate_tests::pumped::Pumped;
use callgate_tests::random::Random;
use callgate_tests::{Bus, PATIENCE, Process, programs};

/// Callers in processes of their own, each with two threads. One more is in the test's process.
const CALLERS: u64 = 4;
const ROUNDS: usize = 10;

struct Scene {
    bus: Bus,
    random: Random,
    callers: Vec<Process>,
    here: Plugin,
}

impl Scene {
    fn new(what: &str) -> Scene {
        let bus = Bus::start(programs!());
        let peer = |number: u64| {
            let name = format!("caller-{number}");
            bus.peer("counted-caller", &name, &[&number.to_string()])
        };
        Scene {
            callers: (0..CALLERS).map(peer).collect(),
            here: bus.plugin("caller-here"),
            random: Random::new(what),
            bus,
        }
    }

    /// A plugin is dropped while all callers call it.
    fn close(&mut self, kind: &str, provide: impl FnOnce(&Bus, &Ran) -> Pumped) {
        let ran = Ran::default();
        for caller in &mut self.callers {
            caller.say(kind);
        }
        let until = self.random.below(1_000);
        let here = thread::scope(|scope| {
            let here = scope.spawn(|| counted::call(&self.here, CALLERS, kind));
            let provider = provide(&self.bus, &ran);
            let start = Instant::now();
            while ran.count(CALLERS + 1).is_none_or(|ran| ran < until) {
                assert!(start.elapsed() < PATIENCE, "there are {until} calls");
                thread::yield_now();
            }
            drop(provider);
            here.join().expect("the calls of this process")
        });
        ran.compare(CALLERS, &here);
        for (number, caller) in (0..).zip(&mut self.callers) {
            ran.compare(number, &caller.expect_line());
        }
        ran.end();
    }

    fn close_each_kind(&mut self, dispatch: Dispatch) {
        for kind in ["small", "sent", "blocks", "extents"] {
            for _ in 0..ROUNDS {
                self.close(kind, |bus, ran| {
                    let plugin = bus.builder("Counted").dispatch(dispatch);
                    let plugin = plugin.connect().expect("the bus");
                    ran.provide(&plugin);
                    Pumped::new(plugin, dispatch)
                });
            }
        }
    }
}

/// A call that arrives too late is known not to have run. It does not end the link for other calls of its process,
/// whose handlers still run.
#[test]
fn a_thread_of_its_own() {
    Scene::new("a thread of its own").close_each_kind(Dispatch::Thread);
}

#[test]
fn a_pool() {
    Scene::new("a pool").close_each_kind(Dispatch::Pool(4));
}

#[test]
fn a_pump() {
    Scene::new("a pump").close_each_kind(Dispatch::Pump);
}

/// The other plugins of the group continue meanwhile.
#[test]
fn one_of_a_group() {
    let mut scene = Scene::new("one of a group");
    let group = Group::new().expect("a group");
    let other = scene.bus.builder("Other").group(&group);
    let other = other.connect().expect("the bus");
    let _add = other
        .provide("Other.Add", |a: u64| a + 1)
        .expect("providing");
    for kind in ["small", "sent", "blocks", "extents"] {
        for _ in 0..ROUNDS {
            scene.close(kind, |bus, ran| {
                let plugin = bus.builder("Counted").group(&group);
                let plugin = plugin.connect().expect("the bus");
                ran.provide(&plugin);
                Pumped::new(plugin, Dispatch::Thread)
            });
        }
    }
    let add = scene
        .here
        .subscriber::<(u64,), u64>("Other.Add")
        .expect("opening");
    add.wait_ready(PATIENCE).expect("the gate");
    assert_eq!(add.invoke((1,)).expect("calling"), 2);
}
