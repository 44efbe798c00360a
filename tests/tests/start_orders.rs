//! Two plugins and a broker that start in any order: no first call is lost, nobody hangs.
//!
//! `CALLGATE_STARTS` says how many orders, `CALLGATE_SEED` which.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Code, Dispatch, Plugin, PluginBuilder};
use callgate_tests::PATIENCE;
use callgate_tests::random::Random;

/// How long somebody waits before it starts: nothing, a little, or until others are well on.
fn pause(random: &mut Random) -> Duration {
    match random.below(4) {
        0 | 1 => Duration::ZERO,
        2 => Duration::from_micros(random.number() % 100),
        _ => Duration::from_micros(random.number() % 2_000),
    }
}

/// Connects as soon as there is a broker.
fn connect(builder: impl Fn() -> PluginBuilder) -> Plugin {
    let until = Instant::now() + PATIENCE;
    loop {
        match builder().connect() {
            Ok(plugin) => return plugin,
            Err(error) if error.code() == Code::BrokerGone && Instant::now() < until => {
                thread::yield_now();
            }
            Err(error) => panic!("connecting: {error}"),
        }
    }
}

/// One start; the answer to the first call.
fn start(socket: &Path, random: &mut Random) -> u64 {
    let [broker, provider, caller, call] = [(); 4].map(|()| pause(random));
    let dispatch = match random.below(2) {
        0 => Dispatch::Thread,
        _ => Dispatch::Pool(2),
    };
    let end = Barrier::new(3);
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
            let plugin = connect(|| plugin(socket, "Provider").dispatch(dispatch));
            let gate = plugin.provide("Provider.Double", |n: u64| 2 * n);
            let _gate = gate.expect("nobody else provides it");
            end.wait();
        });
        let first = scope.spawn(|| {
            thread::sleep(caller);
            let plugin = connect(|| plugin(socket, "Caller"));
            let gate = plugin.subscriber::<(u64,), u64>("Provider.Double");
            let gate = gate.expect("it can be opened before it is there");
            thread::sleep(call);
            gate.wait_ready(PATIENCE).expect("it comes");
            let answer = gate.invoke((21,)).expect("the first call is answered");
            end.wait();
            answer
        });
        first.join().expect("no panic")
    })
}

fn plugin(socket: &Path, name: &str) -> PluginBuilder {
    Plugin::builder(name).socket(socket).direct_calls(false)
}

/// A gate was opened in the moment in which it was provided, and its subscriber was never told.
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
