//! The order in which those that want a plugin's turn get it, and how long a pump keeps its thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Context, Dispatch, Payload};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, programs};

/// A thread that calls a gate of its own process again and again leaves turns to calls from other processes and of
/// other threads. It does not take the turn back before they have woken up.
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
    let direct = open::<(), ()>(&caller, "A.Direct").with_timeout(PATIENCE / 2);
    let raw = caller.raw_subscriber::<()>("A.Raw").unwrap();
    raw.wait_ready(PATIENCE).unwrap();
    let raw = raw.with_timeout(PATIENCE / 2);
    let (is_over, calls) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                greedy.invoke(()).unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
        await_that("it is greedy", || calls.load(Ordering::Relaxed) > 20);
        let start = Instant::now();
        let outcomes: Vec<_> = (0..20)
            .map(|n| match n % 2 {
                0 => raw.loan(8).and_then(|loan| loan.invoke()),
                _ => direct.invoke(()),
            })
            .collect();
        let took = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert!(took < PATIENCE / 2, "{took:?}");
    });
}

/// A pump looks at the clock after each call. A host that gives it 10 ms per frame does not wait for 64 slow calls.
#[test]
fn a_pump_looks_at_the_clock_after_each_call() {
    let bus = Bus::start(programs!());
    let host = bus.builder("Host").dispatch(Dispatch::Pump).connect();
    let host = Arc::new(host.unwrap());
    let _slow = host
        .provide("Host.Slow", || thread::sleep(Duration::from_millis(5)))
        .unwrap();
    let caller = bus.plugin("Caller");
    let slow = open::<(), ()>(&caller, "Host.Slow");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| slow.invoke(()).unwrap()))
            .collect();
        // All calls have arrived.
        thread::sleep(Duration::from_millis(300));
        let mut served = 0;
        while served < 20 {
            let until = Instant::now() + Duration::from_millis(10);
            let now = host.pump(until).unwrap();
            // At most two calls, and the one that passes the deadline, however slow the machine is.
            assert!((1..=3).contains(&now), "{now} calls in one pump");
            served += now;
        }
        assert_eq!(served, 20);
        for call in calls {
            call.join().unwrap();
        }
    });
    let idle = (0..10).map(|_| {
        let start = Instant::now();
        host.pump(start + Duration::from_millis(5)).unwrap();
        start.elapsed()
    });
    assert!(idle.min().unwrap() < Duration::from_millis(15));
}
