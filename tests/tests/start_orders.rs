//! Two plugins and a broker that start in any order: no first call is lost, and none hangs.
//!
//! `CALLGATE_STARTS` says how many orders, `CALLGATE_SEED` which.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Dispatch, Plugin, PluginBuilder};
use callgate_tests::random::Random;
use callgate_tests::shorthand::connect_early;
use callgate_tests::{Bus, PATIENCE, Process, programs};

/// The provider's dispatch, and whether callers of its process may run its handlers.
const MODES: [(Dispatch, bool); 4] = [
    (Dispatch::Thread, false),
    (Dispatch::Pool(2), false),
    (Dispatch::Pump, false),
    (Dispatch::Thread, true),
];
/// How many orders of processes are tried.
const PROCESSES: usize = 51;

/// How long a process waits before it starts: not at all, a little, or until the others have made progress.
fn pause(random: &mut Random) -> Duration {
    match random.below(4) {
        0 | 1 => Duration::ZERO,
        2 => Duration::from_micros(random.number() % 100),
        _ => Duration::from_micros(random.number() % 2_000),
    }
}

/// Starts everything once; returns the answer to the first call.
fn start(socket: &Path, random: &mut Random) -> u64 {
    let [broker, provider, caller, call] = [(); 4].map(|()| pause(random));
    let (dispatch, direct) = MODES[random.below(MODES.len())];
    let (end, is_over) = (Barrier::new(3), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(broker);
            let broker = Broker::builder().socket(socket).start();
            let broker = broker.expect("the place is free");
            end.wait();
            drop(broker);
        });
        scope.spawn(|| {
            thread::sleep(provider);
            let builder = || plugin(socket, "Provider").dispatch(dispatch);
            let plugin = connect_early(|| builder().direct_calls(direct));
            let gate = plugin.provide("Provider.Double", |n: u64| 2 * n);
            let _gate = gate.expect("nobody else provides it");
            while dispatch == Dispatch::Pump && !is_over.load(Ordering::Relaxed) {
                let until = Instant::now() + Duration::from_millis(2);
                plugin.pump(until).expect("this thread pumps");
            }
            end.wait();
        });
        let first = scope.spawn(|| {
            thread::sleep(caller);
            let plugin = connect_early(|| plugin(socket, "Caller"));
            let gate = plugin.subscriber::<(u64,), u64>("Provider.Double");
            let gate = gate.expect("it can be opened before it is there");
            thread::sleep(call);
            gate.wait_ready(PATIENCE).expect("it comes");
            let answer = gate.invoke((21,)).expect("the first call is answered");
            is_over.store(true, Ordering::Relaxed);
            end.wait();
            answer
        });
        first.join().expect("no panic")
    })
}

fn plugin(socket: &Path, name: &str) -> PluginBuilder {
    Plugin::builder(name).socket(socket).direct_calls(false)
}

/// A gate that is opened at the moment when it is provided becomes ready for its subscriber.
#[test]
fn whatever_starts_first_the_first_call_is_answered() {
    let given = std::env::var("CALLGATE_STARTS").ok();
    let starts = given
        .and_then(|starts| starts.parse().ok())
        .unwrap_or(1_000);
    let mut random = Random::new("start orders");
    let place = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    for n in 0..starts {
        let n: u32 = n;
        let socket = place.path().join(format!("bus{}", n % 8));
        assert_eq!(start(&socket, &mut random), 42, "start {n}");
    }
    println!("{starts} starts in {:?}", begin.elapsed());
}

/// The same between processes, which share no clock, lock or scheduler.
#[test]
fn whatever_process_starts_first_the_first_call_is_answered() {
    let mut random = Random::new("start orders of processes");
    let begin = Instant::now();
    for n in 0..PROCESSES {
        let mode = ["thread", "pool", "pump"][n % 3];
        let mut bus = Bus::without_broker(programs!());
        let mut order = ["broker", "provider", "caller"];
        for at in 0..3 {
            order.swap(at, at + random.below(3 - at));
        }
        let (mut provider, mut caller) = (None, None);
        for who in order {
            match who {
                "broker" => bus.start_broker(),
                "provider" => {
                    let provide = bus.peer_command("early-provider", "Provider", &[mode]);
                    provider = Some(Process::spawn(provide));
                }
                _ => {
                    let call = bus.peer_command("early-caller", "Caller", &["Provider"]);
                    caller = Some(Process::spawn(call));
                }
            }
            // Often long enough for a process to wait for the others already.
            random.pause(12);
        }
        let mut caller = caller.expect("it was started");
        assert_eq!(caller.expect_line(), "42", "{order:?} with a {mode}");
        assert!(caller.wait().success(), "{order:?} with a {mode}");
        drop(provider);
    }
    println!("{PROCESSES} starts in {:?}", begin.elapsed());
}
