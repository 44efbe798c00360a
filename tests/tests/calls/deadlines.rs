//! Calls that take too long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::Code;
use callgate_tests::shorthand::{code, open, pattern};
use callgate_tests::{Bus, PATIENCE, programs};

use crate::support::{Barrier, SHORT};

/// A late answer is dropped, and not taken for the answer of a newer call.
#[test]
fn a_late_answer_is_dropped() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let slow = open::<(u64, Vec<u8>), Vec<u8>>(&caller, "P.Slow");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let hasty = slow.with_timeout(Duration::from_millis(4));
    for n in 0..20 {
        let length = [10, 500, 20_000][n % 3];
        let start = Instant::now();
        let Err(error) = hasty.invoke((25, pattern(n as u64, length))) else {
            continue;
        };
        assert_eq!(error.code(), Code::Timeout, "{error}");
        let waited = error.message().contains("did not answer");
        assert!(
            !waited || start.elapsed() >= Duration::from_millis(4),
            "it gave up too early"
        );
        // The handler runs unless the call came too late to be begun.
        assert_ne!(
            error.may_have_run(),
            error.message().ends_with("it was not run")
        );
        assert!(start.elapsed() < PATIENCE, "the deadline was missed by far");
        let bytes = pattern(1000 + n as u64, length);
        assert!(echo.invoke((bytes.clone(),)).unwrap() == bytes, "call {n}");
    }
}

/// Calls that time out give their slots and blocks back.
#[test]
fn calls_that_time_out_give_everything_back() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let slow = open::<(u64, Vec<u8>), Vec<u8>>(&caller, "P.Slow");
    let hasty = slow.with_timeout(Duration::from_millis(2));
    // More calls than there are slots, blocks, or space for their answers.
    let mut failed = 0;
    for n in 0..200 {
        // A caller that gets no processor time may find its answer there after all.
        let Err(error) = hasty.invoke((5, pattern(n, 3000))) else {
            continue;
        };
        failed += 1;
        let known = [Code::Timeout, Code::Overloaded];
        assert!(known.contains(&error.code()), "{error}");
        let never_ran = ["nothing was sent", "it was not run"];
        let ran = !never_ran.iter().any(|text| error.message().ends_with(text));
        assert_eq!(error.may_have_run(), ran, "{error}");
    }
    assert!(failed > 100, "only {failed} calls timed out");
    // This needs all blocks at once, in both directions, and all slots.
    let whole = pattern(1, 65_000);
    assert!(slow.invoke((0, whole.clone())).unwrap() == whole);
    thread::scope(|scope| {
        for n in 0..64 {
            let slow = &slow;
            scope.spawn(move || {
                let bytes = pattern(n, 3000);
                assert!(slow.invoke((1, bytes.clone())).unwrap() == bytes);
            });
        }
    });
    assert!(slow.invoke((0, whole.clone())).unwrap() == whole);
}

/// A call is not run after its caller has given up: a payment would be made twice.
#[test]
fn a_call_whose_deadline_has_passed_is_not_run() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let barrier = Barrier::new();
    let _held = barrier.provide(&provider, "P.Held");
    let runs = AtomicU64::new(0);
    let _count = provider
        .provide("P.Count", move || runs.fetch_add(1, Ordering::SeqCst))
        .unwrap();
    let caller = bus.plugin("Caller");
    let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
    let count = open::<(), u64>(&caller, "P.Count");
    thread::scope(|scope| {
        let holding = scope.spawn(|| held.invoke((vec![1],)));
        barrier.wait_for(1);
        for _ in 0..10 {
            assert_eq!(code(count.with_timeout(SHORT).invoke(())), Code::Timeout);
        }
        // The provider reads a coarse clock.
        thread::sleep(Duration::from_millis(25));
        barrier.open();
        assert_eq!(holding.join().unwrap().unwrap(), [1]);
    });
    assert_eq!(count.invoke(()).unwrap(), 0, "expired calls were run");
}
