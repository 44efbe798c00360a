//! Who gets a turn when several want one, and for how long a pump keeps its thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Context, Payload};
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, PATIENCE, programs};

/// A thread that called a gate of its own process again and again took the turn back before
/// anybody else had woken up: neither calls from other processes nor those of other threads ever
/// ran.
#[test]
fn a_visitor_that_comes_again_and_again_leaves_turns_to_others() {
    let bus = Bus::start(programs!());
    let a = bus.builder("A").direct_calls(true).connect().unwrap();
    let work = || thread::sleep(Duration::from_millis(1));
    let _direct = a.provide("A.Direct", work).unwrap();
    let _raw = a
        .provide_raw("A.Raw", |_: Context<'_>, _: Payload<'_>| ())
        .unwrap();
    let greedy = open::<(), ()>(&a, "A.Direct");
    let caller = bus.plugin("C");
    let direct = open::<(), ()>(&caller, "A.Direct").with_timeout(Duration::from_secs(2));
    let raw = caller.raw_subscriber::<()>("A.Raw").unwrap();
    raw.wait_ready(PATIENCE).unwrap();
    let raw = raw.with_timeout(Duration::from_secs(2));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut calls = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                greedy.invoke(()).unwrap();
                calls += 1;
            }
            calls
        });
        thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        let outcomes: Vec<_> = (0..20)
            .map(|n| match n % 2 {
                0 => raw.loan(8).and_then(|loan| loan.invoke()),
                _ => direct.invoke(()),
            })
            .collect();
        let took = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        assert!(calls.join().unwrap() > 20);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
}
