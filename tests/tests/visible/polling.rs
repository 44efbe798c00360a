//! Plugins that call an absent gate in a loop.

use std::time::{Duration, Instant};

use callgate_client::{Plugin, Subscriber};
use callgate_tests::{Bus, PATIENCE, Process, programs};

const PROCESSES: u32 = 10;
const EACH: &str = "10";

/// The median time for opening a gate, including the link, for a plugin that had no link.
fn opening(bus: &Bus, times: u32) -> Duration {
    let open = |n: u32| {
        let plugin = bus.builder(&format!("Opener{n}")).connect();
        let plugin: Plugin = plugin.expect("the bus");
        let begun = Instant::now();
        let gate = plugin.subscriber::<(u64, u64), u64>("There.Add");
        let gate: Subscriber<_, _> = gate.expect("opening");
        let took = begun.elapsed();
        assert_eq!(gate.invoke((1, 2)).expect("it is there"), 3);
        took
    };
    let mut times: Vec<Duration> = (0..times).map(open).collect();
    times.sort();
    times[times.len() / 2]
}

/// A plugin that calls an absent gate in a loop keeps its session and delays nobody, although each such call asks the
/// broker.
#[test]
fn whoever_polls_an_absent_gate_keeps_its_session_and_nobody_else_waiting() {
    let bus = Bus::start(programs!());
    let _there = bus.peer("provider", "There", &[]);
    let quiet = opening(&bus, 100);
    let poller = |n: u32| bus.peer("visible-pollers", &format!("Pollers{n}"), &[EACH]);
    let mut pollers: Vec<Process> = (0..PROCESSES).map(poller).collect();
    for process in &mut pollers {
        assert_eq!(process.ask("begin"), "begun");
    }
    let begun = Instant::now();
    let mut ask = |what: &str| -> Vec<String> {
        pollers
            .iter_mut()
            .map(|process| process.ask(what))
            .collect()
    };
    let until = Instant::now() + PATIENCE;
    let fewest = |said: Vec<String>| {
        said.iter()
            .map(|n| n.parse::<u64>().expect("a number"))
            .min()
            .expect("ten")
    };
    while fewest(ask("fewest")) < 10 {
        assert!(Instant::now() < until, "some are not answered");
        std::thread::sleep(Duration::from_millis(10));
    }
    let busy = opening(&bus, 100);
    let all: u64 = ask("all")
        .iter()
        .map(|n| n.parse::<u64>().expect("a number"))
        .sum();
    let rate = all as f64 / begun.elapsed().as_secs_f64();
    println!(
        "opening takes {quiet:?}, and {busy:?} beside {rate:.0} calls of an absent gate a second"
    );
    for said in ask("end") {
        assert_eq!(said, "on the bus");
    }
    // Twice as long in our measurements; other load on the machine is not known.
    assert!(
        busy < 10 * quiet + Duration::from_millis(5),
        "{quiet:?}, {busy:?}"
    );
    assert!(
        rate < 10_000.0,
        "{rate} calls a second take too much of the broker's time"
    );
}
