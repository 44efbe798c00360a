//! Random calls that never close a circle: no call ends with `DEADLOCK`.
//!
//! It runs a few seconds by default, or `CALLGATE_GRAPH` seconds. `CALLGATE_SEED` repeats the same choices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Subscriber};
use callgate_tests::graph::{MORTAL, PLUGINS, PROCESSES, Task, told_file};
use callgate_tests::random::Random;
use callgate_tests::{Bus, PATIENCE, Process, programs};

/// How many threads call.
const CALLERS: usize = 6;
/// How deep the calls of one task go.
const DEPTH: u8 = 4;
/// How many tasks must be done, however slow the machine is.
const ENOUGH: u64 = 50;

fn length() -> Duration {
    let given = std::env::var("CALLGATE_GRAPH").ok();
    Duration::from_secs(given.and_then(|secs| secs.parse().ok()).unwrap_or(6))
}

fn start(bus: &Bus, process: usize) -> Process {
    bus.peer("graph", "graph", &[&process.to_string()])
}

/// Calls for tasks until the flag is set, and counts those that were done.
fn call(
    work: &[Subscriber<(Task,), ()>],
    random: &mut Random,
    (is_over, done): (&AtomicBool, &AtomicU64),
) {
    while !is_over.load(Ordering::Relaxed) {
        let task = (random.number(), DEPTH, random.below(2) == 0);
        match work[random.below(PLUGINS)].invoke((task,)) {
            Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
            Err(error) => assert!(
                matches!(error.code(), Code::ProviderGone | Code::NotReady),
                "{error}"
            ),
        }
    }
}

/// No call ends with `DEADLOCK` unless it is in a circle. A broker that put together snapshots of status pages from
/// different moments would end thousands of calls wrongly.
#[test]
fn nobody_is_told_who_does_not_wait_in_vain() {
    let (bus, mut random) = (Bus::start(programs!()), Random::new("graph"));
    let each = 0..PROCESSES.len();
    let mut processes: BTreeMap<usize, Process> = each.map(|n| (n, start(&bus, n))).collect();
    let caller = bus.plugin("T");
    let open = |n| {
        let work = caller.subscriber::<(Task,), ()>(&format!("N{n}.Work"));
        work.unwrap().with_timeout(PATIENCE)
    };
    let work: Vec<_> = (0..PLUGINS).map(open).collect();
    let (is_over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            let (mut random, work) = (random.fork(), &work);
            let counts = (&is_over, &done);
            scope.spawn(move || call(work, &mut random, counts));
        }
        let until = Instant::now() + length();
        let is_enough = || Instant::now() > until && done.load(Ordering::Relaxed) > ENOUGH;
        while !is_enough() && Instant::now() < until + PATIENCE {
            random.pause(1_500);
            let mortal = MORTAL[random.below(MORTAL.len())];
            processes.remove(&mortal).expect("it was started").kill();
            processes.insert(mortal, start(&bus, mortal));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let told = std::fs::read_to_string(told_file(&bus.socket())).unwrap_or_default();
    assert_eq!(told, "");
    let done = done.load(Ordering::Relaxed);
    println!("{done} tasks");
    assert!(done > ENOUGH, "{done}");
}
