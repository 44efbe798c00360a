//! What a call does not do while both sides are awake: allocate, go to sleep, ask the kernel.
//!
//! Caller, provider and broker are in this process, so that the counts are of all three. A
//! machine that is busy takes the sides their cores away and so makes them yield and sleep:
//! hence several attempts, of which the best counts.
#![forbid(unsafe_code)]

use std::alloc::System;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use callgate::Broker;
use callgate_client::{Plugin, Provider, Subscriber};
use callgate_tests::proc;
use callgate_tests::shorthand::open;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts what any thread of this process allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: u64 = 10_000;
const ATTEMPTS: usize = 20;

/// One test at a time, so that none is counted in another.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bus with two plugins, one of which calls the other.
struct Scene {
    add: Subscriber<(u64, u64), u64>,
    _provider: Provider,
    _plugins: [Plugin; 2],
    _broker: Broker,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(false)
    }

    /// `direct`: as plugins of one process call each other, or as if they were two.
    fn with(direct: bool) -> Scene {
        let broker = Broker::builder()
            .without_socket()
            .start()
            .expect("a broker");
        let [provider, caller] = ["Provider", "Caller"].map(|name| {
            let connection = broker.connect().expect("a connection");
            let plugin = Plugin::builder(name)
                .direct_calls(direct)
                .descriptor(connection)
                .connect();
            plugin.expect("a plugin on this bus")
        });
        let add = |a: u64, b: u64| a.wrapping_add(b);
        let provided = provider.provide("Hot.Add", add).expect("it is free");
        let scene = Scene {
            add: open(&caller, "Hot.Add"),
            _provider: provided,
            _plugins: [provider, caller],
            _broker: broker,
        };
        // Whatever is made once a thread or once a gate is made here.
        scene.call(CALLS);
        scene
    }

    fn call(&self, calls: u64) {
        for n in 0..calls {
            assert_eq!(self.add.invoke((n, 1)).expect("an answer"), n + 1);
        }
    }
}

/// Whether two sides can be awake at the same time; says so where they cannot.
fn has_two_cpus() -> bool {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 {
        println!("skipped: two sides cannot both be awake on {cpus} CPU");
    }
    cpus >= 2
}

/// The least of what several attempts count; no further ones once it is below `enough`.
fn least(enough: u64, mut count: impl FnMut() -> u64) -> u64 {
    let mut least = u64::MAX;
    for attempt in 0..ATTEMPTS {
        least = least.min(count());
        println!("after attempt {attempt}: {least}");
        if least < enough {
            break;
        }
    }
    least
}

/// An error's text was made before there was an error, a list of words to wait for before
/// anybody waited. None of this may cost a call that goes well.
#[test]
fn calls_allocate_nothing() {
    let _alone = alone();
    let scene = Scene::new();
    let allocations = least(1, || {
        let region = Region::new(ALLOCATOR);
        scene.call(CALLS);
        let change = region.change();
        (change.allocations + change.reallocations + change.deallocations) as u64
    });
    assert_eq!(allocations, 0, "in {CALLS} calls, on all threads");
}

/// A call inside one process, which has no reason to allocate anything either.
#[test]
fn direct_calls_allocate_nothing() {
    let _alone = alone();
    let scene = Scene::with(true);
    let allocations = least(1, || {
        let region = Region::new(ALLOCATOR);
        scene.call(CALLS);
        let change = region.change();
        (change.allocations + change.reallocations + change.deallocations) as u64
    });
    assert_eq!(allocations, 0, "in {CALLS} calls");
}

/// The same count sees what is allocated: else the test above would show nothing.
#[test]
fn allocations_are_counted_on_all_threads() {
    let _alone = alone();
    let region = Region::new(ALLOCATOR);
    let made = std::thread::spawn(|| std::hint::black_box(vec![1_u8; 100]));
    made.join().expect("it ends");
    let change = region.change();
    assert!(change.allocations >= 1 && change.bytes_allocated >= 100);
}

/// Two sides that could both be awake sent each other to sleep, at two wake-ups a call.
#[test]
fn nobody_sleeps_while_both_sides_are_awake() {
    let _alone = alone();
    if !has_two_cpus() {
        return;
    }
    let scene = Scene::new();
    let enough = CALLS / 20;
    let sleeps = least(enough, || {
        let before = proc::sleeps(std::process::id());
        scene.call(CALLS);
        proc::sleeps(std::process::id()) - before
    });
    assert!(sleeps < enough, "{sleeps} sleeps in {CALLS} calls");
}

/// What the test below runs under `strace`.
#[test]
#[ignore = "does nothing but call"]
fn ten_thousand_calls() {
    Scene::new().call(CALLS);
}

/// The calls asked the kernel for the time, for a wake-up that nobody waited for, or for both.
/// Starting and ending, and the calls that warm up, are in the count.
///
/// Yields are not counted, because counting makes them: one that `strace` stops takes longer than
/// the other side spins, which then yields too, and so on for as long as both are traced.
#[test]
fn calls_ask_the_kernel_for_next_to_nothing() {
    let _alone = alone();
    if !has_two_cpus() {
        return;
    }
    if traced(&["true"]).is_none() {
        println!("skipped: there is no strace here that filters calls and may trace");
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let program = program.to_str().expect("a path that is a text");
    let run = [program, "--ignored", "--exact", "ten_thousand_calls"];
    let enough = CALLS / 5;
    let made = least(enough, || traced(&run).expect("it is traced and succeeds"));
    assert!(made < enough, "{made} system calls for {CALLS} calls");
}

/// Runs a program to its end; how many system calls other than yields its threads made, where
/// that can be said.
fn traced(run: &[&str]) -> Option<u64> {
    let report = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "--seccomp-bpf", "-e", "trace=!sched_yield"]);
    strace.arg("-o").arg(report.path());
    let output = strace.arg("--").args(run).output().ok()?;
    if !output.status.success() {
        println!("strace: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let report = std::fs::read_to_string(report.path()).ok()?;
    // The last line: 100.00, seconds, microseconds a call, calls, perhaps errors, `total`.
    let total = report.lines().find(|line| line.ends_with("total"))?;
    total.split_whitespace().nth(3)?.parse().ok()
}
