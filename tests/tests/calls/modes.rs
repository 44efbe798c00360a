//! Where handlers run: chains of calls, pools and pumps, between plugins that call each other through shared memory
//! and directly.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{
    CancelToken, Code, Context, Dispatch, GateOptions, HandlerError, Plugin, Provider, Result,
};
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, programs};

const MODES: [Dispatch; 3] = [Dispatch::Thread, Dispatch::Pool(3), Dispatch::Pump];

fn plugin(bus: &Bus, name: &str, (dispatch, direct): (Dispatch, bool)) -> Arc<Plugin> {
    let builder = bus.builder(name).dispatch(dispatch).direct_calls(direct);
    Arc::new(builder.connect().expect("connecting"))
}

/// Pumps on a thread of its own until the flag is set. Other dispatches need nothing.
fn pumped(
    plugin: &Arc<Plugin>,
    dispatch: Dispatch,
    stop: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let (plugin, stop) = (plugin.clone(), stop.clone());
    thread::spawn(move || {
        while dispatch == Dispatch::Pump && !stop.load(Ordering::Relaxed) {
            plugin
                .pump(Instant::now() + Duration::from_millis(20))
                .expect("pumping");
        }
    })
}

/// A gate that calls the other one with its argument less one, until that is zero.
fn ladder(plugin: &Arc<Plugin>, own: &str, other: &str) -> Provider {
    let next = plugin.subscriber::<(u64,), u64>(other).expect("opening");
    let step = move |context: Context<'_>, n: u64| -> Result<u64, HandlerError> {
        if n == 0 {
            return Ok(u64::from(context.depth()));
        }
        let before = context.depth();
        let depth = next.invoke((n - 1,))?;
        assert_eq!(context.depth(), before);
        Ok(depth)
    };
    plugin.provide(own, step).expect("providing")
}

/// A calls B, and B calls A: neither waits for ever, in every mode.
fn mutual_recursion_goes_60_deep_in_every_mode_and_no_deeper_than_64(direct: bool) {
    for (one, two) in MODES
        .iter()
        .flat_map(|a| MODES.iter().map(move |b| (*a, *b)))
    {
        let bus = Bus::start(programs!());
        let (a, b) = (
            plugin(&bus, "A", (one, direct)),
            plugin(&bus, "B", (two, direct)),
        );
        let _gates = (
            ladder(&a, "A.Step", "B.Step"),
            ladder(&b, "B.Step", "A.Step"),
        );
        let stop = Arc::new(AtomicBool::new(false));
        let pumps = [pumped(&a, one, &stop), pumped(&b, two, &stop)];
        // A had this gate open before B provided it, and learns of it shortly after `provide` returns.
        let _told = open::<(u64,), u64>(&a, "B.Step");
        let from_outside = bus.plugin("C");
        let step = open::<(u64,), u64>(&from_outside, "A.Step");
        assert_eq!(step.invoke((59,)).unwrap(), (60), "{one:?} {two:?}");
        assert_eq!(step.invoke((63,)).unwrap(), (64), "{one:?} {two:?}");
        let error = step.invoke((64,)).unwrap_err();
        assert_eq!(error.code(), Code::HandlerError);
        assert_eq!(
            error.context().unwrap()["handler_code"],
            "CALL_DEPTH_EXCEEDED",
            "{one:?} {two:?}"
        );
        assert_eq!(step.invoke((1,)).unwrap(), (2));
        stop.store(true, Ordering::Relaxed);
        pumps.into_iter().for_each(|pump| pump.join().unwrap());
    }
}

/// A pump that waits for a call between two frames runs a handler that the called gate calls back.
fn who_pumps_serves_its_own_chain_while_it_waits(direct: bool) {
    let bus = Bus::start(programs!());
    let host = plugin(&bus, "Host", (Dispatch::Pump, direct));
    let me = thread::current().id();
    let _size = host
        .provide("Host.Size", move || -> u64 {
            assert_eq!(thread::current().id(), me);
            7
        })
        .unwrap();
    let far = bus.plugin("Far");
    let size = open::<(), u64>(&far, "Host.Size");
    let _draw = far
        .provide("Far.Draw", move || -> Result<u64, HandlerError> {
            Ok(size.invoke(())? * 2)
        })
        .unwrap();
    let draw = open::<(), u64>(&host, "Far.Draw");
    assert_eq!(draw.invoke(()).unwrap(), (14));
    host.pump(Instant::now()).unwrap();
    assert_eq!(draw.invoke(()).unwrap(), (14));
}

/// A pump runs handlers on its own thread, and returns at its deadline.
fn a_pump_serves_on_its_own_thread_and_until_its_deadline(direct: bool) {
    let bus = Bus::start(programs!());
    let host = plugin(&bus, "Host", (Dispatch::Pump, direct));
    let me = thread::current().id();
    let _gate = host
        .provide("Host.Add", move |a: u64, b: u64| {
            assert_eq!(thread::current().id(), me);
            a + b
        })
        .unwrap();
    assert_eq!(host.pump(Instant::now()).unwrap(), 0);
    let start = Instant::now();
    assert_eq!(host.pump(start + Duration::from_millis(30)).unwrap(), 0);
    assert!(start.elapsed() >= Duration::from_millis(30));
    let caller = bus.plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "Host.Add");
    let calls = thread::spawn(move || (0..50).all(|n| add.invoke((n, 1)).unwrap() == n + 1));
    let mut served = 0;
    while served < 50 {
        served += host.pump(Instant::now() + Duration::from_secs(5)).unwrap();
    }
    assert!(calls.join().unwrap());
    assert_eq!(served, 50);
    let error = bus.plugin("Other").pump(Instant::now()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

/// A pool runs handlers at the same time: its threads do not wait for each other.
fn a_pool_runs_handlers_side_by_side(direct: bool) {
    let bus = Bus::start(programs!());
    let host = plugin(&bus, "Host", (Dispatch::Pool(3), direct));
    let all = GateOptions::new().limit(3);
    host.set_gate_options("Host.Meet", all).unwrap();
    let meeting = Arc::new(std::sync::Barrier::new(3));
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = threads.clone();
    let _gate = host
        .provide("Host.Meet", move || {
            seen.lock().unwrap().insert(thread::current().id());
            meeting.wait();
        })
        .unwrap();
    let caller = bus.plugin("Caller");
    let meet = open::<(), ()>(&caller, "Host.Meet");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| meet.invoke(()).unwrap()))
            .collect();
        for call in calls {
            call.join().unwrap();
        }
    });
    assert_eq!(threads.lock().unwrap().len(), 3);
}

/// Handlers on the dispatcher's thread and on callers' threads take turns: two never run at the same time, and both
/// sides get turns.
fn handlers_of_one_plugin_take_turns(direct: bool) {
    for dispatch in [Dispatch::Thread, Dispatch::Pump] {
        let bus = Bus::start(programs!());
        let host = plugin(&bus, "Host", (dispatch, direct));
        let inside = Arc::new(AtomicBool::new(false));
        let alone = move |inside: &AtomicBool| {
            assert!(!inside.swap(true, Ordering::SeqCst));
            std::hint::black_box((0..500).sum::<u64>());
            assert!(inside.swap(false, Ordering::SeqCst));
        };
        let (one, two) = (inside.clone(), inside.clone());
        let _archived = host.provide("Host.One", move || alone(&one)).unwrap();
        // Raw payloads always pass through shared memory.
        let _raw = host
            .provide_raw("Host.Two", move |_: Context<'_>, _| alone(&two))
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let pump = pumped(&host, dispatch, &stop);
        let callers = [bus.plugin("One"), bus.plugin("Two")];
        let one = open::<(), ()>(&callers[0], "Host.One");
        let two = callers[1].raw_subscriber::<()>("Host.Two").unwrap();
        two.wait_ready(Duration::from_secs(20)).unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..2_000).for_each(|_| one.invoke(()).unwrap()));
            }
            scope.spawn(|| (0..2_000).for_each(|_| two.loan(8).unwrap().invoke().unwrap()));
        });
        stop.store(true, Ordering::Relaxed);
        pump.join().unwrap();
    }
}

/// A handler may close its own plugin, which does not wait for that handler.
fn a_handler_may_close_its_own_plugin(direct: bool) {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let bus = Bus::start(programs!());
        let host = Arc::try_unwrap(plugin(&bus, "Host", (dispatch, direct))).unwrap();
        let own = Arc::new(Mutex::new(None));
        let slot = own.clone();
        let gate = host.provide("Host.Close", move || drop(slot.lock().unwrap().take()));
        gate.unwrap().keep();
        let caller = bus.plugin("Caller");
        let close = open::<(), ()>(&caller, "Host.Close");
        *own.lock().unwrap() = Some(host);
        // The handler ran. Whether its answer arrives before the link ends is open.
        if let Err(error) = close.invoke(()) {
            assert_eq!(error.code(), Code::ProviderGone);
        }
        callgate_tests::shorthand::await_that("it is gone", || !close.has_function());
        assert!(bus.builder("Other").connect().is_ok());
    }
}

/// A caller can give up before its deadline by a token, and the handler sees that.
fn a_token_ends_the_wait_and_shows_in_the_handler(direct: bool) {
    let bus = Bus::start(programs!());
    let host = plugin(&bus, "Host", (Dispatch::Thread, direct));
    let (saw, seen) = mpsc::sync_channel(1);
    let (began, begun) = mpsc::sync_channel(1);
    let _long = host
        .provide("Host.Long", move |context: Context<'_>| {
            began.send(()).unwrap();
            while !context.is_cancelled() && !context.deadline_passed() {
                thread::yield_now();
            }
            saw.send(context.is_cancelled()).unwrap();
        })
        .unwrap();
    let caller = bus.plugin("Caller");
    let token = CancelToken::new();
    let long = open::<(), ()>(&caller, "Host.Long")
        .with_timeout(Duration::from_secs(60))
        .with_cancel(&token);
    thread::scope(|scope| {
        let call = scope.spawn(|| long.invoke(()).unwrap_err());
        begun.recv().unwrap();
        token.cancel();
        let error = call.join().unwrap();
        assert_eq!(error.code(), Code::Cancelled);
        assert!(error.may_have_run());
    });
    assert!(seen.recv().unwrap());
    let error = long.invoke(()).unwrap_err();
    assert_eq!(
        (error.code(), error.may_have_run()),
        (Code::Cancelled, false)
    );
}

/// When a gate moves into the caller's process or out of it, its subscribers call the new provider.
#[test]
fn a_gate_may_move_into_this_process_and_out_again() {
    let bus = Bus::start(programs!());
    let caller = bus.plugin("Caller");
    let add = caller.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    for n in 0..5 {
        let there = bus.peer("provider", "P", &[]);
        add.wait_ready(Duration::from_secs(20)).unwrap();
        assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
        drop(there);
        callgate_tests::shorthand::await_that("it went", || !add.has_function());
        let here = plugin(&bus, "P", (Dispatch::Thread, true));
        let me = thread::current().id();
        let gate = here.provide("P.Add", move |a: u64, b: u64| {
            assert_eq!(thread::current().id(), me);
            a + b
        });
        add.wait_ready(Duration::from_secs(20)).unwrap();
        assert_eq!(add.invoke((n, 2)).unwrap(), n + 2);
        drop(gate);
        drop(here);
        callgate_tests::shorthand::await_that("it went", || !add.has_function());
    }
}

/// Each behaviour, once over links as between processes, and once with direct calls.
macro_rules! both {
    ($($name:ident,)*) => {
        mod through_links {
            $(#[test] fn $name() { super::$name(false); })*
        }
        mod directly {
            $(#[test] fn $name() { super::$name(true); })*
        }
    };
}

both! {
    a_handler_may_close_its_own_plugin,
    handlers_of_one_plugin_take_turns,
    mutual_recursion_goes_60_deep_in_every_mode_and_no_deeper_than_64,
    who_pumps_serves_its_own_chain_while_it_waits,
    a_pump_serves_on_its_own_thread_and_until_its_deadline,
    a_pool_runs_handlers_side_by_side,
    a_token_ends_the_wait_and_shows_in_the_handler,
}
