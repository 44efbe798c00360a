//! Calls of every kind for a long time: nothing wrong, nothing leaked.
//!
//! `CALLGATE_SOAK` says how many calls (a hundredth of a million unless given), `CALLGATE_SEED`
//! which.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use callgate_client::{CancelToken, Code, Plugin, Result, Subscriber};
use callgate_tests::random::Random;
use callgate_tests::shorthand::{open, pattern};
use callgate_tests::{Bus, Process, proc, programs};

const THREADS: u64 = 4;
/// What memory may grow by after the first tenth: allocators keep what they were given once.
const SLACK: u64 = 6 << 20;

/// The gates of the suite's provider, as one thread has them.
struct Gates {
    add: Subscriber<(u64, u64), u64>,
    echo: Subscriber<(Vec<u8>,), Vec<u8>>,
    fail: Subscriber<(u64,), u64>,
    panic: Subscriber<(String,), u64>,
    slow: Subscriber<(u64,), u64>,
    until: Subscriber<(), ()>,
}

impl Gates {
    fn open(plugin: &Plugin) -> Gates {
        Gates {
            add: open(plugin, "S.Add"),
            echo: open(plugin, "S.Echo"),
            fail: open(plugin, "S.Fail"),
            panic: open(plugin, "S.Panic"),
            slow: open(plugin, "S.Slow"),
            until: open(plugin, "S.UntilCancelled"),
        }
    }

    /// One call of some kind, whose outcome is checked.
    fn call(&self, random: &mut Random) {
        let n = random.number() >> 1;
        match random.below(1_000) {
            0..700 => assert_eq!(self.add.invoke((n, 1)).expect("a sum"), n + 1),
            700..850 => {
                let bytes = pattern(n, random.below(3_000));
                let echoed = self.echo.invoke((bytes.clone(),));
                assert!(echoed.expect("the bytes") == bytes);
            }
            850..930 => {
                let error = self.fail.invoke((n,)).expect_err("it fails");
                assert_eq!(error.code(), Code::HandlerError);
                assert!(error.message().ends_with(&n.to_string()), "{error}");
            }
            930..985 => {
                let error = self.panic.invoke((format!("{n}"),)).expect_err("it panics");
                assert_eq!(error.code(), Code::HandlerPanicked);
            }
            985..998 => {
                let hasty = self.slow.with_timeout(Duration::from_micros(700));
                may_be_late(hasty.invoke((1,)));
            }
            _ => self.give_up(),
        }
    }

    fn give_up(&self) {
        let token = CancelToken::new();
        let until = self.until.with_cancel(&token);
        thread::scope(|scope| {
            let call = scope.spawn(|| until.invoke(()));
            token.cancel();
            let error = call.join().expect("no panic").expect_err("it was given up");
            assert_eq!(error.code(), Code::Cancelled);
        });
    }
}

fn may_be_late(outcome: Result<u64>) {
    if let Err(error) = outcome {
        let late = [Code::Timeout, Code::Overloaded];
        assert!(late.contains(&error.code()), "{error}");
    }
}

/// What the two sides hold.
#[derive(Debug)]
struct Held {
    memory: [u64; 2],
    descriptors: [usize; 2],
}

fn held(provider: &Process) -> Held {
    let both = [std::process::id(), provider.id()];
    Held {
        memory: both.map(proc::private_memory),
        descriptors: both.map(proc::descriptors),
    }
}

fn soak(mode: &str) {
    // What this process holds is counted: one at a time.
    static TURN: Mutex<()> = Mutex::new(());
    let _alone = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = std::env::var("CALLGATE_SOAK").ok();
    let calls: u64 = given.and_then(|calls| calls.parse().ok()).unwrap_or(10_000);
    let bus = Bus::start(programs!());
    let provider = bus.peer("suite", "S", &[mode]);
    let caller = bus.plugin("T");
    let (made, mut random) = (AtomicU64::new(0), Random::new(mode));
    let gates: Vec<_> = (0..THREADS).map(|_| Gates::open(&caller)).collect();
    let mut run = |until: u64| {
        thread::scope(|scope| {
            for gates in &gates {
                let (mut random, made) = (random.clone(), &made);
                random.number();
                scope.spawn(move || {
                    while made.fetch_add(1, Ordering::Relaxed) < until {
                        gates.call(&mut random);
                    }
                });
            }
        });
        random.number();
    };
    run(calls / 10);
    let before = held(&provider);
    run(calls);
    let after = held(&provider);
    println!("{mode}: {calls} calls; {before:?}, then {after:?}");
    for (before, after) in before.memory.iter().zip(after.memory) {
        assert!(after <= before + SLACK, "memory grew: {before} to {after}");
    }
    assert_eq!(before.descriptors, after.descriptors);
    // All slots are there.
    for n in 0..200 {
        assert_eq!(gates[0].add.invoke((n, n)).expect("a sum"), 2 * n);
    }
}

/// A thousandth of the calls left something behind, and after a day nothing went.
#[test]
fn nothing_is_lost_on_a_thread() {
    soak("thread");
}

/// As above.
#[test]
fn nothing_is_lost_on_a_pool() {
    soak("pool");
}

/// As above.
#[test]
fn nothing_is_lost_in_a_pump() {
    soak("pump");
}
