//! Ten thousand calls in flight at once, with no thread that waits.
//!
//! There is one test, in a process of its own, because it counts threads, descriptors, maps and memory.
#![forbid(unsafe_code)]

use std::alloc::System;
use std::collections::HashSet;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use callgate_client::dynamic::{self, Bytes, Gate, Sent};
use callgate_client::{Code, Plugin, Result, signature_of};
use callgate_tests::later::answer_to;
use callgate_tests::proc::{Holdings, eventually, threads};
use callgate_tests::random::Random;
use callgate_tests::shorthand::{await_that, pattern};
use callgate_tests::{Bus, PATIENCE, Process, programs};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PROVIDERS: usize = 10;
const CALLS: usize = 10_000;
/// The provider that is killed.
const VICTIM: usize = 3;
/// How many slots of a link one gate may have.
const OF_A_GATE: usize = 32;

/// A provider in a process of its own.
struct Provider {
    process: Process,
    notes: PathBuf,
    gate: Gate,
}

impl Provider {
    fn start(bus: &Bus, caller: &Plugin, n: usize, life: u32) -> Provider {
        let name = format!("P{n}");
        let notes = bus.socket().with_file_name(format!("{name}-{life}"));
        let process = bus.peer("late-provider", &name, &[&notes.to_string_lossy()]);
        let bytes = signature_of::<(Vec<u8>,), Vec<u8>>();
        let gate = dynamic::open(caller, &format!("{name}.Later"), &bytes).expect("opening");
        gate.wait_ready(PATIENCE).expect("its provider");
        Provider {
            process,
            notes,
            gate: gate.with_timeout(3 * PATIENCE),
        }
    }

    /// Makes it answer so many of the calls that it holds, or that arrive from now on.
    fn answer(&mut self, count: usize) {
        self.process.ask(&format!("answer {count}"));
    }

    /// The numbers of the calls that it has run.
    fn ran(&self) -> HashSet<u64> {
        let notes = std::fs::read_to_string(&self.notes).expect("its notes");
        notes
            .lines()
            .map(|line| line.parse().expect("a number"))
            .collect()
    }
}

/// The bytes that this process has from its allocator.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// The number and the bytes of one call.
fn request(n: usize) -> Vec<u8> {
    let length = match n % 1000 {
        0 => 300_000,
        rest if rest % 100 == 1 => 20_000,
        rest => 8 + rest % 900,
    };
    let mut bytes = pattern(n as u64, length);
    bytes[..8].copy_from_slice(&(n as u64).to_le_bytes());
    bytes
}

struct Told {
    number: usize,
    ready: Sender<usize>,
}

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        // When the test has failed, nobody receives this.
        let _ = self.ready.send(self.number);
    }
}

/// All calls, and the channel through which their wakers report.
struct Calls {
    calls: Vec<Option<(Sent, Waker)>>,
    ready: Receiver<usize>,
    outcomes: Vec<Option<Result<Bytes>>>,
    told: usize,
    dropped: usize,
}

impl Calls {
    /// Sends all calls, to one provider after the other. None is answered yet.
    fn send(providers: &[Provider]) -> Calls {
        let (told, ready) = channel();
        let send = |number: usize| {
            let sent = providers[number % PROVIDERS].gate.send(&request(number));
            let ready = told.clone();
            let waker = Waker::from(Arc::new(Told { number, ready }));
            Some((sent.expect("it is sent, or waits"), waker))
        };
        let mut calls = Calls {
            calls: (0..CALLS).map(send).collect(),
            ready,
            outcomes: (0..CALLS).map(|_| None).collect(),
            told: 0,
            dropped: 0,
        };
        for number in 0..CALLS {
            assert!(!calls.poll(number), "call {number} is over");
        }
        calls
    }

    /// Polls a call; returns whether it is over.
    fn poll(&mut self, number: usize) -> bool {
        let Some((sent, waker)) = &mut self.calls[number] else {
            return false;
        };
        let Poll::Ready(outcome) = Pin::new(sent).poll(&mut Context::from_waker(waker)) else {
            return false;
        };
        self.calls[number] = None;
        let before = self.outcomes[number].replace(outcome);
        assert!(before.is_none(), "call {number} is told of twice");
        self.told += 1;
        true
    }

    /// Drops so many of the calls that are not over.
    fn drop_some(&mut self, random: &mut Random, mut count: usize) {
        while count > 0 && self.told + self.dropped < CALLS {
            if self.calls[random.below(CALLS)].take().is_some() {
                self.dropped += 1;
                count -= 1;
            }
        }
    }

    /// Waits until a waker is called, and polls that call.
    fn next(&mut self) {
        let number = self.ready.recv_timeout(PATIENCE);
        self.poll(number.expect("somebody is told"));
    }

    /// Waits until so many are over, and drops some of the others meanwhile.
    fn until(&mut self, over: usize, random: &mut Random, to_drop: usize) {
        while self.told + self.dropped < over {
            self.next();
            if self.dropped < to_drop && random.below(2) == 0 {
                self.drop_some(random, 1);
            }
        }
    }

    /// Checks that each call that was not dropped has one outcome, and the right one.
    fn check(&self, victim_ran: &HashSet<u64>) {
        let mut gone = [0, 0];
        for (number, outcome) in self.outcomes.iter().enumerate() {
            match outcome {
                None => {}
                Some(Ok(bytes)) => assert!(**bytes == answer_to(&request(number)), "{number}"),
                Some(Err(error)) => {
                    assert_eq!(number % PROVIDERS, VICTIM, "{number}: {error}");
                    assert_eq!(error.code(), Code::ProviderGone, "{number}: {error}");
                    let did_run = victim_ran.contains(&(number as u64));
                    assert!(error.may_have_run() || !did_run, "{number} ran");
                    gone[usize::from(error.may_have_run())] += 1;
                }
            }
        }
        println!("{} never ran, {} may have run", gone[0], gone[1]);
        assert!(gone[0] > 0 && gone[1] <= OF_A_GATE, "{gone:?}");
        let is_over = self.outcomes.iter().filter(|outcome| outcome.is_some());
        assert_eq!(is_over.count() + self.dropped, CALLS);
    }
}

/// Checks that all slots of a gate are free: so many calls reach its handler at once.
fn expect_slots(provider: &mut Provider) {
    let sent: Vec<_> = (0..OF_A_GATE)
        .map(|n| provider.gate.send(&request(n + 2)).expect("a slot"))
        .collect();
    await_that("all slots are free", || {
        provider.process.ask("held") == OF_A_GATE.to_string()
    });
    provider.answer(OF_A_GATE + 2);
    for (n, sent) in sent.into_iter().enumerate() {
        assert!(*sent.wait().expect("an answer") == answer_to(&request(n + 2)));
    }
    // Larger than all payload blocks but one, in both directions, and in extents.
    for length in [64_000, 300_000] {
        let bytes = pattern(9, length);
        assert!(*provider.gate.call(&bytes).expect("an answer") == answer_to(&bytes));
    }
}

/// A host can have more calls in flight than threads. The outcome of each sent call is reported, whatever happens to
/// the others and their providers. When all are over, nothing is left behind.
#[test]
fn ten_thousand_calls_are_in_flight_without_a_thread_each() {
    let begun = Instant::now();
    let mut random = Random::new("ten thousand calls");
    let bus = Bus::start_open(programs!());
    let idle = Duration::from_millis(50);
    let caller = bus.builder("C").keep_idle(idle).connect().unwrap();
    let start = |n| Provider::start(&bus, &caller, n, 1);
    let mut providers: Vec<Provider> = (0..PROVIDERS).map(start).collect();
    let own = std::process::id();
    let before = threads(own);
    // A call to each provider allocates what is allocated only once.
    providers.iter_mut().for_each(expect_slots);
    let (holdings, least) = (Holdings::at_rest(own), allocated());

    let mut calls = Calls::send(&providers);
    assert_eq!(threads(own), before + 1, "threads for {CALLS} calls");
    let most = allocated();
    println!("sent after {:.1?}", begun.elapsed());
    calls.drop_some(&mut random, CALLS / 10);
    for (n, provider) in providers.iter_mut().enumerate() {
        provider.answer(if n == VICTIM { 150 } else { CALLS });
    }
    calls.until(CALLS / 2, &mut random, CALLS / 4);
    let victim = &mut providers[VICTIM];
    victim.process.signal(nix::sys::signal::Signal::SIGKILL);
    victim.process.wait();
    let ran = victim.ran();
    calls.until(CALLS, &mut random, CALLS / 3);
    calls.check(&ran);
    println!(
        "over after {:.1?}, {} dropped",
        begun.elapsed(),
        calls.dropped
    );
    assert_eq!(calls.dropped, CALLS / 3);
    drop(calls);

    for (n, provider) in providers.iter_mut().enumerate() {
        if n != VICTIM {
            provider.answer(0);
        }
    }
    providers[VICTIM] = Provider::start(&bus, &caller, VICTIM, 2);
    providers.iter_mut().for_each(expect_slots);
    assert_eq!(threads(own), before + 1);
    holdings.expect_again("the caller", own);
    let after = eventually("memory falls", || {
        let now = allocated();
        let falls = now < least + (most - least) / 20;
        falls
            .then_some(now)
            .ok_or_else(|| format!("{least} {most} {now}"))
    });
    println!("memory {least}, {most} and {after}");
    println!("{:.1?}", begun.elapsed());
}
