//! A gate that records each call that it runs, and callers that call it until its provider closes. The test compares
//! the outcome of each call with what was run.

use std::collections::{HashMap, VecDeque};
use std::io::BufRead;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use callgate_client::dynamic::{self, Sent};
use callgate_client::{Error, Plugin, Result, Subscriber, signature_of};

use crate::PATIENCE;

const GATE: &str = "Counted.Call";
/// How many threads each caller has.
const THREADS: u64 = 2;
/// The number of calls that one thread sends before it waits for the first of them.
const AHEAD: usize = 8;

/// A number made of caller, thread and call, and bytes that the gate returns.
type Arguments = (u64, Vec<u8>);

/// The calls that were run, and how often each of them was.
#[derive(Clone, Debug, Default)]
pub struct Ran(Arc<Mutex<HashMap<u64, u32>>>);

impl Ran {
    /// Provides the gate until the plugin closes.
    pub fn provide(&self, plugin: &Plugin) {
        let ran = self.clone();
        let handler = move |id: u64, bytes: Vec<u8>| {
            *ran.0.lock().expect("the calls").entry(id).or_default() += 1;
            if id.is_multiple_of(16) {
                thread::sleep(Duration::from_micros(100));
            }
            bytes
        };
        plugin.provide(GATE, handler).expect("providing").keep();
    }

    /// How many calls were run, once each thread of so many callers has made its first call.
    pub fn count(&self, callers: u64) -> Option<usize> {
        let ran = self.0.lock().expect("the calls");
        let mut threads =
            (0..callers).flat_map(|caller| (0..THREADS).map(move |thread| (caller, thread)));
        let have_all = threads.all(|(caller, thread)| ran.contains_key(&first(caller, thread)));
        have_all.then_some(ran.len())
    }

    /// Compares the outcomes of one caller's threads with what was run: an answered call ran once, and a call that
    /// certainly did not run did not run. Hardly any other outcome is possible, because no process died.
    pub fn compare(&self, caller: u64, outcomes: &str) {
        let mut ran = self.0.lock().expect("the calls");
        for (thread, outcomes) in (0..).zip(outcomes.split(' ')) {
            for (number, outcome) in (0..).zip(outcomes.chars()) {
                let times = ran.remove(&(first(caller, thread) + number)).unwrap_or(0);
                let what = format!("call {number} of thread {thread} of caller {caller}");
                match outcome {
                    'A' => assert_eq!(times, 1, "{what} was answered"),
                    'L' => assert_eq!(times, 1, "{what} ran, and its result found no room"),
                    'U' => assert_eq!(times, 0, "{what} was said not to have run"),
                    other => panic!("{what}: {other}"),
                }
            }
        }
    }

    /// Checks, after all comparisons, that nothing was run that no caller has called.
    pub fn end(&self) {
        assert_eq!(*self.0.lock().expect("the calls"), HashMap::new());
    }
}

fn first(caller: u64, thread: u64) -> u64 {
    (caller * THREADS + thread) << 32
}

/// Calls on all threads until the provider has closed. Returns the outcome of each call, in order: `A` for answered,
/// `U` for certainly not run, `L` for a result that still waited for an extent. Blanks separate the threads.
pub fn call(plugin: &Plugin, caller: u64, kind: &str) -> String {
    let outcomes = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || call_on(plugin, first(caller, thread), kind)))
            .collect();
        let outcome =
            |thread: thread::ScopedJoinHandle<'_, String>| thread.join().expect("it calls");
        threads.into_iter().map(outcome).collect::<Vec<_>>()
    });
    outcomes.join(" ")
}

fn call_on(plugin: &Plugin, first: u64, kind: &str) -> String {
    match kind {
        "small" => in_turn(plugin, first, 3),
        "blocks" => in_turn(plugin, first, 5_000),
        "extents" => in_turn(plugin, first, 100_000),
        "sent" => ahead(plugin, first),
        other => panic!("no calls are {other}"),
    }
}

fn in_turn(plugin: &Plugin, first: u64, len: usize) -> String {
    let gate: Subscriber<Arguments, Vec<u8>> = plugin.subscriber(GATE).expect("opening");
    gate.wait_ready(PATIENCE).expect("the gate");
    let gate = gate.with_timeout(PATIENCE);
    let mut outcomes = String::new();
    for id in first.. {
        let bytes = vec![id as u8; len];
        match gate.invoke((id, bytes.clone())) {
            Ok(came) => assert!(came == bytes, "the bytes of another call"),
            Err(error) => {
                outcomes.push(failed(&error));
                break;
            }
        }
        outcomes.push('A');
    }
    outcomes
}

fn failed(error: &Error) -> char {
    match error.may_have_run() {
        false => 'U',
        true if error.message().contains("found no room") => 'L',
        true => panic!("{error}"),
    }
}

fn ahead(plugin: &Plugin, first: u64) -> String {
    let signature = signature_of::<Arguments, Vec<u8>>();
    let gate = dynamic::open(plugin, GATE, &signature).expect("opening");
    gate.wait_ready(PATIENCE).expect("the gate");
    let gate = gate.with_timeout(PATIENCE);
    let mut outcomes = String::new();
    let mut sent: VecDeque<Result<Sent>> = VecDeque::new();
    for id in first.. {
        let request = dynamic::encode(&(id, vec![1; 3])).expect("encoding");
        sent.push_back(gate.send(&request));
        if sent.len() == AHEAD || outcomes.ends_with('U') {
            break_off(&mut sent, &mut outcomes, AHEAD - 1);
        }
        if outcomes.contains('U') {
            break_off(&mut sent, &mut outcomes, 0);
            break;
        }
    }
    outcomes
}

/// Waits for the oldest sent calls until only `left` are left.
fn break_off(sent: &mut VecDeque<Result<Sent>>, outcomes: &mut String, left: usize) {
    while sent.len() > left
        && let Some(call) = sent.pop_front()
    {
        match call.and_then(Sent::wait) {
            Ok(_) => outcomes.push('A'),
            Err(error) => outcomes.push(failed(&error)),
        }
    }
}

/// Is a caller in a process of its own: calls as each line says, and then prints the outcomes.
pub fn run(plugin: &Plugin, caller: &str) {
    let caller = caller.parse().expect("a number");
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
        println!("{}", call(plugin, caller, &line));
    }
}
