//! Handlers that run on top of another chain's wait.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use callgate_client::{Dispatch, GateOptions, Group, Plugin};
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
