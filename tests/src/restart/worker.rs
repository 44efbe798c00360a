//! A role of `callgate-peer`: a process of several plugins. They are called, call others at full rate, and watch for
//! one gate that somebody provides anew with every broker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use callgate_client::{Code, Error, Group, Plugin, Result, Subscriber, View};
use callgate_layout::clock;

use crate::pumped::Pumped;
use crate::shorthand::pattern;
use crate::suite;
use crate::{PATIENCE, Process};

/// A gate that another plugin provides with each broker. It answers with a number.
pub const ROUND: &str = "Round.Gate";
/// Payloads of every 8th call: in the link's own memory, and in extents.
const LENGTHS: [usize; 4] = [1_000, 3_000, 100_000, 300_000];

/// The names of the plugins that such a process has.
#[must_use]
pub fn names(process: &str, modes: &[&str]) -> Vec<String> {
    let name = |(n, mode)| format!("{process}-{mode}-{n}");
    modes.iter().enumerate().map(name).collect()
}

/// One plugin of the process.
struct Worker {
    plugin: Pumped,
    counts: Arc<Counts>,
    callers: Vec<JoinHandle<()>>,
    /// The number that [`ROUND`] has answered with, and when.
    seen: Arc<Mutex<(u64, u64)>>,
}

#[derive(Default)]
struct Counts {
    is_over: AtomicBool,
    answered: AtomicU64,
    /// Calls that have run, but whose answers needed memory from the broker that had ended.
    without_room: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
    /// The first few failures, in full.
    first: Mutex<Vec<String>>,
}

/// Plays the role if it is this one; returns whether it is.
///
/// # Panics
///
/// If the plugins cannot connect or provide their gates.
pub fn play(role: &str, name: &str, modes: &[String]) -> bool {
    if role != "worker" {
        return false;
    }
    let modes: Vec<&str> = modes.iter().map(String::as_str).collect();
    let group = Group::new().expect("a group");
    let names = names(name, &modes);
    let named = names.iter().zip(&modes);
    let mut workers: Vec<Worker> = named
        .map(|(name, mode)| Worker::start(name, mode, &group).expect("the bus"))
        .collect();
    println!("ready");
    for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
        println!("{}", obey(&mut workers, &line));
    }
    true
}

/// How the calls of such a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that have run, but whose answers needed memory from the broker that had ended.
    pub without_room: u64,
    /// All other calls.
    pub failed: u64,
    /// The errors of the failed calls.
    pub why: String,
}

impl Totals {
    /// Writes a line that the process answers with its totals: `counts` or `stop`.
    pub fn ask(process: &mut Process, line: &str) -> Totals {
        let said = process.ask(line);
        let mut words = said.splitn(4, ' ');
        let mut number = || words.next().and_then(|word| word.parse().ok());
        let numbers = [number(), number(), number()].map(|n| n.unwrap_or_else(|| panic!("{said}")));
        Totals {
            answered: numbers[0],
            without_room: numbers[1],
            failed: numbers[2],
            why: words.next().unwrap_or_default().to_owned(),
        }
    }
}

/// Obeys a line and returns the answer.
fn obey(workers: &mut [Worker], line: &str) -> String {
    if let Some(targets) = line.strip_prefix("call ") {
        let targets: Vec<&str> = targets.split(',').collect();
        let started: Result<()> = workers
            .iter_mut()
            .try_for_each(|worker| worker.call(&targets));
        return started.map_or_else(|error| error.to_string(), |()| "calling".to_owned());
    }
    match line {
        "seen" => {
            let seen = workers
                .iter()
                .map(|worker| *worker.seen.lock().expect("no panic"));
            let seen = seen.map(|(number, when)| format!("{number}:{when}"));
            seen.collect::<Vec<_>>().join(" ")
        }
        "stop" => {
            workers.iter_mut().for_each(Worker::stop);
            total(workers)
        }
        _ => total(workers),
    }
}

/// How many calls were answered, how many failed, and with which errors.
fn total(workers: &[Worker]) -> String {
    let (mut answered, mut without_room, mut failed, mut why) = (0, 0, 0, String::new());
    for worker in workers {
        answered += worker.counts.answered.load(Ordering::Relaxed);
        without_room += worker.counts.without_room.load(Ordering::Relaxed);
        let codes = worker.counts.failed.lock().expect("no panic");
        failed += codes.values().sum::<u64>();
        if !codes.is_empty() {
            let first = worker.counts.first.lock().expect("no panic");
            why = format!(
                "{why} {}: {codes:?}, first {first:?};",
                worker.plugin.name()
            );
        }
    }
    format!("{answered} {without_room} {failed}{why}")
}

impl Worker {
    fn start(name: &str, mode: &str, group: &Group) -> Result<Worker> {
        let dispatch = suite::dispatch(match mode {
            "direct" => "thread",
            mode => mode,
        });
        let builder = Plugin::builder(name).direct_calls(mode == "direct");
        let builder = builder
            .dispatch(dispatch)
            .keep_idle(Duration::from_millis(500));
        let plugin = match mode {
            "group" => builder.group(group).connect()?,
            _ => builder.connect()?,
        };
        plugin
            .provide(&format!("{name}.Add"), |a: u64, b: u64| a.wrapping_add(b))?
            .keep();
        plugin
            .provide(&format!("{name}.Echo"), |bytes: View<'_, Vec<u8>>| {
                bytes.to_vec()
            })?
            .keep();
        let sum = |bytes: View<'_, Vec<u8>>| sum(&bytes);
        plugin.provide(&format!("{name}.Sum"), sum)?.keep();
        plugin
            .provide(&format!("{name}.Sleep"), |millis: u64| {
                thread::sleep(Duration::from_millis(millis));
            })?
            .keep();
        let seen = Arc::default();
        look_for_rounds(&plugin, &seen)?;
        Ok(Worker {
            plugin: Pumped::new(plugin, dispatch),
            counts: Arc::default(),
            callers: Vec::new(),
            seen,
        })
    }

    /// Calls all of these from a thread, one after the other and as fast as they answer.
    fn call(&mut self, targets: &[&str]) -> Result<()> {
        let own = self.plugin.name().to_owned();
        let others = targets.iter().filter(|name| ***name != *own);
        let gates = others.map(|name| self.open(name));
        let gates = gates.collect::<Result<Vec<_>>>()?;
        let counts = self.counts.clone();
        self.callers.push(thread::spawn(move || {
            for n in 0.. {
                if counts.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let gates = &gates[n as usize % gates.len()];
                counts.note(call(gates, n));
            }
        }));
        Ok(())
    }

    fn open(&self, name: &str) -> Result<Gates> {
        let add = self.plugin.subscriber(&format!("{name}.Add"))?;
        let echo = self.plugin.subscriber(&format!("{name}.Echo"))?;
        let sum = self.plugin.subscriber(&format!("{name}.Sum"))?;
        add.wait_ready(PATIENCE)?;
        Ok(Gates {
            add: add.with_timeout(PATIENCE),
            sum: sum.with_timeout(PATIENCE),
            echo: echo.with_timeout(PATIENCE),
        })
    }

    fn stop(&mut self) {
        self.counts.is_over.store(true, Ordering::Relaxed);
        for caller in self.callers.drain(..) {
            caller.join().expect("no wrong answer");
        }
        self.counts.is_over.store(false, Ordering::Relaxed);
    }
}

/// The gates of another plugin that one plugin calls.
struct Gates {
    add: Subscriber<(u64, u64), u64>,
    sum: Subscriber<(Vec<u8>,), u64>,
    echo: Subscriber<(Vec<u8>,), Vec<u8>>,
}

/// The number with which `Sum` answers.
fn sum(bytes: &[u8]) -> u64 {
    let add = |sum: u64, byte: &u8| sum.rotate_left(3) ^ u64::from(*byte);
    bytes.iter().fold(bytes.len() as u64, add)
}

fn call(gates: &Gates, n: u64) -> Result<()> {
    if n % 8 != 7 {
        assert_eq!(gates.add.invoke((n, 7))?, n + 7, "a wrong answer");
        return Ok(());
    }
    let turn = n as usize / 8;
    let bytes = pattern(n, LENGTHS[turn % LENGTHS.len()]);
    if turn % 9 != 8 {
        // Only the request is large.
        let expected = sum(&bytes);
        assert_eq!(
            gates.sum.invoke((bytes,))?,
            expected,
            "bytes of another call"
        );
        return Ok(());
    }
    let echoed = gates.echo.invoke((bytes.clone(),))?;
    assert!(echoed == bytes, "bytes of another call");
    Ok(())
}

/// Watches [`ROUND`] and calls it whenever somebody begins to provide it.
fn look_for_rounds(plugin: &Plugin, seen: &Arc<Mutex<(u64, u64)>>) -> Result<()> {
    let (watch, gate) = (plugin.watch(ROUND)?, plugin.subscriber::<(), u64>(ROUND)?);
    let seen = seen.clone();
    thread::spawn(move || {
        while let Ok(event) = watch.next(PATIENCE) {
            let is_present = event.is_some_and(|event| event.is_present());
            if is_present && let Ok(number) = gate.invoke(()) {
                *seen.lock().expect("no panic") = (number, clock::now());
            }
        }
    });
    Ok(())
}

impl Counts {
    fn note(&self, outcome: Result<()>) {
        let Err(error) = outcome else {
            self.answered.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let is_without_room = error.message().contains("its result found no room");
        if error.code() == Code::BrokerGone && error.may_have_run() && is_without_room {
            self.without_room.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut failed = self.failed.lock().expect("no panic");
        *failed.entry(error.code().to_string()).or_default() += 1;
        let mut first = self.first.lock().expect("no panic");
        if first.len() < 4 {
            first.push(said(&error));
        }
    }
}

fn said(error: &Error) -> String {
    format!("{error}, may have run: {}", error.may_have_run())
}
