//! How calls are shared out among 16 callers of one provider, on few cores.
//!
//! ```text
//! cargo bench -p callgate-tests --bench callers [-- ROUNDS]
//! ```
//!
//! prints, for callers that are threads of one plugin and for callers that are processes, how many calls
//! each made in a second, and how often it gave its core up (it slept or yielded) and was taken off it.
//! What counts is the ratio of most to fewest, and the sum beside that of another build in the same
//! minute: times on a shared machine do not compare otherwise.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Plugin, Subscriber};
use callgate_tests::{Bus, PATIENCE, Process, programs};

const CALLERS: usize = 16;
const SECOND: Duration = Duration::from_secs(1);

/// What one caller did in a second.
#[derive(Clone, Copy, Debug)]
struct Made {
    calls: u64,
    /// How often it gave its core up, and was taken off it.
    gave_up: u64,
    taken_off: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [role, socket, name, count] if role == "call" => {
            return call(Path::new(socket), name, count.parse().expect("a number"));
        }
        [role, socket] if role == "provide" => return provide(Path::new(socket)),
        _ => {}
    }
    let rounds = arguments.iter().find_map(|text| text.parse().ok());
    for round in 0..rounds.unwrap_or(3) {
        for (what, processes) in [("threads", 1), ("processes", CALLERS)] {
            let bus = Bus::start(programs!());
            let mut provider = Process::spawn(again(&["provide", &socket(&bus)]));
            assert_eq!(provider.expect_line(), "ready");
            let made = measure(&bus, processes);
            report(round, what, &made);
        }
    }
}

fn socket(bus: &Bus) -> String {
    bus.socket().display().to_string()
}

/// This program in another role.
fn again(arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().expect("its path"));
    command.args(arguments);
    command
}

/// Has so many processes call, with all callers shared out among them.
fn measure(bus: &Bus, processes: usize) -> Vec<Made> {
    let count = (CALLERS / processes).to_string();
    let mut callers: Vec<_> = (0..processes)
        .map(|n| {
            let name = format!("C{n}");
            let mut caller = Process::spawn(again(&["call", &socket(bus), &name, &count]));
            assert_eq!(caller.expect_line(), "ready");
            caller
        })
        .collect();
    for caller in &mut callers {
        caller.say("go");
    }
    let mut made = Vec::new();
    for caller in &mut callers {
        for _ in 0..CALLERS / processes {
            let line = caller.expect_line();
            let mut numbers = line.split(' ').map(|text| text.parse().expect("a number"));
            let mut next = || numbers.next().expect("three numbers");
            made.push(Made {
                calls: next(),
                gave_up: next(),
                taken_off: next(),
            });
        }
    }
    made
}

fn report(round: usize, what: &str, made: &[Made]) {
    let mut made = made.to_vec();
    made.sort_by_key(|one| one.calls);
    let (fewest, most) = (made[0].calls, made[made.len() - 1].calls);
    let all: u64 = made.iter().map(|one| one.calls).sum();
    let ratio = most as f64 / fewest.max(1) as f64;
    println!("{round} {what:9} most/fewest {ratio:6.1}  all {all:8}");
    let column = |of: fn(&Made) -> u64| {
        let texts: Vec<_> = made.iter().map(|one| of(one).to_string()).collect();
        texts.join(" ")
    };
    println!("    calls     {}", column(|one| one.calls));
    println!("    gave up   {}", column(|one| one.gave_up));
    println!("    taken off {}", column(|one| one.taken_off));
}

fn provide(socket: &Path) {
    let plugin = Plugin::builder("P")
        .socket(socket)
        .connect()
        .expect("the bus");
    let _next = plugin.provide("P.Next", |n: u64| n + 1).expect("providing");
    println!("ready");
    thread::park();
}

/// Calls from so many threads for a second, once it is told to.
fn call(socket: &Path, name: &str, threads: usize) {
    let plugin = Plugin::builder(name)
        .socket(socket)
        .connect()
        .expect("the bus");
    let next: Subscriber<(u64,), u64> = plugin.subscriber("P.Next").expect("opening");
    next.wait_ready(PATIENCE).expect("its provider");
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).expect("go");
    let barrier = Barrier::new(threads);
    let made: Vec<Made> = thread::scope(|scope| {
        let threads = (0..threads).map(|_| scope.spawn(|| call_for_a_second(&next, &barrier)));
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    for one in made {
        println!("{} {} {}", one.calls, one.gave_up, one.taken_off);
    }
}

fn call_for_a_second(next: &Subscriber<(u64,), u64>, barrier: &Barrier) -> Made {
    barrier.wait();
    let (before, start) = (switches(), Instant::now());
    let mut calls = 0;
    while start.elapsed() < SECOND {
        assert_eq!(next.invoke((calls,)).expect("an answer"), calls + 1);
        calls += 1;
    }
    let after = switches();
    Made {
        calls,
        gave_up: after.0 - before.0,
        taken_off: after.1 - before.1,
    }
}

/// How often this thread gave its core up, and was taken off it.
fn switches() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("/proc");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|text| text.trim().parse().ok());
        number.unwrap_or(0)
    };
    (
        of("voluntary_ctxt_switches:"),
        of("nonvoluntary_ctxt_switches:"),
    )
}
