//! A hundred plugins with nothing to do, and listeners with hundreds of feeds.
//!
//! It measures for 3 seconds by default; `CALLGATE_IDLE_SECS=10` for longer.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use callgate_tests::proc::Holdings;
use callgate_tests::{Bus, Process, proc, programs};
use nix::sys::signal::Signal;

const IDLE: usize = 60;
const PAIRS: usize = 20;

fn window() -> Duration {
    let given = std::env::var("CALLGATE_IDLE_SECS").ok();
    Duration::from_secs(given.and_then(|secs| secs.parse().ok()).unwrap_or(3))
}

/// Starts plugins all at once, and waits until each is ready.
fn start<'a>(bus: &Bus, all: impl Iterator<Item = (&'a str, String, Vec<String>)>) -> Vec<Process> {
    let spawn = |(role, name, of): (&str, String, Vec<String>)| {
        let of: Vec<&str> = of.iter().map(String::as_str).collect();
        Process::spawn(bus.peer_command(role, &name, &of))
    };
    let mut started: Vec<Process> = all.map(spawn).collect();
    for process in &mut started {
        assert_eq!(process.expect_line(), "ready");
    }
    started
}

/// The processor time of processes in clock ticks, and how often their threads have gone to sleep.
#[derive(Clone, Copy, Debug)]
struct Used {
    ticks: u64,
    sleeps: u64,
}

fn used(pids: &[u32]) -> Used {
    Used {
        ticks: pids.iter().map(|&pid| proc::ticks(pid)).sum(),
        sleeps: pids.iter().map(|&pid| proc::sleeps(pid)).sum(),
    }
}

/// Threads that were busy last may still be about to fall asleep.
fn await_rest(pids: &[u32]) {
    let mut last = used(pids);
    proc::eventually("all are at rest", || {
        std::thread::sleep(Duration::from_millis(200));
        let now = used(pids);
        match std::mem::replace(&mut last, now).sleeps == now.sleeps {
            true => Ok(()),
            false => Err(format!("{now:?}")),
        }
    });
}

/// Idle plugins do no work at intervals: a hundred of them would keep a laptop from sleeping. When all plugins are
/// killed at once, the broker keeps nothing of them.
#[test]
fn idle_plugins_cost_nothing_and_leave_nothing() {
    let bus = Bus::start_open(programs!());
    let broker = bus.broker.as_ref().expect("it was started").id();
    // The broker makes its one-time allocations for the first plugin.
    bus.peer("idle", "first", &[]).kill();
    expect_empty(&bus);
    let before = Holdings::at_rest(broker);
    assert!(
        before.descriptors > 3,
        "its descriptors cannot be counted: {before:?}"
    );

    let begun = Instant::now();
    let name = |what: &str, n: usize| format!("{what}-{n}");
    let mut plugins = start(&bus, (0..IDLE).map(|n| ("idle", name("idle", n), vec![])));
    plugins.extend(start(
        &bus,
        (0..PAIRS).map(|n| ("provider", name("provider", n), vec![])),
    ));
    let caller = |n| ("quiet-caller", name("caller", n), vec![name("provider", n)]);
    plugins.extend(start(&bus, (0..PAIRS).map(caller)));
    println!(
        "{} plugins started in {:.1?}",
        plugins.len(),
        begun.elapsed()
    );

    let pids: Vec<u32> = plugins.iter().map(Process::id).collect();
    await_rest(&pids);
    let (brokers, theirs) = (used(&[broker]), used(&pids));
    std::thread::sleep(window());
    let (brokers_now, theirs_now) = (used(&[broker]), used(&pids));
    println!(
        "in {:?} the broker {brokers:?} -> {brokers_now:?}",
        window()
    );
    println!("and the plugins {theirs:?} -> {theirs_now:?}");
    assert!(
        brokers_now.ticks - brokers.ticks <= 2,
        "the broker uses time"
    );
    assert!(theirs_now.ticks - theirs.ticks <= 5, "plugins use time");
    // Clock ticks hide short work that still wakes the processor; the number of sleeps shows it.
    assert!(
        brokers_now.sleeps - brokers.sleeps <= 3,
        "the broker wakes up"
    );
    assert!(theirs_now.sleeps - theirs.sleeps <= 10, "plugins wake up");

    let begun = Instant::now();
    plugins
        .iter()
        .for_each(|plugin| plugin.signal(Signal::SIGKILL));
    plugins.into_iter().for_each(Process::kill);
    before.expect_again("the broker", broker);
    expect_empty(&bus);
    println!("all killed and forgotten in {:.1?}", begun.elapsed());
}

/// `callgate ls` lists nobody, apart from itself.
fn expect_empty(bus: &Bus) {
    proc::eventually("the bus is empty", || {
        let output = bus.command(&["ls", "--json"]).output().expect("it runs");
        let listing: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}: {output:?}"))?;
        let count = |what: &str| listing[what].as_array().map(Vec::len);
        let others = listing["plugins"].as_array().into_iter().flatten();
        let others = others.filter(|plugin| !is_command(plugin));
        match (others.count(), count("gates"), count("links")) {
            (0, Some(0), Some(0)) => Ok(()),
            _ => Err(listing.to_string()),
        }
    });
}

fn is_command(plugin: &serde_json::Value) -> bool {
    let name = plugin["name"].as_str();
    name.is_some_and(|name| name.starts_with("callgate-ls"))
}

const LISTENERS: usize = 8;
const TOPICS: usize = 8;

/// Listeners of a hundred topics do no work while there are no events, and one event wakes each of them once.
#[test]
fn idle_listeners_cost_nothing() {
    let bus = Bus::start(programs!());
    let mode = |n: usize| ["thread", "pool", "group"][n % 3].to_owned();
    let talker = |n: usize| ("talker", format!("talker-{n}"), vec![mode(n)]);
    let mut talkers = start(&bus, (0..LISTENERS).map(talker));
    let mut puller = bus.peer("numbers-listener", "puller", &["pull", "0"]);
    let lossless = ["lossless", "65536", "0"];
    let mut sender = bus.peer("numbers-sender", "sender", &lossless);
    let topic = |n: usize, k: usize| format!("t{n}.Changed.{k}");
    for (n, talker) in talkers.iter_mut().enumerate() {
        for k in 0..TOPICS {
            let offer = format!("offer {} owned 65536 0 u32", topic(n, k));
            assert_eq!(talker.ask(&offer), "OK");
        }
    }
    for talker in &mut talkers {
        for n in 0..LISTENERS {
            assert_eq!(talker.ask(&format!("hear t{n}.* handler u32")), "OK");
        }
    }
    for (n, talker) in talkers.iter_mut().enumerate() {
        for k in 0..TOPICS {
            assert_eq!(talker.ask(&format!("send {} 3", topic(n, k))), "3");
            assert_eq!(talker.ask(&format!("flush {}", topic(n, k))), "OK");
        }
    }
    sender.ask("send 3");
    assert_eq!(sender.ask("flush"), "OK");
    let all = talkers.iter().chain([&puller, &sender]);
    let pids: Vec<u32> = all.map(Process::id).collect();
    await_rest(&pids);
    let before = used(&pids);
    std::thread::sleep(window());
    let now = used(&pids);
    println!("in {:?} {before:?} -> {now:?}", window());
    assert!(now.ticks - before.ticks <= 5, "listeners use time");
    assert!(now.sleeps - before.sleeps <= 5, "listeners wake up");
    // They still hear events.
    let process = sender.id();
    sender.ask("send 3");
    assert_eq!(sender.ask("flush"), "OK");
    let heard = puller.ask(&format!("heard {process}"));
    assert!(heard.starts_with("heard 0 6 6 0 "), "{heard}");
}
