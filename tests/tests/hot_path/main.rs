//! While both sides are awake, a call, an event, and the use of a share or cell neither allocate, nor sleep, nor make
//! a system call.
//!
//! Both sides and the broker are in this process, so the counts include all three. A busy machine takes the cores
//! from the two sides, which then yield and sleep: so each test makes several attempts, and the best counts.
#![forbid(unsafe_code)]

mod cells;
mod events;
mod shares;

use std::alloc::System;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use callgate::Broker;
use callgate_client::{Context, Payload, Plugin, Provider, RawSubscriber, Subscriber};
use callgate_tests::shorthand::open;
use callgate_tests::{PATIENCE, proc};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts the allocations of all threads of this process.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: u64 = 10_000;
/// How many more calls the second run makes, when the costs of two runs are compared.
const MORE: u64 = 50_000;
const LOANS: u64 = 1_000;
const ATTEMPTS: u32 = 20;

/// Runs one test at a time, so that none counts the work of another.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bus with two plugins, one of which calls the other.
struct Scene {
    add: Subscriber<(u64, u64), u64>,
    note: Subscriber<(u64, u64), ()>,
    first: RawSubscriber<u64>,
    _providers: [Provider; 3],
    _plugins: [Plugin; 2],
    _broker: Broker,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(false)
    }

    /// `direct`: whether the plugins call each other directly, or as if they were in two processes.
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
        let note = |_: u64, _: u64| {};
        let first = |_: Context<'_>, bytes: Payload<'_>| bytes.word(0).unwrap_or_default();
        let provided = [
            provider.provide("Hot.Add", add),
            provider.provide_action("Hot.Note", note),
            provider.provide_raw("Hot.First", first),
        ];
        let first = caller.raw_subscriber("Hot.First").expect("opening a gate");
        first.wait_ready(PATIENCE).expect("its provider");
        let scene = Scene {
            add: open(&caller, "Hot.Add"),
            note: open(&caller, "Hot.Note"),
            first,
            _providers: provided.map(|provided| provided.expect("it is free")),
            _plugins: [provider, caller],
            _broker: broker,
        };
        // Everything that is allocated once for each thread or gate is allocated here.
        scene.call(CALLS);
        scene
    }

    fn call(&self, calls: u64) {
        for n in 0..calls {
            assert_eq!(self.add.invoke((n, 1)).expect("an answer"), n + 1);
        }
    }

    fn act(&self, calls: u64) {
        for n in 0..calls {
            self.note.invoke_action((n, 1)).expect("it is done");
        }
    }

    /// Calls with 1 MiB each, which the caller fills in place.
    fn lend(&self, calls: u64) {
        for n in 0..calls {
            let mut loan = self.first.loan(1 << 20).expect("room");
            loan.bytes()[..8].copy_from_slice(&n.to_le_bytes());
            assert_eq!(loan.invoke().expect("an answer"), n);
        }
    }
}

/// Whether two sides can be awake at the same time; prints a message if not.
fn has_two_cpus() -> bool {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 {
        println!("skipped: two sides cannot both be awake on {cpus} CPU");
    }
    cpus >= 2
}

/// The smallest result of several attempts. Stops when one is below `enough`. On a busy machine many attempts are
/// disturbed, so they go on for some time.
fn least(enough: u64, mut count: impl FnMut() -> u64) -> u64 {
    let (mut least, begun) = (u64::MAX, Instant::now());
    for attempt in 0.. {
        least = least.min(count());
        println!("after attempt {attempt}: {least}");
        let is_enough = attempt >= ATTEMPTS && begun.elapsed() > PATIENCE;
        if least < enough || is_enough {
            break;
        }
    }
    least
}

/// The smallest number of allocations, on all threads, in several runs.
fn allocations(mut work: impl FnMut()) -> u64 {
    least(1, || {
        let region = Region::new(ALLOCATOR);
        work();
        let change = region.change();
        (change.allocations + change.reallocations + change.deallocations) as u64
    })
}

/// A successful call allocates nothing. For example, error texts and lists of words to wait for are made only when
/// they are needed.
#[test]
fn calls_allocate_nothing() {
    let _alone = alone();
    let scene = Scene::new();
    let made = allocations(|| scene.call(CALLS));
    assert_eq!(made, 0, "in {CALLS} calls, on all threads");
}

/// A call inside one process allocates nothing.
#[test]
fn direct_calls_allocate_nothing() {
    let _alone = alone();
    let scene = Scene::with(true);
    let made = allocations(|| scene.call(CALLS));
    assert_eq!(made, 0, "in {CALLS} calls");
}

/// An action's answer allocates nothing.
#[test]
fn actions_allocate_nothing() {
    let _alone = alone();
    let scene = Scene::new();
    scene.act(CALLS);
    let made = allocations(|| scene.act(CALLS));
    assert_eq!(made, 0, "in {CALLS} actions, on all threads");
}

/// A loan allocates nothing: its record and its memory are used again. So a megabyte that is passed on in place costs
/// as much as a few bytes.
#[test]
fn loans_allocate_nothing() {
    let _alone = alone();
    let scene = Scene::new();
    scene.lend(LOANS);
    let made = allocations(|| scene.lend(LOANS));
    assert_eq!(made, 0, "in {LOANS} calls with a megabyte, on all threads");
}

/// The same count does see allocations: otherwise the tests above would prove nothing.
#[test]
fn allocations_are_counted_on_all_threads() {
    let _alone = alone();
    let region = Region::new(ALLOCATOR);
    let made = std::thread::spawn(|| std::hint::black_box(vec![1_u8; 100]));
    made.join().expect("it ends");
    let change = region.change();
    assert!(change.allocations >= 1 && change.bytes_allocated >= 100);
}

/// While both sides can stay awake, neither puts the other to sleep, which would cost two wake-ups for each call.
#[test]
fn nobody_sleeps_while_both_sides_are_awake() {
    let _alone = alone();
    if !has_two_cpus() {
        return;
    }
    let scene = Scene::new();
    let enough = CALLS / 100;
    let sleeps = least(enough, || {
        let before = proc::sleeps(std::process::id());
        scene.call(CALLS);
        proc::sleeps(std::process::id()) - before
    });
    assert!(sleeps < enough, "{sleeps} sleeps in {CALLS} calls");
}

/// This is run under `strace` by the test below.
#[test]
#[ignore = "does nothing but call"]
fn ten_thousand_calls() {
    Scene::new().call(CALLS);
}

/// The same with more calls.
#[test]
#[ignore = "does nothing but call"]
fn sixty_thousand_calls() {
    Scene::new().call(CALLS + MORE);
}

/// A call makes no system calls. In particular it does not ask the kernel for the time, or for a wake-up that nobody
/// waits for.
///
/// The test counts how many more system calls a program makes with more calls: at most two in a thousand calls. The
/// count of a whole program would hide one in five, behind those of its start and its end. Yields are not counted,
/// because counting causes them: a yield that `strace` stops takes longer than the other side spins, which then
/// yields too, and so on while both are traced. Sleeps, each with the one call that ends it, are tested above.
#[test]
fn calls_ask_the_kernel_for_next_to_nothing() {
    let enough = MORE * 2 / 1_000;
    if let Some(more) = more_system_calls(["ten_thousand_calls", "sixty_thousand_calls"], enough) {
        assert!(more < enough, "{more} system calls for {MORE} more calls");
    }
}

/// How many more system calls the second of two tests makes than the first, which does the same less often. Makes no
/// further attempts once the number is below `enough`. `None` if they cannot be counted.
fn more_system_calls([few, many]: [&str; 2], enough: u64) -> Option<u64> {
    let _alone = alone();
    if !has_two_cpus() {
        return None;
    }
    if traced(&["true"]).is_none() {
        println!("skipped: there is no strace here that filters calls and may trace");
        return None;
    }
    let program = std::env::current_exe().expect("this program");
    let program = program.to_str().expect("a path that is a text");
    let count = |test| {
        let run = [program, "--ignored", "--exact", test];
        traced(&run).expect("it is traced and succeeds")
    };
    // Too high a number here would hide a fault, so one count is not enough.
    let before = (0..3).map(|_| count(few)).min().unwrap_or_default();
    println!("{before} system calls in {few}");
    Some(least(enough, || count(many).saturating_sub(before)))
}

/// Runs a program to its end. Returns how many system calls its threads made, apart from yields, sleeps and the ends
/// of sleeps, if they can be counted.
fn traced(run: &[&str]) -> Option<u64> {
    let report = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q", "--seccomp-bpf", "-e", "trace=!sched_yield"]);
    strace.args(["-e", "signal=none", "-o"]).arg(report.path());
    let output = strace.arg("--").args(run).output().ok()?;
    if !output.status.success() {
        println!("strace: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let report = std::fs::read_to_string(report.path()).ok()?;
    // Each line has the thread's number and a call, the result of an interrupted call, or the thread's end.
    let calls = report.lines().filter_map(|line| line.split_once(' '));
    let calls = calls.map(|(_, call)| call.trim_start());
    let calls: Vec<&str> = calls
        .filter(|call| call.starts_with(|first: char| first.is_ascii_lowercase()))
        .collect();
    let of = |words: &[&str]| {
        let is_one = |call: &&&str| words.iter().any(|word| call.contains(word));
        calls.iter().filter(is_one).count()
    };
    let (sleeps, wakes) = (of(&["futex_waitv(", "FUTEX_WAIT"]), of(&["FUTEX_WAKE"]));
    let others = calls.len() - sleeps - wakes;
    Some((others + wakes.saturating_sub(sleeps)) as u64)
}
