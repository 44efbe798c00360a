//! Twenty plugins that call each other at full rate, while their broker is killed and started again and again.
//!
//! Six times by default; `CALLGATE_RESTARTS=50` for the long run, in which everything must be back within two
//! seconds.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::Plugin;
use callgate_layout::clock;
use callgate_tests::proc::eventually;
use callgate_tests::random::Random;
use callgate_tests::restart::worker::{ROUND, Totals, names};
use callgate_tests::restart::{Held, restarts};
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, PATIENCE, Process, programs};

/// The plugins of each process, by the dispatch of each.
const PROCESSES: [(&str, &[&str]); 4] = [
    ("West", &["thread", "pool", "pump", "group", "group"]),
    ("East", &["thread", "thread", "pool", "direct", "direct"]),
    ("North", &["pump", "pump", "group", "group", "group"]),
    ("South", &["direct", "direct", "direct", "pool", "thread"]),
];
/// How long it may take until everything is back: the promise, and the limit on a busy machine.
const BACK: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

struct Load {
    bus: Bus,
    processes: Vec<Process>,
    names: Vec<String>,
}

impl Load {
    /// Starts all plugins, and waits until each has called all others.
    fn start() -> Load {
        let bus = Bus::start_open(programs!());
        let start = |(name, modes): &(&str, &[&str])| bus.peer("worker", name, modes);
        let processes = PROCESSES.iter().map(start).collect();
        let all = PROCESSES
            .iter()
            .flat_map(|(name, modes)| names(name, modes));
        let names = all.collect();
        let mut load = Load {
            bus,
            processes,
            names,
        };
        load.call();
        load.expect_progress();
        load
    }

    fn call(&mut self) {
        let call = format!("call {}", self.names.join(","));
        for process in &mut self.processes {
            assert_eq!(process.ask(&call), "calling");
        }
    }

    fn totals(&mut self, line: &str) -> Vec<Totals> {
        let ask = |process| Totals::ask(process, line);
        self.processes.iter_mut().map(ask).collect()
    }

    /// Waits for two hundred more answers to each process.
    fn expect_progress(&mut self) {
        let before = self.totals("counts");
        await_that("all go on", || {
            let now = self.totals("counts");
            let mut both = now.iter().zip(&before);
            both.all(|(now, before)| now.answered > before.answered + 200)
        });
    }

    fn held(&self) -> Vec<Held> {
        let pids = self.processes.iter().map(Process::id);
        // All at once, because each takes a while.
        let looks: Vec<_> = pids
            .map(|pid| thread::spawn(move || Held::at_rest(pid)))
            .collect();
        let held = looks.into_iter().map(|look| look.join());
        held.map(|held| held.expect("it is at rest")).collect()
    }

    /// When each plugin has seen the gate of this round, in nanoseconds of the monotonic clock.
    fn seen(&mut self, round: u64) -> Vec<u64> {
        let processes = &mut self.processes;
        eventually("every watch and subscriber is of use again", || {
            let said: Vec<String> = processes.iter_mut().map(|one| one.ask("seen")).collect();
            let said = said.join(" ");
            let number = |text: &str| text.parse::<u64>().expect("a number");
            let pairs = said.split(' ').filter_map(|pair| pair.split_once(':'));
            let seen = pairs.filter(|(seen, _)| number(seen) == round);
            let seen: Vec<u64> = seen.map(|(_, when)| number(when)).collect();
            match seen.len() == 20 {
                true => Ok(seen),
                false => Err(said),
            }
        })
    }

    /// Kills the broker, starts it again, and waits until everything works again. Returns how long that took from the
    /// moment when the broker was ready.
    fn round(&mut self, round: u64) -> Duration {
        self.bus.restart_broker();
        let (there, nanos) = (Instant::now(), clock::now());
        // A new plugin provides a gate to all, and calls all their gates.
        let new = self.bus.plugin("New");
        let _gate = new.provide(ROUND, move || round).expect("providing");
        self.call_all(&new);
        let called = there.elapsed();
        let last = self.seen(round).into_iter().max().unwrap_or(nanos);
        let seen = Duration::from_nanos(last.saturating_sub(nanos));
        println!("round {round}: all gates {called:.0?}, all watches {seen:.0?}");
        called.max(seen)
    }

    fn call_all(&self, new: &Plugin) {
        for name in &self.names {
            let add = new.subscriber::<(u64, u64), u64>(&format!("{name}.Add"));
            let add = add.expect("opening").with_timeout(PATIENCE);
            add.wait_ready(PATIENCE).expect("its plugin is back");
            assert_eq!(add.invoke((2, 3)).expect("it is served"), 5);
        }
    }
}

/// When a broker is killed under load, no call fails, all gates are back soon, and nothing stays behind of any
/// earlier broker.
#[test]
fn under_load_no_call_fails_and_everything_is_back_soon() {
    let mut random = Random::new("restarts");
    let mut load = Load::start();
    load.totals("stop");
    let before = load.held();
    load.call();
    let (mut times, is_long) = (Vec::new(), restarts() > 6);
    for round in 1..=u64::from(restarts()) {
        load.expect_progress();
        times.push(load.round(round));
        // Some brokers end while the links of the one before still drain, others later.
        thread::sleep(Duration::from_millis(match random.below(4) {
            0 if is_long => 6_000,
            1 => 0,
            _ => random.number() % 500,
        }));
    }
    load.expect_progress();
    let totals = load.totals("stop");
    let sum = |what: fn(&Totals) -> u64| totals.iter().map(what).sum::<u64>();
    let [answered, without_room, failed] = [
        sum(|totals| totals.answered),
        sum(|totals| totals.without_room),
        sum(|totals| totals.failed),
    ];
    times.sort();
    println!(
        "{answered} calls, {without_room} had no room for their answer, {failed} failed; {} brokers, back after {:?} at most, {:?} mostly",
        times.len(),
        times.last(),
        times[times.len() / 2],
    );
    assert_eq!(failed, 0, "{totals:#?}");
    let most = BACK[usize::from(!is_long)];
    assert!(times.iter().all(|time| *time < most), "{times:?}");
    for ((before, process), (name, _)) in before.iter().zip(&load.processes).zip(PROCESSES) {
        before.expect_again(name, process.id());
    }
}
