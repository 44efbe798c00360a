//! Limited gates whose calls, callers or plugins end while others wait: no permit is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use callgate_client::dynamic;
use callgate_client::{Code, Dispatch, GateOptions, Plugin, Provider, signature_of};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, programs};

use crate::support::SHORT;

/// A gate whose handlers wait until they are released. `came` counts the handlers that have begun.
struct Held {
    came: Arc<AtomicUsize>,
    go: mpsc::Sender<()>,
    provider: Provider,
}

impl Held {
    fn new(plugin: &Plugin, gate: &str) -> Held {
        let (go, gone) = mpsc::channel::<()>();
        let (came, gone) = (Arc::<AtomicUsize>::default(), Mutex::new(gone));
        let own = came.clone();
        let held = move |a: u64, b: u64| {
            own.fetch_add(1, Ordering::SeqCst);
            let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
            a + b
        };
        let provider = plugin.provide(gate, held).unwrap();
        Held { came, go, provider }
    }

    /// The same for a gate that has one call at a time.
    fn alone(plugin: &Plugin, gate: &str) -> Held {
        let one = GateOptions::new().limit(1);
        plugin.set_gate_options(gate, one).unwrap();
        Held::new(plugin, gate)
    }

    fn await_one(&self) {
        await_that("one is inside", || self.came() == 1);
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

fn plugin(bus: &Bus, name: &str, (dispatch, direct): (Dispatch, bool)) -> Plugin {
    let builder = bus.builder(name).dispatch(dispatch).direct_calls(direct);
    builder.connect().unwrap()
}

/// A handler that panics gives its permit back, so a gate with one call at a time can still be called.
#[test]
fn a_handler_that_panics_gives_its_permit_back() {
    let bus = Bus::start(programs!());
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        for direct in [false, true] {
            let provider = plugin(&bus, "P", (dispatch, direct));
            let one = GateOptions::new().limit(1);
            for gate in ["P.Panics", "P.PanicsLater"] {
                provider.set_gate_options(gate, one).unwrap();
            }
            let panics = |n: u64| {
                assert!(n.is_multiple_of(2), "an odd number");
                n
            };
            let _panics = provider.provide("P.Panics", panics).unwrap();
            let signature = signature_of::<(u64,), u64>();
            let panics = |_: callgate_client::Context<'_>, _: &[u8], _| panic!("for once");
            let later = dynamic::provide_later(&provider, "P.PanicsLater", &signature, panics);
            let _later = later.unwrap();
            let caller = bus.plugin("Caller");
            for gate in ["P.Panics", "P.PanicsLater"] {
                let gate = open::<(u64,), u64>(&caller, gate);
                for _ in 0..3 {
                    let error = gate.invoke((1,)).unwrap_err();
                    assert_eq!(error.code(), Code::HandlerPanicked, "{error}");
                }
            }
            let gate = open::<(u64,), u64>(&caller, "P.Panics");
            assert_eq!(gate.invoke((2,)).unwrap(), 2);
        }
    }
}

/// Queued calls of a caller that died are not run, and do not keep other calls waiting.
#[test]
fn calls_of_a_caller_that_died_in_the_queue_are_not_run() {
    let bus = Bus::start(programs!());
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let provider = plugin(&bus, "P", (dispatch, false));
        let held = Held::alone(&provider, "P.Add");
        let other = bus.plugin("Other");
        let add = open::<(u64, u64), u64>(&other, "P.Add");
        thread::scope(|scope| {
            let first = scope.spawn(|| add.invoke((1, 2)));
            held.await_one();
            let dying = [0, 1, 2].map(|n| bus.peer("caller", &format!("Dying{n}"), &["P"]));
            thread::sleep(SHORT);
            dying.into_iter().for_each(callgate_tests::Process::kill);
            // The links of the dead callers have ended, and the provider has noticed that.
            let last = scope.spawn(|| add.invoke((3, 4)));
            thread::sleep(4 * SHORT);
            assert_eq!(held.came(), 1, "more than one at a time");
            held.go.send(()).unwrap();
            held.go.send(()).unwrap();
            assert_eq!(first.join().unwrap().unwrap(), 3);
            assert_eq!(last.join().unwrap().unwrap(), 7);
        });
        assert_eq!(held.came(), 2, "{dispatch:?}: a call of the dead was run");
    }
}

/// If a caller dies, its call keeps its permit until the handler has ended.
#[test]
fn a_call_whose_caller_died_counts_until_its_handler_has_ended() {
    let bus = Bus::start(programs!());
    let provider = plugin(&bus, "P", (Dispatch::Pool(3), false));
    let held = Held::alone(&provider, "P.Add");
    let dying = bus.peer("caller", "Dying", &["P"]);
    held.await_one();
    dying.kill();
    let other = bus.plugin("Other");
    let add = open::<(u64, u64), u64>(&other, "P.Add");
    let hasty = add.with_timeout(4 * SHORT);
    let error = hasty.invoke((1, 2)).unwrap_err();
    assert_eq!((error.code(), held.came()), (Code::Timeout, 1));
    // The call with the short timeout may still run if the provider's coarse clock is behind.
    (0..3).for_each(|_| held.go.send(()).unwrap());
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
}

/// A plugin that closes answers the calls that have not begun because their gate was full.
#[test]
fn a_plugin_that_closes_answers_the_calls_in_its_queues() {
    let bus = Bus::start(programs!());
    for direct in [false, true] {
        let provider = plugin(&bus, "P", (Dispatch::Pool(2), direct));
        let held = Held::alone(&provider, "P.Add");
        let caller = bus.plugin("Caller");
        let add = open::<(u64, u64), u64>(&caller, "P.Add");
        thread::scope(|scope| {
            let first = scope.spawn(|| add.invoke((1, 2)));
            held.await_one();
            let queued = [0, 1, 2].map(|_| scope.spawn(|| add.invoke((3, 4))));
            thread::sleep(SHORT);
            let closing = scope.spawn(|| drop(provider));
            await_that("it is closing", || !add.has_function());
            // Closing waits for the handler that runs.
            held.go.send(()).unwrap();
            for call in queued {
                let error = call.join().unwrap().unwrap_err();
                assert_eq!(error.code(), Code::ProviderGone, "{error}");
            }
            let _ = first.join().unwrap();
            closing.join().unwrap();
        });
        assert_eq!(held.came(), 1);
    }
}

/// A gate that is withdrawn and provided again still counts the calls of its first life that have not ended.
#[test]
fn a_gate_that_comes_back_counts_the_calls_that_run_on() {
    let bus = Bus::start(programs!());
    for direct in [false, true] {
        for limit in [1, 2] {
            let provider = plugin(&bus, "P", (Dispatch::Pool(4), direct));
            let old = Held::alone(&provider, "P.Add");
            let caller = bus.plugin("Caller");
            let add = open::<(u64, u64), u64>(&caller, "P.Add");
            thread::scope(|scope| {
                let first = scope.spawn(|| add.invoke((1, 2)));
                old.await_one();
                drop(old.provider);
                let options = GateOptions::new().limit(limit);
                provider.set_gate_options("P.Add", options).unwrap();
                let new = Held::new(&provider, "P.Add");
                add.wait_ready(PATIENCE).unwrap();
                let second = [0, 1].map(|_| scope.spawn(|| add.invoke((3, 4))));
                let room = limit as usize - 1;
                await_that("there is room for so many", || new.came() == room);
                thread::sleep(SHORT);
                assert_eq!(new.came(), room, "beside the first");
                old.go.send(()).unwrap();
                assert_eq!(first.join().unwrap().unwrap(), 3);
                await_that("there is room for one more", || new.came() == room + 1);
                (0..2).for_each(|_| new.go.send(()).unwrap());
                for call in second {
                    assert_eq!(call.join().unwrap().unwrap(), 7);
                }
            });
        }
    }
}

/// A visitor times out because its own handler keeps a gate from others: the error says so.
#[test]
fn a_visitor_that_waited_in_vain_says_what_it_kept_meanwhile() {
    let bus = Bus::start(programs!());
    let [first, second] = ["A", "B"].map(|name| plugin(&bus, name, (Dispatch::Pool(2), true)));
    let one = GateOptions::new().limit(1);
    first.set_gate_options("A.Outer", one).unwrap();
    let held = Held::alone(&second, "B.Add");
    let inner = first
        .subscriber::<(u64, u64), u64>("B.Add")
        .unwrap()
        .with_timeout(SHORT);
    let outer = move || inner.invoke((1, 2)).map_err(|error| error.to_string());
    let outer = move || outer().unwrap_err();
    let _outer = first.provide("A.Outer", outer).unwrap();
    let caller = bus.plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "B.Add");
    let outer = open::<(), String>(&caller, "A.Outer");
    thread::scope(|scope| {
        let inside = scope.spawn(|| add.invoke((1, 2)));
        held.await_one();
        let error = outer.invoke(()).unwrap();
        assert!(
            error.contains("limited gates: A.Outer") && !error.contains("B.Add,"),
            "{error}"
        );
        held.go.send(()).unwrap();
        assert_eq!(inside.join().unwrap().unwrap(), 3);
    });
}

/// When a gate is withdrawn, its queued calls are refused at once, even while the handler of another gate runs.
#[test]
fn calls_in_the_queue_of_a_gate_that_is_withdrawn_are_refused() {
    let bus = Bus::start(programs!());
    let provider = plugin(&bus, "P", (Dispatch::Pool(2), false));
    let held = Held::alone(&provider, "P.Add");
    let caller = bus.plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    thread::scope(|scope| {
        let first = scope.spawn(|| add.invoke((1, 2)));
        held.await_one();
        let queued = [0, 1, 2].map(|_| scope.spawn(|| add.invoke((3, 4)).unwrap_err()));
        thread::sleep(SHORT);
        let Held { came, go, provider } = held;
        drop(provider);
        let codes = queued.map(|call| call.join().unwrap().code());
        assert_eq!(codes, [Code::NotReady; 3]);
        assert!(!first.is_finished(), "they waited for it");
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap().unwrap(), 3);
        assert_eq!(came.load(Ordering::SeqCst), 1);
    });
}
