//! Limits on how many calls of a gate are handled at a time, and the calls that wait for that.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::dynamic::{self, Responder};
use callgate_client::{
    CancelToken, Code, Dispatch, GateOptions, HandlerError, Plugin, Provider, Subscriber,
    signature_of,
};
use callgate_tests::pumped::Pumped;
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, programs};

use crate::support::SHORT;

const MODES: [Dispatch; 4] = [
    Dispatch::Thread,
    Dispatch::Pool(1),
    Dispatch::Pool(3),
    Dispatch::Pump,
];

/// How many handlers run, and the most that have run at the same time.
#[derive(Default)]
struct Counted {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl Counted {
    fn run(&self, work: impl FnOnce()) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        work();
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

fn serve(bus: &Bus, name: &str, (dispatch, direct): (Dispatch, bool)) -> Pumped {
    let builder = bus.builder(name).dispatch(dispatch).direct_calls(direct);
    Pumped::new(builder.connect().expect("the bus"), dispatch)
}

/// A gate whose calls take this many milliseconds.
fn slow(plugin: &Plugin, gate: &str) -> (Arc<Counted>, Provider) {
    let counted = Arc::<Counted>::default();
    let own = counted.clone();
    let handler = move |millis: u64| own.run(|| thread::sleep(Duration::from_millis(millis)));
    (counted, plugin.provide(gate, handler).expect("providing"))
}

/// The time within which 99 of 100 calls ended.
fn p99(quick: &Subscriber<(u64,), u64>) -> Duration {
    let call = |n| {
        let start = Instant::now();
        assert_eq!(quick.invoke((n,)).unwrap(), n + 1);
        start.elapsed()
    };
    let mut took: Vec<_> = (0..2_000).map(call).collect();
    took.sort();
    took[took.len() * 99 / 100]
}

/// A slow gate with many calls leaves a thread of the pool to other gates, whose calls would otherwise time out.
#[test]
fn a_slow_gate_leaves_a_thread_of_the_pool_to_others() {
    let bus = Bus::start(programs!());
    let provider = serve(&bus, "Provider", (Dispatch::Pool(3), false));
    let (counted, _slow) = slow(&provider, "Provider.Slow");
    let _quick = provider.provide("Provider.Quick", |n: u64| n + 1).unwrap();
    let callers = [0, 1].map(|n| bus.plugin(&format!("Caller{n}")));
    let slow = callers
        .each_ref()
        .map(|caller| open::<(u64,), ()>(caller, "Provider.Slow"));
    let other = bus.plugin("Other");
    let quick = open::<(u64,), u64>(&other, "Provider.Quick");
    let alone = p99(&quick);
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        for n in 0..48 {
            let (slow, stop) = (&slow[n % 2], &stop);
            scope.spawn(move || {
                // The loop ends also if the other side fails.
                while !stop.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
                    slow.invoke((50,)).unwrap();
                }
            });
        }
        await_that("the slow gate has what it may have", || counted.most() == 2);
        // One second is a thousand times what the call takes.
        let quick = quick.with_timeout(Duration::from_secs(1));
        let beside = p99(&quick);
        stop.store(true, Ordering::Relaxed);
        println!("p99 of the quick gate: {alone:?} alone, {beside:?} beside the slow one");
    });
    assert_eq!(counted.most(), 2);
}

/// Of two gates with queued calls, each gets its turn: the one with many calls does not run all of them first.
#[test]
fn queued_calls_are_run_in_turn_by_gate_and_in_order() {
    let bus = Bus::start(programs!());
    for dispatch in MODES {
        let provider = serve(&bus, "Provider", (dispatch, false));
        let caller = bus.plugin("Caller");
        let nested = bus.plugin("Nested");
        let (came, coming) = mpsc::channel::<()>();
        let (go, gone) = mpsc::channel::<()>();
        let gone = Mutex::new(gone);
        let _waits = nested
            .provide("Nested.Waits", move || {
                came.send(()).unwrap();
                let _ = gone.lock().unwrap().recv();
            })
            .unwrap();
        let waits = open::<(), ()>(&provider, "Nested.Waits");
        let inside = Arc::<AtomicUsize>::default();
        let count = inside.clone();
        let outer = provider.provide("Provider.Outer", move || -> Result<(), HandlerError> {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(waits.invoke(())?)
        });
        let _outer = outer.unwrap();
        let order = Arc::<Mutex<Vec<u64>>>::default();
        let noting = || {
            let order = order.clone();
            move |n: u64| order.lock().unwrap().push(n)
        };
        let one = GateOptions::new().limit(1);
        let gates = ["Provider.Many", "Provider.Few"].map(|gate| {
            provider.set_gate_options(gate, one).unwrap();
            provider.provide(gate, noting()).unwrap()
        });
        let signature = signature_of::<(u64,), ()>();
        let [many, few] = ["Provider.Many", "Provider.Few"].map(|gate| {
            let gate = dynamic::open(&caller, gate, &signature).unwrap();
            gate.wait_ready(PATIENCE).unwrap();
            gate.with_timeout(PATIENCE)
        });
        let outer = open::<(), ()>(&caller, "Provider.Outer");
        // All threads of a pool are inside handlers that wait, too.
        let threads = match dispatch {
            Dispatch::Pool(threads) => threads,
            _ => 1,
        };
        provider
            .set_gate_options("Provider.Outer", GateOptions::new().limit(threads))
            .unwrap();
        thread::scope(|scope| {
            let held: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| outer.invoke(())))
                .collect();
            await_that("all threads are inside", || {
                inside.load(Ordering::SeqCst) == threads as usize
            });
            coming.recv().unwrap();
            let mut sent: Vec<_> = (0..6_u64)
                .map(|n| many.send(&n.to_le_bytes()).unwrap())
                .collect();
            sent.extend((100..103_u64).map(|n| few.send(&n.to_le_bytes()).unwrap()));
            // The waiting handler takes the calls from the ring.
            thread::sleep(SHORT);
            drop(go);
            for call in held {
                call.join().unwrap().unwrap();
            }
            sent.into_iter().for_each(|call| drop(call.wait().unwrap()));
        });
        let order = std::mem::take(&mut *order.lock().unwrap());
        let of = |gate: std::ops::Range<u64>| {
            order
                .iter()
                .copied()
                .filter(move |n| gate.contains(n))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(0..6), [0, 1, 2, 3, 4, 5], "{dispatch:?}: {order:?}");
        assert_eq!(of(100..103), [100, 101, 102], "{dispatch:?}: {order:?}");
        let last = order.iter().position(|n| *n == 102).unwrap();
        assert!(last <= 6, "{dispatch:?}: {order:?}");
        drop(gates);
    }
}

/// No more calls run at a time than the gate's limit allows. Its handlers need no lock for that, and waiting calls
/// hold no thread.
#[test]
fn no_more_calls_run_than_a_gate_says_through_links_and_directly() {
    let bus = Bus::start(programs!());
    for limit in [1, 2] {
        for dispatch in MODES {
            // The threads of the test are visitors; the other processes call through links.
            let provider = serve(&bus, "S", (dispatch, true));
            let (counted, own) = (Arc::<Counted>::default(), Arc::<AtomicUsize>::default());
            let (counts, at) = (counted.clone(), own.clone());
            let options = GateOptions::new().limit(limit);
            provider.set_gate_options("S.Add", options).unwrap();
            let add = move |a: u64, b: u64| {
                counts.run(|| {
                    // Some handlers sleep, so that others could begin meanwhile.
                    if at.fetch_add(1, Ordering::Relaxed) % 8 == 0 {
                        thread::sleep(Duration::from_micros(100));
                    }
                });
                a + b
            };
            let _add = provider.provide("S.Add", add).unwrap();
            let processes = [0, 1].map(|n| bus.peer("caller", &format!("C{n}"), &["S"]));
            let caller = bus.plugin("Visitor");
            let add = open::<(u64, u64), u64>(&caller, "S.Add");
            thread::scope(|scope| {
                for thread in 0..3 {
                    let add = &add;
                    scope.spawn(move || {
                        for n in 0..300 {
                            assert_eq!(add.invoke((n, thread)).unwrap(), n + thread);
                        }
                    });
                }
            });
            // The other processes are served besides the visitors.
            await_that("processes are answered", || {
                counted.all.load(Ordering::SeqCst) > 1_200
            });
            drop(processes);
            let most = counted.most();
            assert!(most <= limit as usize, "{most} of {limit} {dispatch:?}");
            if dispatch == Dispatch::Pool(3) {
                assert_eq!(most, limit as usize, "nothing came of it");
            }
        }
    }
}

/// A calls B, and B calls the gate of A that has one call at a time: the second call does not wait for the first.
#[test]
fn a_call_that_comes_back_to_its_gate_does_not_wait_for_itself() {
    let bus = Bus::start(programs!());
    for direct in [false, true] {
        for dispatch in MODES {
            let (a, b) = (
                serve(&bus, "A", (dispatch, direct)),
                serve(&bus, "B", (dispatch, direct)),
            );
            let steps =
                [(&a, "A.Step", "B.Step"), (&b, "B.Step", "A.Step")].map(|(plugin, own, other)| {
                    plugin
                        .set_gate_options(own, GateOptions::new().limit(1))
                        .unwrap();
                    let next = plugin.subscriber::<(u64,), u64>(other).unwrap();
                    let step = move |n: u64| -> Result<u64, HandlerError> {
                        match n {
                            0 => Ok(0),
                            n => Ok(next.invoke((n - 1,))? + 1),
                        }
                    };
                    plugin.provide(own, step).unwrap()
                });
            let outside = bus.plugin("Outside");
            let step = open::<(u64,), u64>(&outside, "A.Step");
            let _told = open::<(u64,), u64>(&a, "B.Step");
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            assert_eq!(step.invoke((7,)).unwrap(), 7, "{dispatch:?} {direct}");
                        }
                    });
                }
            });
            drop(steps);
        }
    }
}

/// A visitor that waits for a full gate stops waiting at its deadline, when its token is cancelled, and when the gate
/// is withdrawn.
#[test]
fn a_visitor_waits_until_its_deadline_its_token_or_the_gate_s_end() {
    let bus = Bus::start(programs!());
    let provider = serve(&bus, "Provider", (Dispatch::Pool(2), true));
    let one = GateOptions::new().limit(1);
    provider.set_gate_options("Provider.Slow", one).unwrap();
    let (came, coming) = mpsc::channel::<()>();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let slow = provider
        .provide("Provider.Slow", move || {
            came.send(()).unwrap();
            let _ = gone.lock().unwrap().recv();
        })
        .unwrap();
    let caller = bus.plugin("Caller");
    let call = open::<(), ()>(&caller, "Provider.Slow");
    thread::scope(|scope| {
        scope.spawn(|| call.invoke(()).unwrap());
        coming.recv().unwrap();
        let start = Instant::now();
        let error = call.with_timeout(SHORT).invoke(()).unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (Code::Timeout, false));
        assert!(start.elapsed() >= SHORT);
        let token = CancelToken::new();
        let hasty = call.with_cancel(&token);
        let given_up = scope.spawn(move || hasty.invoke(()).unwrap_err());
        thread::sleep(SHORT);
        token.cancel();
        assert_eq!(given_up.join().unwrap().code(), Code::Cancelled);
        let late = scope.spawn(|| call.invoke(()).unwrap_err());
        thread::sleep(SHORT);
        drop(slow);
        assert_eq!(late.join().unwrap().code(), Code::NotReady);
        drop(go);
    });
}

/// A plugin closes also while visitors wait for one of its gates.
#[test]
fn a_plugin_closes_while_visitors_wait_for_its_gate() {
    let bus = Bus::start(programs!());
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let provider = serve(&bus, "Provider", (dispatch, true));
        let one = GateOptions::new().limit(1);
        provider.set_gate_options("Provider.Later", one).unwrap();
        // A call that is answered later holds no turn and no thread.
        let (held, holding) = mpsc::channel::<Responder>();
        let signature = signature_of::<(), ()>();
        let keep = move |_: callgate_client::Context<'_>, _: &[u8], responder| {
            held.send(responder).unwrap();
        };
        dynamic::provide_later(&provider, "Provider.Later", &signature, keep)
            .unwrap()
            .keep();
        let caller = bus.plugin("Caller");
        let later = open::<(), ()>(&caller, "Provider.Later");
        thread::scope(|scope| {
            let first = scope.spawn(|| later.invoke(()).unwrap_err());
            let responder = holding.recv().unwrap();
            let second = scope.spawn(|| later.invoke(()).unwrap_err());
            thread::sleep(SHORT);
            assert!(holding.try_recv().is_err(), "both were begun");
            let start = Instant::now();
            drop(provider);
            assert!(start.elapsed() < PATIENCE / 2);
            assert_eq!(first.join().unwrap().code(), Code::ProviderGone);
            assert_eq!(second.join().unwrap().code(), Code::ProviderGone);
            drop(responder);
        });
    }
}

/// When a limit is raised, calls that wait in the queue begin.
#[test]
fn a_limit_may_change_while_calls_wait() {
    let bus = Bus::start(programs!());
    for direct in [false, true] {
        let provider = serve(&bus, "Provider", (Dispatch::Pool(4), direct));
        let limit = |calls| GateOptions::new().limit(calls);
        provider
            .set_gate_options("Provider.Slow", limit(1))
            .unwrap();
        let (came, coming) = mpsc::channel::<()>();
        let (go, gone) = mpsc::channel::<()>();
        let gone = Mutex::new(gone);
        let slow = move || {
            came.send(()).unwrap();
            let _ = gone.lock().unwrap().recv();
        };
        let _slow = provider.provide("Provider.Slow", slow).unwrap();
        let caller = bus.plugin("Caller");
        let call = open::<(), ()>(&caller, "Provider.Slow");
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| call.invoke(()).unwrap());
            }
            coming.recv().unwrap();
            thread::sleep(SHORT);
            assert!(coming.try_recv().is_err(), "one at a time");
            provider
                .set_gate_options("Provider.Slow", limit(3))
                .unwrap();
            (0..2).for_each(|_| coming.recv_timeout(PATIENCE).unwrap());
            drop(go);
        });
    }
}
