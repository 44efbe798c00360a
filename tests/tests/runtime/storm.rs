//! Many plugins on pipes are called all the time, while one after the other is killed or stopped. Every request is
//! answered or fails with a code, every plugin comes back after its back-off, and no memory, descriptors or processes
//! are left behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::dynamic::Gate;
use callgate_client::{Code, Plugin};
use callgate_tests::proc::{descriptors, private_memory};
use callgate_tests::random::Random;
use callgate_tests::shorthand::await_that;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::scene::{Scene, echo, is_expected, open};

/// How many plugins call. Each calls its share of the others.
const CALLERS: usize = 4;
/// How many requests of a caller are open at once, each to another plugin.
const OPEN: usize = 8;

#[derive(Clone, Copy)]
struct Size {
    plugins: usize,
    requests: usize,
    kills: usize,
}

fn manifest() -> Value {
    json!({"restart": {
        "ask_every_ms": 400,
        "hung_after": 3,
        "backoff_ms": [10, 50, 100, 1000],
        "steady_after_ms": 500,
        "quarantine_crashes": 0,
        "call_deadline_ms": 20_000,
    }})
}

/// How the requests ended.
#[derive(Default)]
struct Outcomes {
    answered: usize,
    failed: BTreeMap<&'static str, usize>,
}

impl Outcomes {
    fn add(&mut self, other: &Outcomes) {
        self.answered += other.answered;
        for (code, count) in &other.failed {
            *self.failed.entry(code).or_default() += count;
        }
    }

    fn count(&self) -> usize {
        self.answered + self.failed.values().sum::<usize>()
    }
}

/// Calls all plugins in turn, several at a time, until so many requests have ended.
fn ask(gates: &[Gate], count: usize, done: &AtomicUsize) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let params = |number: usize| json!({"number": number, "text": "x".repeat(32)});
    let mut failed = |code: Code| {
        assert!(is_expected(code), "{code:?}");
        *outcomes.failed.entry(code.as_str()).or_default() += 1;
    };
    let mut answered = 0;
    for first in (0..count).step_by(OPEN) {
        let numbers = first..count.min(first + OPEN);
        let sent: Vec<_> = numbers
            .map(|number| {
                let gate = &gates[number % gates.len()];
                (number, gate.send_values(&[params(number)]))
            })
            .collect();
        for (number, sent) in sent {
            match sent.and_then(|sent| sent.wait_value()) {
                Ok(result) => {
                    assert_eq!(result, params(number), "another request's answer");
                    answered += 1;
                }
                Err(error) => failed(error.code()),
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
    outcomes.answered = answered;
    outcomes
}

/// Kills and stops plugins that are ready, and records how long each is away.
struct Killer {
    random: Random,
    /// The plugins that it has hit: the process, and when.
    hit: BTreeMap<String, (u64, Instant)>,
    kills: usize,
    stops: usize,
    away: Vec<Duration>,
}

impl Killer {
    fn new() -> Killer {
        Killer {
            random: Random::new("storm"),
            hit: BTreeMap::new(),
            kills: 0,
            stops: 0,
            away: Vec::new(),
        }
    }

    /// Draws one plugin, and hits it if it is ready.
    fn hit(&mut self, all: &[Value]) {
        let drawn = &all[self.random.below(all.len())];
        let name = drawn["name"].as_str().expect("a name").to_owned();
        let Some(pid) = drawn["pid"].as_u64().filter(|_| drawn["state"] == "ready") else {
            return;
        };
        if self.hit.contains_key(&name) {
            return;
        }
        let is_stop = self.random.below(4) == 0;
        let signal = if is_stop {
            Signal::SIGSTOP
        } else {
            Signal::SIGKILL
        };
        if kill(Pid::from_raw(pid as i32), signal).is_ok() {
            self.kills += usize::from(!is_stop);
            self.stops += usize::from(is_stop);
            self.hit.insert(name, (pid, Instant::now()));
        }
    }

    /// Notes which plugins are back.
    fn look(&mut self, all: &[Value]) {
        let away = &mut self.away;
        self.hit.retain(|name, (pid, at)| {
            let plugin = all.iter().find(|plugin| plugin["name"] == **name);
            let is_back =
                plugin.is_some_and(|plugin| plugin["state"] == "ready" && plugin["pid"] != *pid);
            if is_back {
                away.push(at.elapsed());
            }
            !is_back
        });
    }

    /// Hits plugins at the pace of the requests, until it has hit enough of them and all requests have ended.
    fn run(&mut self, scene: &mut Scene, size: Size, done: &AtomicUsize) {
        loop {
            let all = scene.status();
            self.look(&all);
            let ended = done.load(Ordering::Relaxed);
            let due = size.kills * ended / size.requests;
            for _ in self.kills + self.stops..due {
                self.hit(&all);
            }
            if ended == size.requests
                && self.kills + self.stops >= size.kills
                && self.hit.is_empty()
            {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What the host holds: bytes of memory, and descriptors.
fn holdings(scene: &mut Scene) -> (u64, usize) {
    let pid = scene.host().id();
    (private_memory(pid), descriptors(pid))
}

/// One storm over all gates.
fn rage(scene: &mut Scene, callers: &[Vec<Gate>], size: Size) -> Killer {
    let done = AtomicUsize::new(0);
    let (begun, share) = (Instant::now(), size.requests / callers.len());
    let (mut outcomes, mut killer) = (Outcomes::default(), Killer::new());
    thread::scope(|scope| {
        let asking: Vec<_> = callers
            .iter()
            .map(|gates| scope.spawn(|| ask(gates, share, &done)))
            .collect();
        killer.run(scene, size, &done);
        for asking in asking {
            outcomes.add(&asking.join().expect("it only asks"));
        }
    });
    assert_eq!(outcomes.count(), size.requests, "each request ended once");
    killer.away.sort_unstable();
    let away = |part: usize| killer.away.get(killer.away.len() * part / 100);
    println!(
        "{:.1?}: {} requests, {} answered, {:?}; {} killed, {} stopped, away {:?} (median), {:?} (95 %), {:?} (most)",
        begun.elapsed(),
        size.requests,
        outcomes.answered,
        outcomes.failed,
        killer.kills,
        killer.stops,
        away(50),
        away(95),
        killer.away.last()
    );
    killer
}

/// Waits until all plugins are ready, and calls each once.
fn all_answer(scene: &mut Scene, callers: &[Vec<Gate>]) {
    scene.await_all_ready();
    for gate in callers.iter().flatten() {
        gate.wait_ready(callgate_tests::PATIENCE)
            .expect("it is back");
        echo(gate, 1).expect("it answers");
    }
}

fn storm(size: Size) {
    let mut scene = Scene::new();
    let names: Vec<String> = (0..size.plugins).map(|n| format!("p{n}")).collect();
    for name in &names {
        scene.plugin(name, "echo", &manifest());
    }
    let begun = Instant::now();
    scene.start(Duration::from_secs(10));
    scene.await_all_ready();
    println!(
        "{} plugins were ready after {:.1?}",
        size.plugins,
        begun.elapsed()
    );
    let members: Vec<Plugin> = (0..CALLERS)
        .map(|n| scene.member(&format!("caller{n}")))
        .collect();
    let callers: Vec<Vec<Gate>> = members
        .iter()
        .enumerate()
        .map(|(n, member)| {
            let names = names.iter().skip(n).step_by(CALLERS);
            names
                .map(|name| open(member, &format!("{name}.echo")))
                .collect()
        })
        .collect();
    // After the first half, the host has everything that it keeps for later use.
    let half = Size {
        requests: size.requests / 2,
        kills: size.kills / 2,
        ..size
    };
    let mut hits = 0;
    let mut held = Vec::new();
    for _ in 0..2 {
        let killer = rage(&mut scene, &callers, half);
        hits += killer.kills + killer.stops;
        all_answer(&mut scene, &callers);
        held.push(holdings(&mut scene));
    }
    println!("memory and descriptors of the host after each half: {held:?}");
    let restarts =
        |all: &[Value]| -> u64 { all.iter().filter_map(|one| one["restarts"].as_u64()).sum() };
    let restarts = restarts(&scene.status());
    assert!(restarts >= hits as u64, "{restarts} restarts, {hits} hits");
    let [(memory, before), (grown, after)] = held[..] else {
        panic!("{held:?}");
    };
    assert!(
        grown <= memory + memory / 10 + (8 << 20),
        "memory is not flat"
    );
    await_that("its descriptors are back", || {
        holdings(&mut scene).1 <= before + 2 || after <= before
    });
    ends_with_its_host(&mut scene, size.plugins);
}

/// When the host is killed, all plugins end.
fn ends_with_its_host(scene: &mut Scene, plugins: usize) {
    assert_eq!(scene.processes().len(), plugins);
    scene.host().end();
    await_that("no process is left", || scene.processes().is_empty());
}

#[test]
fn plugins_come_back_and_requests_end_while_many_are_killed() {
    storm(Size {
        plugins: 40,
        requests: 20_000,
        kills: 30,
    });
}

#[test]
#[ignore = "starts 200 processes, and takes some minutes"]
fn two_hundred_plugins_a_million_requests_and_a_thousand_kills() {
    storm(Size {
        plugins: 200,
        requests: 1_000_000,
        kills: 1000,
    });
}
