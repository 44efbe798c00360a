//! Other kinds of waits: those that only seem to form a circle, and circles that nobody can report.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{
    Code, Dispatch, GateOptions, HandlerError, Plugin, Result, dynamic, signature_of,
};
use callgate_tests::restart::Told;
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, programs};

/// The outcome of a call, in words.
fn say<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => "OK".to_owned(),
        Err(error) => format!("{} {}", error.code(), error.may_have_run()),
    }
}

/// A handler that waits for a call that it has sent keeps its turn from that call's handler: the circle is found
/// before the deadline.
#[test]
fn a_call_that_was_sent_and_is_waited_for_is_told_of() {
    let bus = Bus::start(programs!());
    let (a, b, caller) = (bus.plugin("A"), bus.plugin("B"), bus.plugin("T"));
    let _leaf = a.provide("A.Leaf", || {}).unwrap();
    let leaf = open::<(), ()>(&b, "A.Leaf");
    let back = move || say(leaf.invoke(()));
    let _back = b.provide("B.Back", back).unwrap();
    open::<(), String>(&a, "B.Back");
    let sent = dynamic::open(&a, "B.Back", &signature_of::<(), String>()).unwrap();
    let sent = sent.with_timeout(PATIENCE);
    let wait = move || {
        let outcome = sent.send(&[]).and_then(dynamic::Sent::wait);
        match outcome.and_then(|bytes| dynamic::decode::<String>(&bytes)) {
            Ok(inner) => format!("OK, and there {inner}"),
            Err(error) => say::<()>(Err(error)),
        }
    };
    let _outer = a.provide("A.Outer", wait).unwrap();
    let outer = open::<(), String>(&caller, "A.Outer");
    for _ in 0..3 {
        let start = Instant::now();
        let outcome = outer.invoke(()).unwrap();
        // One of the two waits is given up: that of the handler, or that of the handler that it called.
        let either = ["DEADLOCK true", "OK, and there DEADLOCK true"];
        assert!(either.contains(&&*outcome), "{outcome}");
        assert!(start.elapsed() < PATIENCE / 2);
    }
}

/// A handler waits for a call that it has sent to its own plugin. It keeps the turn for its own chain, and the sent
/// call is not part of that, so the wait ends with `DEADLOCK`.
#[test]
fn a_call_that_a_handler_sends_to_its_own_plugin_is_told_of() {
    let bus = Bus::start(programs!());
    let (a, caller) = (bus.plugin("A"), bus.plugin("T"));
    let _leaf = a.provide("A.Leaf", || {}).unwrap();
    let sent = dynamic::open(&a, "A.Leaf", &signature_of::<(), ()>()).unwrap();
    sent.wait_ready(PATIENCE).unwrap();
    let sent = sent.with_timeout(PATIENCE);
    let wait = move || say(sent.send(&[]).and_then(dynamic::Sent::wait));
    let _outer = a.provide("A.Outer", wait).unwrap();
    let outer = open::<(), String>(&caller, "A.Outer");
    let start = Instant::now();
    assert_eq!(outer.invoke(()).unwrap(), "DEADLOCK true");
    assert!(start.elapsed() < PATIENCE / 2);
}

/// The plugin in the middle has threads and permits to spare, so only who serves which call tells that the circle is one:
/// the call that is waited for waits itself, for a call that it has sent back.
#[test]
fn a_circle_through_a_call_that_a_pool_serves_is_told_of() {
    let bus = Bus::start(programs!());
    let (a, caller) = (bus.plugin("A"), bus.plugin("T"));
    let b = bus.builder("B").dispatch(Dispatch::Pool(4));
    let b = b.direct_calls(false).connect().unwrap();
    let _leaf = a.provide("A.Leaf", || {}).unwrap();
    let sent = dynamic::open(&b, "A.Leaf", &signature_of::<(), ()>()).unwrap();
    sent.wait_ready(PATIENCE).unwrap();
    let sent = sent.with_timeout(PATIENCE);
    let back = move || say(sent.send(&[]).and_then(dynamic::Sent::wait));
    let _back = b.provide("B.Back", back).unwrap();
    let back = dynamic::open(&a, "B.Back", &signature_of::<(), String>()).unwrap();
    back.wait_ready(PATIENCE).unwrap();
    let back = back.with_timeout(2 * PATIENCE);
    let outer = move || -> Result<String, HandlerError> { Ok(dynamic::decode(&back.call(&[])?)?) };
    let _outer = a.provide("A.Outer", outer).unwrap();
    let outer = open::<(), String>(&caller, "A.Outer").with_timeout(3 * PATIENCE);
    let start = Instant::now();
    assert_eq!(outer.invoke(()).unwrap(), "DEADLOCK true");
    assert!(start.elapsed() < PATIENCE / 2);
}

/// A slow gate that runs on top of a wait is not counted as stuck behind that wait. So a call to it is in no circle,
/// although the plugins' turns alone look like one.
fn what_runs_on_top_of_a_wait_is_not_stuck(is_direct: bool) {
    let bus = Bus::start(programs!());
    let low = bus
        .builder("Low")
        .direct_calls(is_direct)
        .connect()
        .unwrap();
    let (middle, high) = (bus.plugin("Middle"), bus.plugin("High"));
    let caller = bus.builder("T").direct_calls(true).connect().unwrap();
    let meeting = Arc::new(Barrier::new(2));
    low.set_gate_options("Low.Peek", GateOptions::new().reentrant(true))
        .unwrap();
    // Long enough for waits to be reported to the broker and asked about.
    let peek = || thread::sleep(Duration::from_millis(400));
    let _peek = low.provide("Low.Peek", peek).unwrap();
    let _leaf = high.provide("High.Leaf", || {}).unwrap();
    // Through shared memory, although it is in this process.
    let peek = dynamic::open(&high, "Low.Peek", &signature_of::<(), ()>()).unwrap();
    peek.wait_ready(PATIENCE).unwrap();
    let met = meeting.clone();
    let peeking = move || {
        met.wait();
        thread::sleep(Duration::from_millis(20));
        say(peek.call(&[]))
    };
    let _peeking = high.provide("High.Peeking", peeking).unwrap();
    let leaf = open::<(), ()>(&middle, "High.Leaf");
    let pass = move || say(leaf.invoke(()));
    let _pass = middle.provide("Middle.Pass", pass).unwrap();
    let pass = open::<(), String>(&low, "Middle.Pass");
    let outer = move || -> Result<String, HandlerError> {
        meeting.wait();
        Ok(pass.invoke(())?)
    };
    let _outer = low.provide("Low.Outer", outer).unwrap();
    let outer = open::<(), String>(&caller, "Low.Outer");
    let peeking = open::<(), String>(&caller, "High.Peeking");
    thread::scope(|scope| {
        let one = scope.spawn(|| outer.invoke(()).unwrap());
        assert_eq!(peeking.invoke(()).unwrap(), "OK");
        assert_eq!(one.join().unwrap(), "OK");
    });
}

#[test]
fn what_runs_on_top_of_a_dispatcher_s_wait_is_not_stuck() {
    what_runs_on_top_of_a_wait_is_not_stuck(false);
}

/// The same where the handler below is a visitor's, and the plugin's own thread runs the call on top of it.
#[test]
fn what_runs_in_a_visitor_s_turn_is_not_stuck() {
    what_runs_on_top_of_a_wait_is_not_stuck(true);
}

/// Two plugins that call each other, after both have begun.
fn crossing(bus: &Bus, timeout: Duration) -> (Vec<Plugin>, impl Fn() -> Vec<String> + use<>) {
    let (a, b, caller) = (bus.plugin("A"), bus.plugin("B"), bus.plugin("T"));
    let meeting = Arc::new(Barrier::new(2));
    for (own, other, name, next) in [(&a, &b, "A", "B"), (&b, &a, "B", "A")] {
        own.provide(&format!("{name}.Leaf"), || {}).unwrap().keep();
        let leaf = open::<(), ()>(other, &format!("{name}.Leaf")).with_timeout(timeout);
        let met = meeting.clone();
        let cross = move || {
            met.wait();
            say(leaf.invoke(()))
        };
        other
            .provide(&format!("{next}.Cross"), cross)
            .unwrap()
            .keep();
    }
    let cross = ["A.Cross", "B.Cross"].map(|gate| open::<(), String>(&caller, gate));
    let go = move || {
        thread::scope(|scope| {
            let calls = cross
                .each_ref()
                .map(|cross| scope.spawn(|| cross.invoke(()).unwrap()));
            calls.map(|call| call.join().unwrap()).into()
        })
    };
    (vec![a, b, caller], go)
}

/// A call that was taken and is answered later by another thread does not wait in the queue. A call that waits for it
/// is in no circle, although a handler of that plugin stands still.
#[test]
fn what_is_answered_later_is_not_stuck() {
    let bus = Bus::start(programs!());
    let (a, b, caller) = (bus.plugin("A"), bus.plugin("B"), bus.plugin("T"));
    let meeting = Arc::new(Barrier::new(2));
    let met = meeting.clone();
    let later = move |_: callgate_client::Context<'_>, _: &[u8], responder: dynamic::Responder| {
        let met = met.clone();
        thread::spawn(move || {
            met.wait();
            // Long enough for waits to be reported to the broker and asked about.
            thread::sleep(Duration::from_millis(400));
            responder.reply(&[]).unwrap();
        });
    };
    let signature = signature_of::<(), ()>();
    let _later = dynamic::provide_later(&a, "A.Later", &signature, later).unwrap();
    let _leaf = b.provide("B.Leaf", || {}).unwrap();
    let [leaf, later] =
        [(&a, "B.Leaf"), (&b, "A.Later")].map(|(own, gate)| open::<(), ()>(own, gate));
    let _outer = a.provide("A.Outer", move || say(leaf.invoke(()))).unwrap();
    let _hold = b.provide("B.Hold", move || say(later.invoke(()))).unwrap();
    let [hold, outer] = ["B.Hold", "A.Outer"].map(|gate| open::<(), String>(&caller, gate));
    thread::scope(|scope| {
        let one = scope.spawn(|| hold.invoke(()).unwrap());
        meeting.wait();
        assert_eq!(outer.invoke(()).unwrap(), "OK");
        assert_eq!(one.join().unwrap(), "OK");
    });
}

/// A thread that pumps waits for a plugin whose handler waits for what that thread would pump. Returns the outcomes
/// of the two calls, where another thread pumps meanwhile, and where none ever does.
fn pump_and_wait(others_pump: bool) -> [String; 2] {
    let bus = Bus::start(programs!());
    let a = bus.builder("A").dispatch(Dispatch::Pump).connect().unwrap();
    let (b, caller) = (bus.plugin("B"), bus.plugin("T"));
    let _back = a.provide("A.Back", || {}).unwrap();
    let _leaf = b.provide("B.Leaf", || {}).unwrap();
    let (back, leaf) = (open::<(), ()>(&b, "A.Back"), open::<(), ()>(&a, "B.Leaf"));
    let meeting = Arc::new(Barrier::new(2));
    let met = meeting.clone();
    let hold = move || {
        met.wait();
        say(back.invoke(()))
    };
    let _hold = b.provide("B.Hold", hold).unwrap();
    let hold = open::<(), String>(&caller, "B.Hold");
    let look = || a.pump(Instant::now()).unwrap();
    thread::scope(|scope| {
        if others_pump {
            scope.spawn(look).join().unwrap();
        }
        look();
        let one = scope.spawn(|| hold.invoke(()).unwrap());
        meeting.wait();
        if others_pump {
            // Long enough for waits to be reported to the broker and asked about.
            let later = || thread::sleep(Duration::from_millis(400));
            scope.spawn(move || (later(), look()));
        }
        let outcome = say(leaf.invoke(()));
        if !others_pump {
            while !one.is_finished() {
                look();
            }
        }
        [outcome, one.join().unwrap()]
    })
}

/// Two threads pump in turns, and the one that pumped last waits for a call. The other thread still serves the
/// plugin, so there is no circle.
#[test]
fn what_another_thread_will_pump_is_not_stuck() {
    assert_eq!(pump_and_wait(true), ["OK", "OK"]);
}

#[test]
fn a_thread_that_pumps_is_told_of_outside_of_handlers_too() {
    let mut outcomes = pump_and_wait(false);
    outcomes.sort();
    assert_eq!(outcomes, ["DEADLOCK true", "OK"]);
}

/// A wait is not ended with `DEADLOCK` by a broker that has ended meanwhile: without a broker its deadline ends it.
#[test]
fn without_a_broker_deadlines_end_it() {
    let mut bus = Bus::start(programs!());
    let (plugins, cross) = crossing(&bus, Duration::from_millis(500));
    let told: Vec<_> = plugins.iter().map(Told::by).collect();
    bus.kill_broker();
    for told in &told {
        told.lost();
    }
    let outcomes = cross();
    assert!(
        outcomes.contains(&"TIMEOUT true".to_owned()),
        "{outcomes:?}"
    );
    // The calls that were given up are over, and both plugins go on.
    await_that("they go on", || {
        let is_told = |outcome: &String| outcome.starts_with("DEADLOCK");
        !cross().iter().any(is_told)
    });
}

/// After a call has ended with `DEADLOCK`, the plugins go on, even if the call that was given up still runs later.
#[test]
fn both_go_on_after_a_circle() {
    let bus = Bus::start(programs!());
    let (plugins, cross) = crossing(&bus, PATIENCE);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let leaf = open::<(), ()>(&plugins[2], "A.Leaf");
            while !is_over.load(Ordering::Relaxed) {
                leaf.invoke(()).unwrap();
            }
        });
        for _ in 0..5 {
            let mut outcomes = cross();
            outcomes.sort();
            assert_eq!(outcomes, ["DEADLOCK true", "OK"]);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(Code::Deadlock.as_str(), "DEADLOCK");
}
