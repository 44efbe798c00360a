//! Handlers that run on top of another chain's wait.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Dispatch, GateOptions, Group, Plugin, dynamic, signature_of};
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, PATIENCE, programs};

/// Provides `A.Outer`, which waits for `B.Stay`, and `A.End`, which runs on top of that wait and drops the plugin
/// that the test has put there.
fn provide(a: &Plugin, own: &Arc<Mutex<Option<Plugin>>>) {
    let stay = open::<(), ()>(a, "B.Stay");
    let outer = a.provide("A.Outer", move || stay.invoke(()).is_ok());
    outer.unwrap().keep();
    let options = GateOptions::new().reentrant(true);
    a.set_gate_options("A.End", options).unwrap();
    let own = own.clone();
    let end = a.provide("A.End", move || {
        let plugin = own.lock().unwrap().take();
        drop(plugin);
    });
    end.unwrap().keep();
}

/// Lets a plugin wait inside one of its handlers, and drops it in a handler that runs on top of that wait.
fn drop_on_top(dispatch: Option<Dispatch>, is_direct: bool) {
    let bus = Bus::start(programs!());
    let (group, builder) = (Group::new().unwrap(), bus.builder("A"));
    let builder = builder.direct_calls(is_direct);
    let builder = match dispatch {
        Some(dispatch) => builder.dispatch(dispatch),
        None => builder.group(&group),
    };
    let (a, other) = (builder.connect().unwrap(), bus.plugin("B"));
    let caller = bus.builder("T").direct_calls(true).connect().unwrap();
    let (meeting, going) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (met, go) = (meeting.clone(), going.clone());
    let stay = move || {
        met.wait();
        go.wait();
    };
    let _stay = other.provide("B.Stay", stay).unwrap();
    let own = Arc::new(Mutex::new(None));
    provide(&a, &own);
    let outer = open::<(), bool>(&caller, "A.Outer");
    let end = open::<(), ()>(&caller, "A.End");
    *own.lock().unwrap() = Some(a);
    let (said, saying) = mpsc::channel();
    // The thread is not joined: it hangs if the test fails.
    thread::spawn(move || outer.invoke(()));
    meeting.wait();
    thread::spawn(move || said.send(end.invoke(()).is_ok()));
    let came = saying.recv_timeout(PATIENCE);
    going.wait();
    assert_ne!(came, Err(RecvTimeoutError::Timeout), "{dispatch:?}");
}

/// Dropping a plugin on top of its own wait does not wait for the handler below, which cannot go on before the one on
/// top ends.
#[test]
fn a_plugin_can_be_dropped_on_top_of_its_own_wait() {
    for dispatch in [Some(Dispatch::Thread), Some(Dispatch::Pool(1)), None] {
        drop_on_top(dispatch, false);
    }
}

/// The same on a caller's thread.
#[test]
fn a_plugin_can_be_dropped_by_a_visitor_on_top_of_its_own_wait() {
    for dispatch in [Some(Dispatch::Thread), None] {
        drop_on_top(dispatch, true);
    }
}

/// A handler waits in a plugin that nobody pumps for a while. A call of a re-entrant gate can run on top of it, as soon as
/// somebody pumps, and so is in no circle.
#[test]
fn a_call_that_may_run_on_top_once_somebody_pumps_is_in_no_circle() {
    let bus = Bus::start(programs!());
    let direct = |name| bus.builder(name).direct_calls(true);
    let a = direct("A").dispatch(Dispatch::Pump).connect().unwrap();
    let (b, caller) = (bus.plugin("B"), direct("T").connect().unwrap());
    let options = GateOptions::new().reentrant(true);
    a.set_gate_options("A.Peek", options).unwrap();
    let _peek = a.provide("A.Peek", || {}).unwrap();
    let _leaf = b.provide("B.Leaf", || {}).unwrap();
    let leaf = open::<(), ()>(&a, "B.Leaf");
    // Through shared memory, although it is in this process.
    let peek = dynamic::open(&b, "A.Peek", &signature_of::<(), ()>()).unwrap();
    peek.wait_ready(PATIENCE).unwrap();
    let peek = peek.with_timeout(PATIENCE);
    let (meeting, begun) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (met, begins) = (meeting.clone(), begun.clone());
    let _outer = a.provide("A.Outer", move || {
        // The other thread pumps between these.
        begins.wait();
        begins.wait();
        met.wait();
        leaf.invoke(()).is_ok()
    });
    let _hold = b.provide("B.Hold", move || {
        meeting.wait();
        peek.call(&[]).is_ok()
    });
    let outer = open::<(), bool>(&caller, "A.Outer");
    let hold = open::<(), bool>(&caller, "B.Hold");
    let pump = || a.pump(Instant::now() + Duration::from_millis(20)).unwrap();
    pump();
    thread::scope(|scope| {
        let outer = scope.spawn(|| {
            // Whoever pumps may also make direct calls.
            pump();
            outer.invoke(()).unwrap()
        });
        begun.wait();
        pump();
        begun.wait();
        let hold = scope.spawn(|| hold.invoke(()).unwrap());
        // Long enough for waits to be reported to the broker and asked about.
        thread::sleep(Duration::from_millis(400));
        while !hold.is_finished() {
            pump();
        }
        assert!(hold.join().unwrap(), "it was told");
        assert!(outer.join().unwrap(), "it was told");
    });
}
