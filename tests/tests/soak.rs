//! Calls of every kind for a long time: no wrong outcome, and nothing leaked.
//!
//! `CALLGATE_SOAK` says how many calls (ten thousand by default), `CALLGATE_SEED` which.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::Plugin;
use callgate_tests::proc::Holdings;
use callgate_tests::random::Random;
use callgate_tests::slots::{OUTSIDE_CHAINS, expect_all, expect_turns, hanging, missing};
use callgate_tests::soak::Gates;
use callgate_tests::suite::{self, Stage};
use callgate_tests::{Bus, PATIENCE, Process, proc, programs};
use nix::sys::signal::Signal;

const THREADS: u64 = 4;
/// How much memory may grow after the first tenth: allocators keep memory that they were given once.
const SLACK: u64 = 6 << 20;
/// A run of this many calls may wait until extents are given back.
const LONG: u64 = 100_000;
/// The shared memory of a link without extents.
const OUTBOXES: u64 = 2 * 86_016;

/// The resources that a process holds.
#[derive(Debug)]
struct Held {
    memory: u64,
    descriptors: usize,
}

impl Held {
    /// What a process holds at rest: a descriptor on its way to a map does not count.
    fn of(process: u32) -> Held {
        Held {
            descriptors: Holdings::at_rest(process).descriptors,
            memory: proc::private_memory(process),
        }
    }
}

/// The processes of a run.
struct Soak {
    gates: Vec<Gates>,
    /// A caller that is a process of its own.
    other: Process,
    made: AtomicU64,
}

impl Soak {
    /// Continues until so many calls were made, a fifth of them by the other process.
    fn run(&mut self, until: u64, random: &mut Random) {
        self.other.say(&(until / (THREADS + 1)).to_string());
        let until = until - until / (THREADS + 1);
        thread::scope(|scope| {
            for gates in &self.gates {
                let (mut random, made) = (random.fork(), &self.made);
                scope.spawn(move || {
                    while made.fetch_add(1, Ordering::Relaxed) < until {
                        gates.call(&mut random);
                    }
                });
            }
        });
        // This waits as long as necessary; if the process ends, it returns at once.
        let line = self.other.line(Duration::from_secs(3_600));
        assert_eq!(line.as_deref(), Ok("made"), "the other caller");
    }

    /// Takes everything at once. Idle extents are given back after a while; an extent of which a part was lost never
    /// would be.
    fn expect_all_back(&mut self, caller: &Plugin, (is_direct, is_long): (bool, bool)) {
        // Whether this process calls its provider directly: then there are no slots.
        let expect_own = match is_direct {
            true => expect_turns,
            false => expect_all,
        };
        expect_own(caller);
        assert_eq!(self.other.ask("all"), "all");
        let now = granted(caller);
        println!("granted: {now:?}");
        assert!(now.iter().all(|bytes| *bytes <= 64 << 20), "{now:?}");
        if !is_long {
            return;
        }
        let until = Instant::now() + 3 * PATIENCE;
        while granted(caller).iter().any(|bytes| *bytes != OUTBOXES) {
            let now = granted(caller);
            assert!(Instant::now() < until, "not given back: {now:?}");
            thread::sleep(Duration::from_millis(100));
        }
        // Without an extent, this needs all payload blocks.
        expect_own(caller);
        assert_eq!(self.other.ask("all"), "all");
        let now = granted(caller);
        assert!(now.iter().all(|bytes| *bytes == OUTBOXES), "{now:?}");
    }
}

/// Keeps the provider alive.
enum Provider {
    There(Process),
    Here(#[allow(dead_code, reason = "ends when it is dropped")] std::sync::Arc<Stage>),
}

fn provider(bus: &Bus, mode: &str) -> Provider {
    if mode != "direct" {
        return Provider::There(bus.peer("suite", "S", &[mode]));
    }
    suite::say_nothing_of_panics();
    let plugin = bus.builder("S").direct_calls(true).connect();
    let stage = Stage::open(plugin.expect("the bus"));
    Provider::Here(stage.expect("the gates are free"))
}

/// Runs one test at a time, because it counts the resources of this process.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn soak(mode: &str) {
    let _alone = alone();
    let given = std::env::var("CALLGATE_SOAK").ok();
    let calls: u64 = given.and_then(|calls| calls.parse().ok()).unwrap_or(10_000);
    let bus = Bus::start(programs!());
    let provider = provider(&bus, mode);
    let caller = bus.plugin("T");
    let (mut random, begin) = (Random::new(mode), Instant::now());
    let seed = random.number().to_string();
    let mut soak = Soak {
        gates: (0..THREADS).map(|_| Gates::open(&caller)).collect(),
        other: bus.peer("soak-caller", "Other", &[&seed]),
        made: AtomicU64::new(0),
    };
    let mut processes = vec![std::process::id(), soak.other.id()];
    if let Provider::There(process) = &provider {
        processes.push(process.id());
    }
    let held = || -> Vec<Held> { processes.iter().map(|&id| Held::of(id)).collect() };
    soak.run(calls / 10, &mut random);
    let before = held();
    soak.run(calls, &mut random);
    let after = held();
    println!(
        "{mode}: {calls} calls in {:?}; {before:?}, then {after:?}",
        begin.elapsed()
    );
    for (before, after) in before.iter().zip(&after) {
        let (was, is) = (before.memory, after.memory);
        assert!(is <= was + SLACK, "memory grew: {was} to {is}");
        assert_eq!(before.descriptors, after.descriptors);
    }
    let late = soak.gates.iter().map(Gates::late_ones);
    let late = late.reduce(|a, b| [0, 1, 2].map(|n| a[n] + b[n]));
    println!("{mode}: sent and given up, by size: {late:?}");
    soak.expect_all_back(&caller, (mode == "direct", calls >= LONG));
}

/// The shared memory of the links, in bytes.
fn granted(caller: &Plugin) -> Vec<u64> {
    let listing = caller.list().expect("a listing");
    let links = listing["links"].as_array().expect("a list").iter();
    links
        .filter_map(|link| link["granted_bytes"].as_u64())
        .collect()
}

/// Nothing stays behind: a call in a thousand that leaves something would stop everything after a day.
#[test]
fn nothing_is_lost_on_a_thread() {
    soak("thread");
}

/// The same in a pool.
#[test]
fn nothing_is_lost_on_a_pool() {
    soak("pool");
}

/// The same in a pump.
#[test]
fn nothing_is_lost_in_a_pump() {
    soak("pump");
}

/// The same for handlers on their callers' threads, besides the calls of the other process.
#[test]
fn nothing_is_lost_inside_a_process() {
    soak("direct");
}

/// A link allows 48 calls to be under way outside of chains, and counting the slots depends only on that rule. With
/// 64 calls the others would find a slot only if the provider were quick to free one. Here it frees none.
#[test]
fn slots_are_counted_by_the_rule_however_slow_the_provider_is() {
    let _alone = alone();
    let bus = Bus::start(programs!());
    let provider = bus.peer("suite", "S", &["thread"]);
    let caller = bus.plugin("T");
    let hang = hanging(&caller);
    provider.signal(Signal::SIGSTOP);
    assert_eq!(missing(&hang), 0);
    // All of them are still taken, so none is free now.
    assert_eq!(missing(&hang), OUTSIDE_CHAINS);
    provider.signal(Signal::SIGCONT);
    expect_all(&caller);
}
