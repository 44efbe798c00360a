//! Gates with a limit: circles of calls that wait for a permit, and waits that only seem to form one.

use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Dispatch, GateOptions, HandlerError, Plugin, dynamic, signature_of};
use callgate_tests::random::Random;
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, PATIENCE, programs};

use crate::crossing::is_one_told;
use crate::rings::{Kind, MODES, Place, Stage};

/// Long enough for waits to be reported to the broker and asked about.
const LASTING: Duration = Duration::from_millis(400);

fn one() -> GateOptions {
    GateOptions::new().limit(1)
}

/// When handlers of gates with one call at a time call each other's gates in a circle, one call ends with `DEADLOCK`,
/// also if the plugins have threads left.
#[test]
fn chains_that_cross_at_limited_gates_are_told_in_every_mode_and_place() {
    let places = [Place::There, Place::Here, Place::Direct];
    let each = MODES
        .iter()
        .flat_map(|mode| places.map(|place| Kind { mode, place }));
    let kinds: Vec<Kind> = each.collect();
    let mut stage = Stage::new(&kinds);
    let pairs =
        (0..kinds.len()).flat_map(|first| (0..first).map(move |second| vec![first, second]));
    let mut random = Random::new("limited rings");
    let mut triple = || {
        let mut all: Vec<usize> = (0..kinds.len()).collect();
        (0..3)
            .map(|_| all.swap_remove(random.below(all.len())))
            .collect()
    };
    let triples: Vec<Vec<usize>> = (0..12).map(|_| triple()).collect();
    for ring in pairs.chain(triples) {
        let start = Instant::now();
        let outcomes = stage.cross_narrowly(&ring);
        is_one_told(&stage, &ring, (&outcomes, start.elapsed()));
    }
}

/// A handler waits for a call that it has sent to its own gate, which has one call at a time: the wait ends with
/// `DEADLOCK`.
#[test]
fn a_call_that_a_handler_sends_to_its_own_limited_gate_is_told_of() {
    let bus = Bus::start(programs!());
    let a = bus
        .builder("A")
        .dispatch(Dispatch::Pool(4))
        .connect()
        .unwrap();
    a.set_gate_options("A.One", one()).unwrap();
    let sent = dynamic::open(&a, "A.One", &signature_of::<(bool,), String>()).unwrap();
    let sent = sent.with_timeout(PATIENCE);
    let handler = move |is_first: bool| match is_first {
        true => match sent
            .send(&dynamic::encode(&(false,)).unwrap())
            .and_then(dynamic::Sent::wait)
        {
            Ok(_) => "OK".to_owned(),
            Err(error) => format!("{} {}", error.code(), error.may_have_run()),
        },
        false => String::new(),
    };
    let _gate = a.provide("A.One", handler).unwrap();
    let caller = bus.plugin("T");
    let start = Instant::now();
    let outcome = open::<(bool,), String>(&caller, "A.One").invoke((true,));
    assert_eq!(outcome.unwrap(), "DEADLOCK true");
    assert!(start.elapsed() < PATIENCE / 2);
}

/// Two plugins with a limited gate each, whose handlers call each other's. `change` runs once the first waits for the
/// second's gate. Then the second calls the first's.
fn cross_after(is_direct: bool, change: impl Fn(&Plugin) + Send + Sync + 'static) -> [String; 2] {
    let bus = Bus::start(programs!());
    let plugin = |name| {
        let builder = bus.builder(name).dispatch(Dispatch::Pool(4));
        Arc::new(builder.direct_calls(is_direct).connect().unwrap())
    };
    let (a, b) = (plugin("A"), plugin("B"));
    for (own, gate) in [(&a, "A.One"), (&b, "B.One")] {
        own.set_gate_options(gate, one()).unwrap();
    }
    let (to_a, to_b) = (
        b.subscriber::<(bool,), ()>("A.One").unwrap(),
        a.subscriber::<(bool,), ()>("B.One").unwrap(),
    );
    let (to_a, to_b) = (to_a.with_timeout(PATIENCE), to_b.with_timeout(PATIENCE));
    let meeting = Arc::new(Barrier::new(2));
    let met = meeting.clone();
    let first = move |is_first: bool| -> Result<(), HandlerError> {
        match is_first {
            true => {
                met.wait();
                Ok(to_b.invoke((false,))?)
            }
            false => {
                thread::sleep(LASTING);
                Ok(())
            }
        }
    };
    let own = Arc::downgrade(&a);
    let second = move |is_first: bool| -> Result<(), HandlerError> {
        if is_first {
            meeting.wait();
            thread::sleep(LASTING);
            own.upgrade().iter().for_each(|a| change(a));
            to_a.invoke((false,))?;
        }
        Ok(())
    };
    let _first = a.provide("A.One", first).unwrap();
    let _second = b.provide("B.One", second).unwrap();
    let caller = bus.builder("T").direct_calls(true).connect().unwrap();
    let calls = ["A.One", "B.One"].map(|gate| open::<(bool,), ()>(&caller, gate));
    thread::scope(|scope| {
        let calls = calls
            .each_ref()
            .map(|call| scope.spawn(|| call.invoke((true,))));
        calls.map(|call| match call.join().unwrap() {
            Ok(()) => "OK".to_owned(),
            Err(error) => error.to_string(),
        })
    })
}

/// When a gate's limit is raised, a handler that waits keeps no calls from it any more. A call that was let in beside
/// that handler is not counted as stuck behind it.
#[test]
fn nobody_is_told_who_was_let_in_because_a_limit_was_raised() {
    for is_direct in [false, true] {
        for options in [GateOptions::new().limit(2), GateOptions::new()] {
            let raise = move |a: &Plugin| a.set_gate_options("A.One", options).unwrap();
            assert_eq!(
                cross_after(is_direct, raise),
                ["OK", "OK"],
                "{is_direct} {options:?}"
            );
        }
        let outcomes = cross_after(is_direct, |_| {});
        let told = outcomes
            .iter()
            .filter(|outcome| outcome.contains("this is a circle"));
        assert_eq!(told.count(), 1, "{outcomes:?}");
    }
}

/// A handler calls a full gate of its own plugin and lends its turn meanwhile. When a permit is free, it gets it
/// together with its turn, and does not wait for the turn that it holds itself.
#[test]
fn a_handler_gets_a_permit_of_its_own_plugin_s_gate_after_it_has_waited() {
    let bus = Bus::start(programs!());
    let a = bus.builder("A").direct_calls(true).connect().unwrap();
    let caller = bus.builder("T").direct_calls(true).connect().unwrap();
    a.set_gate_options("A.Own", one()).unwrap();
    let (held, holding) = mpsc::channel::<dynamic::Responder>();
    let keep =
        move |_: callgate_client::Context<'_>, _: &[u8], responder| held.send(responder).unwrap();
    let signature = signature_of::<(), ()>();
    let later = dynamic::provide_later(&a, "A.Own", &signature, keep).unwrap();
    let own = open::<(), ()>(&a, "A.Own");
    let kept = dynamic::open(&caller, "A.Own", &signature).unwrap();
    kept.wait_ready(PATIENCE).unwrap();
    let kept = kept.send(&[]).unwrap();
    let responder = holding.recv().unwrap();
    drop(later);
    // From here on the gate is called directly, and the call that is answered has the permit.
    let _own = a.provide("A.Own", || {}).unwrap();
    own.wait_ready(PATIENCE).unwrap();
    let _outer = a
        .provide("A.Outer", move || own.invoke(()).is_ok())
        .unwrap();
    let outer = open::<(), bool>(&caller, "A.Outer");
    let (said, saying) = mpsc::channel();
    // The thread is not joined: it hangs if the test fails.
    thread::spawn(move || said.send(outer.invoke(()).unwrap()));
    thread::sleep(Duration::from_millis(100));
    assert!(saying.try_recv().is_err(), "the gate was not full");
    responder.reply(&[]).unwrap();
    let came = saying.recv_timeout(PATIENCE / 2);
    if came.is_err() {
        // Dropping it would wait for that thread.
        std::mem::forget(a);
    }
    assert_eq!(came, Ok(true));
    kept.wait().unwrap();
}

/// Calls the gate that it was made for. Returns whether the call succeeded.
type Inner = Box<dyn Fn() -> bool + Send + Sync>;

/// A caller keeps the one permit of `A.Peek` for a while. A handler of `b` waits for it in a call that `open_inner` has
/// opened, and the one thread of A's pool waits for that handler. Nobody is told of a circle, because there is none.
fn nobody_is_told(bus: &Bus, b: &Plugin, options: GateOptions, open_inner: fn(&Plugin) -> Inner) {
    let a = bus.builder("A").dispatch(Dispatch::Pool(1));
    let a = a.direct_calls(true).connect().unwrap();
    let caller = bus.builder("T").direct_calls(true).connect().unwrap();
    a.set_gate_options("A.Peek", options).unwrap();
    let (came, coming) = mpsc::channel::<()>();
    let peek = move |millis: u64| {
        came.send(()).unwrap();
        thread::sleep(Duration::from_millis(millis));
    };
    let _peek = a.provide("A.Peek", peek).unwrap();
    let _leaf = b.provide("B.Leaf", || {}).unwrap();
    let (inner, leaf) = (open_inner(b), open::<(), ()>(&a, "B.Leaf"));
    let meeting = Arc::new(Barrier::new(2));
    let met = meeting.clone();
    let _outer = a.provide("A.Outer", move || {
        met.wait();
        leaf.invoke(()).is_ok()
    });
    let _hold = b.provide("B.Hold", move || {
        meeting.wait();
        inner()
    });
    // Through shared memory, although it is in this process.
    let outer = dynamic::open(&caller, "A.Outer", &signature_of::<(), bool>()).unwrap();
    outer.wait_ready(PATIENCE).unwrap();
    let outer = outer.with_timeout(PATIENCE);
    let hold = open::<(), bool>(&caller, "B.Hold");
    let visit = open::<(u64,), ()>(&caller, "A.Peek");
    thread::scope(|scope| {
        // Long enough for waits to be reported to the broker and asked about.
        scope.spawn(move || visit.invoke((800,)).unwrap());
        coming.recv().unwrap();
        let one = scope.spawn(|| dynamic::decode::<bool>(&outer.call(&[]).unwrap()).unwrap());
        assert!(hold.invoke(()).unwrap(), "it was told");
        assert!(one.join().unwrap(), "it was told");
    });
}

/// A call of a re-entrant gate waits for a permit only. It is not counted as waiting for the handler on top of which
/// it would run.
#[test]
fn who_waits_for_a_permit_of_a_re_entrant_gate_does_not_wait_for_the_handler_below() {
    let bus = Bus::start(programs!());
    nobody_is_told(&bus, &bus.plugin("B"), one().reentrant(true), |b| {
        // Through shared memory, although it is in this process.
        let inner = dynamic::open(b, "A.Peek", &signature_of::<(u64,), ()>()).unwrap();
        inner.wait_ready(PATIENCE).unwrap();
        let inner = inner.with_timeout(PATIENCE);
        Box::new(move || inner.call(&dynamic::encode(&(0_u64,)).unwrap()).is_ok())
    });
}

/// A direct call brings its own thread to a pool, so it waits for a permit only. It is not counted as waiting for the
/// pool's threads, which wait for it.
#[test]
fn who_waits_for_a_permit_of_a_pool_s_gate_does_not_wait_for_its_threads() {
    let bus = Bus::start(programs!());
    let b = bus.builder("B").direct_calls(true).connect().unwrap();
    nobody_is_told(&bus, &b, one(), |b| {
        let inner = open::<(u64,), ()>(b, "A.Peek");
        Box::new(move || inner.invoke((0,)).is_ok())
    });
}
