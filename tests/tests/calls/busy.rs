//! A plugin that is called without a pause still does its other work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Dispatch};
use callgate_tests::pumped::Pumped;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, programs};

/// How many threads call through each of two links, so that there is always another call.
const THREADS: usize = 8;

/// Sets the flag when it is dropped, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `act` while `P.Slow` is called without a pause.
fn under_load(bus: &Bus, act: impl FnOnce()) {
    let callers = [bus.plugin("One"), bus.plugin("Two")];
    let gates = callers
        .each_ref()
        .map(|caller| open::<(), ()>(caller, "P.Slow"));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        for gate in gates.iter().cycle().take(2 * THREADS) {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // The last calls may arrive when nobody pumps any more.
                    let _ = gate.with_timeout(Duration::from_secs(1)).invoke(());
                }
            });
        }
        act();
    });
}

/// A pump returns at its deadline even if it always finds another call: otherwise a host's frame would be late.
#[test]
fn a_pump_begins_one_call_after_its_deadline_at_most() {
    let bus = Bus::start(programs!());
    let host = bus.builder("P").dispatch(Dispatch::Pump).connect().unwrap();
    let begun: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = begun.clone();
    let slow = move || {
        noted.lock().unwrap().push(Instant::now());
        thread::sleep(Duration::from_millis(1));
    };
    let _slow = host.provide("P.Slow", slow).unwrap();
    under_load(&bus, || {
        let mut all = 0;
        for _ in 0..50 {
            let deadline = Instant::now() + Duration::from_millis(10);
            let served = host.pump(deadline).unwrap();
            let begun = std::mem::take(&mut *begun.lock().unwrap());
            assert_eq!(begun.len(), served);
            let late = begun.iter().filter(|&&begun| begun > deadline).count();
            assert!(
                late <= 1,
                "{late} of {served} calls begun after the deadline"
            );
            all += served;
        }
        assert!(all > 50, "there was always a call: {all}");
    });
}

/// A dispatcher notices new callers and withdrawn gates also while others call without a pause.
#[test]
fn new_links_and_withdrawn_gates_are_noted_under_load() {
    for mode in [Dispatch::Thread, Dispatch::Pool(2), Dispatch::Pump] {
        let bus = Bus::start(programs!());
        let plugin = bus.builder("P").dispatch(mode).connect().unwrap();
        let plugin = Pumped::new(plugin, mode);
        let slow = || thread::sleep(Duration::from_millis(1));
        let _slow = plugin.provide("P.Slow", slow).unwrap();
        under_load(&bus, || {
            for n in 0..5 {
                let captured = Arc::new(n);
                let weak = Arc::downgrade(&captured);
                let gate = plugin.provide("P.Passing", move || *captured).unwrap();
                let caller = bus.plugin("Newcomer");
                let passing = open::<(), u64>(&caller, "P.Passing");
                assert_eq!(passing.invoke(()).unwrap(), n, "{mode:?}");
                drop(gate);
                await_that("the handler is gone", || weak.strong_count() == 0);
                assert_eq!(code(passing.invoke(())), Code::NotReady, "{mode:?}");
            }
        });
    }
}
