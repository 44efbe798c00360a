//! More calls than there is space for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use callgate_client::{Code, WaitPolicy};
use callgate_tests::shorthand::{await_that, open, pattern};
use callgate_tests::{Bus, programs};

use crate::support::{Barrier, SHORT};

/// A 65th call neither overwrites the first nor waits for ever.
#[test]
fn more_calls_than_slots_are_overloaded_and_then_all_is_well() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let barrier = Barrier::new();
    let _held = barrier.provide(&provider, "P.Held");
    let caller = bus.plugin("Caller");
    let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
    let hasty = held.with_timeout(SHORT);
    let sent = AtomicU64::new(0);
    thread::scope(|scope| {
        for n in 0..80 {
            let held = &held;
            scope.spawn(move || {
                let bytes = pattern(n, 16);
                // Calls beyond the 32nd, half of the link's slots, wait for a slot and get one.
                assert_eq!(held.invoke((bytes.clone(),)).unwrap(), bytes);
            });
        }
        barrier.wait_for(1);
        await_that("all slots that one gate may have are taken", || {
            let error = hasty.invoke((vec![],)).unwrap_err();
            if error.code() == Code::Timeout {
                sent.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            assert_eq!(error.code(), Code::Overloaded);
            assert!(!error.may_have_run());
            assert!(error.message().contains("32 calls"), "{error}");
            true
        });
        barrier.open();
    });
    for n in 0..200 {
        let bytes = pattern(n, 16);
        assert_eq!(held.invoke((bytes.clone(),)).unwrap(), bytes);
    }
}

/// A payload that finds the outbox's blocks full goes into an extent. It does not wait for blocks, and gets no blocks
/// of another call.
#[test]
fn a_full_payload_area_is_no_limit() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let barrier = Barrier::new();
    let _held = barrier.provide(&provider, "P.Held");
    let caller = bus.plugin("Caller");
    let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
    thread::scope(|scope| {
        let first = scope.spawn(|| held.invoke((pattern(1, 40_000),)));
        barrier.wait_for(1);
        let second = scope.spawn(|| held.invoke((pattern(3, 40_000),)));
        let small = scope.spawn(|| held.invoke((pattern(4, 20),)));
        thread::sleep(SHORT);
        barrier.open();
        assert!(first.join().unwrap().unwrap() == pattern(1, 40_000));
        assert!(second.join().unwrap().unwrap() == pattern(3, 40_000));
        assert!(small.join().unwrap().unwrap() == pattern(4, 20));
    });
}

/// Each of many threads that share a subscriber gets its own answer, complete.
#[test]
fn many_threads_share_a_subscriber() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (echo, add) = (&echo, &add);
            scope.spawn(move || {
                for n in 0..1500_u64 {
                    let seed = thread << 32 | n;
                    assert_eq!(add.invoke((seed, 7)).unwrap(), seed + 7);
                    let length = match n % 16 {
                        0 => 12_000 + (seed % 9_000) as usize,
                        1..4 => (seed % 3_000) as usize,
                        _ => (seed % 100) as usize,
                    };
                    let bytes = pattern(seed, length);
                    assert!(
                        echo.invoke((bytes.clone(),)).unwrap() == bytes,
                        "{thread} {n}"
                    );
                }
            });
        }
    });
}

/// Large results for many callers at once wait for space, and are not refused as long as the callers read them.
#[test]
fn large_results_wait_for_room() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let zeros = open::<(u32,), Vec<u8>>(&caller, "P.Zeros");
    let slow = open::<(u64, Vec<u8>), Vec<u8>>(&caller, "P.Slow");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // This caller never waits for its answers. They must not keep space from the others.
        let careless = slow.with_timeout(Duration::from_millis(1));
        let over = &is_over;
        let careless = scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let outcome = careless.invoke((2, vec![7; 6_000]));
                let code = outcome.err().map(|error| error.code());
                let known = [None, Some(Code::Timeout), Some(Code::Overloaded)];
                assert!(known.contains(&code), "{code:?}");
            }
        });
        let work = |n: u32| {
            let zeros = &zeros;
            move || {
                for k in 0..60 {
                    let length = 20_000 + n * 5_000 + k;
                    assert_eq!(zeros.invoke((length,)).unwrap().len(), length as usize);
                }
            }
        };
        let careful: Vec<_> = (0..8).map(|n| scope.spawn(work(n))).collect();
        let outcomes: Vec<_> = careful.into_iter().map(|thread| thread.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        careless.join().unwrap();
        assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
    });
}

/// A sleeping provider wakes up when an answer that waits for space gets some.
#[test]
fn a_sleeping_provider_hears_of_room() {
    let bus = Bus::start(programs!());
    let provider = bus
        .builder("Provider")
        .wait_policy(WaitPolicy::Park)
        .connect()
        .unwrap();
    // Two of them do not fit the outbox's blocks.
    let _kept = provider
        .provide("P.Large", |n: u64| pattern(n, 40_000))
        .unwrap();
    let caller = bus.plugin("Caller");
    let large = open::<(u64,), Vec<u8>>(&caller, "P.Large");
    // Until both have their answers there is no other call that could wake the provider.
    let (round, failed) = (std::sync::Barrier::new(2), AtomicU64::new(0));
    thread::scope(|scope| {
        for thread in 0..2 {
            let (large, round, failed) = (&large, &round, &failed);
            scope.spawn(move || {
                for n in 0..150 {
                    round.wait();
                    let seed = thread * 1000 + n;
                    let answer = large.invoke((seed,));
                    let is_right = answer.is_ok_and(|bytes| bytes == pattern(seed, 40_000));
                    // A failed assertion here would end this thread alone, and the other would wait for ever.
                    failed.fetch_add(u64::from(!is_right), Ordering::SeqCst);
                    round.wait();
                    if failed.load(Ordering::SeqCst) > 0 {
                        break;
                    }
                }
            });
        }
    });
    assert_eq!(failed.load(Ordering::SeqCst), 0);
}
