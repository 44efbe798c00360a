//! The two sides of a call, each counted by itself, while the other does not make it wait.
//!
//! The side that is counted is the client as it is; the other one is made of words in memory
//! ([`callgate_tests::raw`]), so that it can do its part before it is asked.
//!
//! - A caller's answer is published before the call is made. Only what happens inside of
//!   [`counted_call`] counts.
//! - A provider's calls are all published while a handler, [`FROM`]'s, waits for a line of input. From
//!   there on it serves, without once finding nothing to do, up to [`UNTIL`]'s handler.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Plugin, Subscriber, View, gate_type};
use callgate_layout::clock;
use callgate_layout::envelope::{Call, CallKind, Cell, Place, Reply};
use callgate_layout::ring::RingWriter;
use callgate_layout::{Encoding, slot};
use callgate_tests::raw::{Link, Raw};
use callgate_tests::{Bus, PATIENCE};

use crate::callgrind::Counted;

/// The role of a process that calls, or provides.
pub(crate) const CALLER: &str = "--caller";
pub(crate) const PROVIDER: &str = "--provider";

const GATE: &str = "Count.Call";
const FROM: &str = "Count.From";
const UNTIL: &str = "Count.Until";

/// So many calls, in which is done what is done once a thread; they do not count.
const FIRST: u64 = 8;
/// Then so many calls, and three times as many.
const CALLS: u64 = 512;
/// So many calls lie in the provider's ring at once, or three times as many; it has room for 64.
const BATCH: u8 = 16;
/// One call in 64 is timed, so batches of either kind have to contain a multiple of that in all.
const BATCHES: usize = 4;
/// Whatever else the process does meanwhile only adds, so of several counts the least is right.
const ROUNDS: usize = 3;

/// 64 bytes, as argument and as result.
#[gate_type]
struct Payload64 {
    words: [u64; 8],
}

fn request(number: u64) -> (Payload64,) {
    let words = std::array::from_fn(|at| number.wrapping_add(at as u64));
    (Payload64 { words },)
}

fn answer(request: [u64; 8]) -> Payload64 {
    Payload64 {
        words: request.map(|word| word.wrapping_add(1)),
    }
}

/// Payloads as they are archived.
fn put(words: [u64; 8], cell: &mut Cell) {
    let bytes = words.map(u64::to_le_bytes);
    cell.inline_mut()[..64].copy_from_slice(bytes.as_flattened());
}

/// What three times as many calls count beyond once as many, for each call.
fn per_call(once: u64, thrice: u64, calls: u64) -> f64 {
    thrice.saturating_sub(once) as f64 / (2 * calls) as f64
}

/// Counts the caller's side.
pub(crate) fn count_caller(bus: &Bus) -> f64 {
    let options = [
        "--toggle-collect=*counted_call*",
        "--dump-before=*dump_here*",
    ];
    let mut caller = Counted::start(bus, CALLER, &options);
    caller.expect("done");
    match caller.end()[..] {
        [_, once, thrice] => per_call(once, thrice, CALLS),
        ref others => panic!("three dumps, not {others:?}"),
    }
}

/// Is the process that calls; a raw provider in it has every answer ready.
pub(crate) fn call(socket: &Path) -> ExitCode {
    let mut raw = Raw::join_at(socket, "Answers");
    raw.provide::<(Payload64,), Payload64>(GATE);
    let caller = Plugin::builder("Caller").socket(socket).without_probe();
    let caller = caller.connect().expect("the bus");
    let (gate, link) = thread::scope(|threads| {
        // Opening takes both ends of the link.
        let link = threads.spawn(|| raw.linked());
        let gate = caller.subscriber(GATE).expect("opening");
        gate.wait_ready(PATIENCE).expect("the gate is there");
        (gate, link.join().expect("a link"))
    });
    println!("ready");
    let mut made = 0;
    for calls in [FIRST, CALLS, 3 * CALLS] {
        for _ in 0..calls {
            made += 1;
            answer_beforehand(&link, made);
            let reply = counted_call(&gate, &request(made.into()));
            assert_eq!(reply, answer(request(made.into()).0.words).words);
        }
        dump_here();
    }
    println!("done");
    wait_for_a_line();
    ExitCode::SUCCESS
}

/// Publishes the answer to call `number`, which takes the first slot, as the only one does.
fn answer_beforehand(link: &Link, number: u32) {
    let mut cell = Cell::default();
    put(answer(request(number.into()).0.words).words, &mut cell);
    let reply = Reply {
        ok: true,
        place: Place::Inline,
        length: 64,
    };
    slot::publish(&link.outbox, link.geometry, 0, number, &reply, &mut cell);
}

#[inline(never)]
fn counted_call(gate: &Subscriber<(Payload64,), Payload64>, request: &(Payload64,)) -> [u64; 8] {
    gate.invoke_ref(request).expect("an answer").words
}

/// What callgrind looks for, as it does for [`count_from_here`]; two empty ones would be made one.
#[inline(never)]
fn dump_here() {
    std::hint::black_box("dump");
}

/// Counts the provider's side.
pub(crate) fn count_provider(bus: &Bus) -> f64 {
    let options = [
        "--zero-before=*count_from_here*",
        "--dump-before=*dump_here*",
    ];
    let mut provider = Counted::start(bus, PROVIDER, &options);
    let mut raw = Raw::join(bus, "Calls");
    let mut calls = Calls::new(&mut raw);
    for _ in 0..ROUNDS {
        for length in [BATCH, 3 * BATCH] {
            (0..BATCHES).for_each(|_| calls.batch(length, &mut provider));
        }
    }
    let counts = provider.end();
    assert_eq!(counts.len(), ROUNDS * 2 * BATCHES, "{counts:?}");
    let sums: Vec<u64> = counts
        .chunks(BATCHES)
        .map(|some| some.iter().sum())
        .collect();
    let least = |first: usize| sums.iter().skip(first).step_by(2).min();
    let (once, thrice) = (least(0).expect("a sum"), least(1).expect("a sum"));
    per_call(*once, *thrice, u64::from(BATCH) * BATCHES as u64)
}

/// Is the process that provides.
pub(crate) fn provide(socket: &Path) -> ExitCode {
    let provider = Plugin::builder("Provider").socket(socket).without_probe();
    let provider = provider.connect().expect("the bus");
    let serve = |request: View<'_, Payload64>| answer(request.words.map(|word| word.to_native()));
    let from = |_: View<'_, Payload64>| {
        wait_for_a_line();
        count_from_here();
        answer([0; 8])
    };
    let until = |_: View<'_, Payload64>| {
        dump_here();
        answer([0; 8])
    };
    let _gates = [
        provider.provide(GATE, serve).expect("it is free"),
        provider.provide(FROM, from).expect("it is free"),
        provider.provide(UNTIL, until).expect("it is free"),
    ];
    println!("ready");
    provider.wait_closed();
    ExitCode::SUCCESS
}

fn wait_for_a_line() {
    let read = io::stdin().read_line(&mut String::new());
    read.expect("input");
}

#[inline(never)]
fn count_from_here() {
    std::hint::black_box("count");
}

/// A raw caller.
struct Calls {
    link: Link,
    ring: RingWriter,
    /// The indices of the gates in the link's grants: [`FROM`], [`GATE`] and [`UNTIL`].
    gates: [u16; 3],
    /// How many calls each slot has borne.
    generations: [u32; 64],
}

impl Calls {
    fn new(raw: &mut Raw) -> Calls {
        let routes = [FROM, GATE, UNTIL].map(|gate| raw.route_to::<(Payload64,), Payload64>(gate));
        let link = raw.links.remove(&routes[0].end).expect("one link for all");
        Calls {
            ring: RingWriter::new(link.geometry),
            link,
            gates: routes.map(|route| route.index),
            generations: [0; 64],
        }
    }

    /// Lays calls into the ring while the first one's handler waits, and lets it go on.
    fn batch(&mut self, length: u8, provider: &mut Counted) {
        let [from, gate, until] = self.gates;
        self.publish(from, 0);
        (1..=length).for_each(|slot| self.publish(gate, slot));
        self.publish(until, length + 1);
        self.link.peer().bell.ring();
        provider.go();
        for slot in 0..length + 2 {
            self.await_answer(slot);
        }
    }

    fn publish(&mut self, gate: u16, slot: u8) {
        self.generations[usize::from(slot)] += 1;
        let mut cell = Cell::default();
        put(request(slot.into()).0.words, &mut cell);
        let call = Call {
            gate,
            slot,
            kind: CallKind::Function,
            encoding: Encoding::Archive,
            place: Place::Inline,
            length: 64,
            deadline: clock::to_tick(clock::now() + PATIENCE.as_nanos() as u64),
            chain: None,
        };
        self.ring.publish(&self.link.outbox, &call, &mut cell);
    }

    fn await_answer(&self, slot: u8) {
        let until = Instant::now() + PATIENCE;
        let generation = self.generations[usize::from(slot)];
        let inbox = &self.link.peer().inbox;
        while slot::state(inbox, self.link.geometry, slot) != generation {
            assert!(Instant::now() < until, "call {slot} is not answered");
            thread::sleep(Duration::from_millis(1));
        }
        let mut cell = Cell::default();
        let reply = slot::read(inbox, self.link.geometry, slot, &mut cell);
        assert!(reply.expect("a reply").ok, "call {slot} failed");
    }
}
