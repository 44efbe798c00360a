//! What handlers have captured, and what happens when it is dropped. Dropping is user code. It runs on the plugin's
//! threads, and may panic or make a call there.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Dispatch, Plugin, Subscriber};
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, programs};

/// Panics when it is dropped. It does not if the test has already failed: a second panic would abort all tests.
struct Bomb(Arc<AtomicU32>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        if !thread::panicking() {
            panic_any("a bomb");
        }
    }
}

/// Makes a call when it is dropped, and reports the outcome.
struct LastCall(Subscriber<(), u64>, mpsc::Sender<(bool, Duration)>);

impl Drop for LastCall {
    fn drop(&mut self) {
        let start = Instant::now();
        let is_ok = self.0.invoke(()).is_ok();
        let _ = self.1.send((is_ok, start.elapsed()));
    }
}

/// Makes calls to gates of the plugin, and pumps meanwhile if its dispatch needs that.
fn calls_are_served(plugin: &Plugin, dispatch: Dispatch, calls: impl Fn() + Send + Sync) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let outcome = catch_unwind(AssertUnwindSafe(&calls));
            is_over.store(true, Ordering::SeqCst);
            outcome.unwrap();
        });
        while dispatch == Dispatch::Pump && !is_over.load(Ordering::SeqCst) {
            plugin
                .pump(Instant::now() + Duration::from_millis(5))
                .unwrap();
        }
        calls.join().unwrap();
    });
}

const MODES: [Dispatch; 3] = [Dispatch::Thread, Dispatch::Pool(2), Dispatch::Pump];

/// When the dispatcher drops the captures of a withdrawn handler and one of them panics, the dispatcher's thread
/// lives on.
#[test]
fn a_capture_that_panics_ends_no_dispatcher() {
    for dispatch in MODES {
        let bus = Bus::start(programs!());
        let host = bus.builder("Host").dispatch(dispatch).connect().unwrap();
        let _good = host.provide("Host.Good", || 1_u64).unwrap();
        let caller = bus.plugin("Caller");
        let good = open::<(), u64>(&caller, "Host.Good");
        let dropped = Arc::new(AtomicU32::new(0));
        for n in 1..=5 {
            let bomb = Bomb(dropped.clone());
            let handler = move || {
                let _is_captured = &bomb;
                2_u64
            };
            let bad = Mutex::new(Some(host.provide("Host.Bad", handler).unwrap()));
            let call = open::<(), u64>(&caller, "Host.Bad");
            calls_are_served(&host, dispatch, || {
                assert_eq!(call.invoke(()).unwrap(), 2);
                // If the withdrawing thread drops the last copy, the panic happens there.
                let _ = catch_unwind(|| drop(bad.lock().unwrap().take()));
                assert_eq!(good.invoke(()).unwrap(), 1);
                await_that("it went off", || dropped.load(Ordering::SeqCst) == n);
                assert_eq!(good.invoke(()).unwrap(), 1);
            });
        }
    }
}

/// A handler may panic with a value that panics again when it is dropped: only the call ends.
#[test]
fn a_panic_within_a_panic_ends_the_call_and_nothing_else() {
    for dispatch in MODES {
        let bus = Bus::start(programs!());
        let host = bus.builder("Host").dispatch(dispatch).connect().unwrap();
        let handler = || -> u64 { panic_any(Bomb(Arc::default())) };
        let _bad = host.provide("Host.Bad", handler).unwrap();
        let caller = bus.plugin("Caller");
        let bad = open::<(), u64>(&caller, "Host.Bad");
        calls_are_served(&host, dispatch, || {
            for _ in 0..3 {
                assert_eq!(code(bad.invoke(())), Code::HandlerPanicked);
            }
        });
    }
}

/// A captured value may call its own plugin directly when it is dropped. The thread that drops it holds no turn then,
/// for which the call would wait for ever.
#[test]
fn a_capture_may_call_its_own_plugin_when_it_is_dropped() {
    for dispatch in MODES {
        let bus = Bus::start(programs!());
        let builder = bus.builder("Host").dispatch(dispatch).direct_calls(true);
        let host = builder.connect().unwrap();
        let _good = host.provide("Host.Good", || 1_u64).unwrap();
        let good = open::<(), u64>(&host, "Host.Good");
        let far = bus.plugin("Far");
        let (told, tell) = mpsc::channel();
        let last = LastCall(good.clone(), told);
        let handler = move |_: callgate_client::Context<'_>, _: callgate_client::Payload<'_>| {
            let _is_captured = &last;
        };
        let gate = Mutex::new(Some(host.provide_raw("Host.Bad", handler).unwrap()));
        let call = far.raw_subscriber::<()>("Host.Bad").unwrap();
        call.wait_ready(callgate_tests::PATIENCE).unwrap();
        let tell = Mutex::new(tell);
        calls_are_served(&host, dispatch, || {
            call.loan(8).unwrap().invoke().unwrap();
            drop(gate.lock().unwrap().take());
            let (is_ok, took) = tell.lock().unwrap().recv().unwrap();
            assert!(
                is_ok && took < Duration::from_secs(2),
                "{dispatch:?} {took:?}"
            );
        });
    }
}

/// A visitor's call that finds a changed gate after waiting for its turn drops its copy of the old handler, perhaps
/// the last one, only after it has given the turn back.
#[test]
fn a_visitor_drops_nothing_during_its_turn() {
    let bus = Bus::start(programs!());
    let host = bus.builder("Host").direct_calls(true).connect().unwrap();
    let _good = host.provide("Host.Good", || 1_u64).unwrap();
    let (inside, entered) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let (inside, gone) = (Mutex::new(inside), Mutex::new(gone));
    let hold = move || {
        inside.lock().unwrap().send(()).unwrap();
        let _ = gone.lock().unwrap().recv();
    };
    let _hold = host.provide("Host.Hold", hold).unwrap();
    let first = host.provide("Host.Changes", || 1_u64).unwrap();
    let caller = bus.plugin("Caller");
    let hold = open::<(), ()>(&caller, "Host.Hold");
    let changes = open::<(), u64>(&caller, "Host.Changes");
    let good = open::<(), u64>(&caller, "Host.Good");
    let (told, tell) = mpsc::channel();
    let own = Arc::new(Mutex::new(None));
    let withdrawn = own.clone();
    thread::scope(|scope| {
        scope.spawn(|| hold.invoke(()).unwrap());
        entered.recv().unwrap();
        let waits = scope.spawn(|| changes.invoke(()).unwrap());
        thread::sleep(Duration::from_millis(100));
        drop(first);
        let last = LastCall(good, told);
        let handler = move || {
            let _is_captured = &last;
            // From here on the visitor has the last copy.
            drop(withdrawn.lock().unwrap().take());
            2_u64
        };
        *own.lock().unwrap() = Some(host.provide("Host.Changes", handler).unwrap());
        thread::sleep(Duration::from_millis(100));
        go.send(()).unwrap();
        assert_eq!(waits.join().unwrap(), 2);
        let (is_ok, took) = tell.recv().unwrap();
        assert!(is_ok && took < Duration::from_secs(2), "{took:?}");
    });
}

/// A handler may have captured the last handle of its own plugin. Dropping it on a thread of the pool waits for the
/// other threads, so that thread must not be the one that looks for calls: the others would wait for it.
#[test]
fn a_capture_may_be_the_last_handle_of_its_plugin() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(3)] {
        for _ in 0..5 {
            let bus = Bus::start(programs!());
            let host = Arc::new(bus.builder("Host").dispatch(dispatch).connect().unwrap());
            let captured = host.clone();
            let handler = move || captured.name().len() as u64;
            let gate = host.provide("Host.Own", handler).unwrap();
            let caller = bus.plugin("Caller");
            let own = open::<(), u64>(&caller, "Host.Own");
            assert_eq!(own.invoke(()).unwrap(), 4);
            drop(host);
            drop(gate);
            await_that("it is gone", || bus.builder("Host").connect().is_ok());
        }
    }
}

/// Closing a plugin waits for a caller in its process that still runs one of its handlers.
#[test]
fn closing_waits_for_visitors() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let bus = Bus::start(programs!());
        let builder = bus.builder("Host").dispatch(dispatch).direct_calls(true);
        let host = builder.connect().unwrap();
        let (busy, (inside, entered)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
        let (is_busy, inside) = (busy.clone(), Mutex::new(inside));
        let slow = move || {
            is_busy.store(true, Ordering::SeqCst);
            inside.lock().unwrap().send(()).unwrap();
            thread::sleep(Duration::from_millis(100));
            is_busy.store(false, Ordering::SeqCst);
        };
        host.provide("Host.Slow", slow).unwrap().keep();
        let caller = bus.plugin("Caller");
        let slow = open::<(), ()>(&caller, "Host.Slow");
        thread::scope(|scope| {
            scope.spawn(|| slow.invoke(()).unwrap());
            entered.recv().unwrap();
            drop(host);
            assert!(!busy.load(Ordering::SeqCst), "{dispatch:?}");
        });
    }
}
