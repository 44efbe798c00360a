//! Chains of calls: which handlers run on top of which.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use callgate_client::{Plugin, Provider};
use callgate_tests::shorthand::await_that;
use callgate_tests::suite::chaining::{self, Seen};

use crate::setup::{Mode, Setup};

/// A calls B, and B calls A: neither waits for its deadline.
pub(crate) fn chains_go_back_and_forth_up_to_64_deep(mode: Mode) {
    let setup = Setup::vacant(mode);
    let _nest = chaining::nest(&setup.caller, "T.Nest", "S.Nest").unwrap();
    setup.begin();
    let nest = setup.open::<(u64,), u64>("S.Nest");
    // In this direction, too, the gate is open before the first call.
    setup.open::<(u64,), u64>("T.Nest");
    await_that("both ways are open", || nest.invoke((2,)).is_ok());
    for n in [0, 1, 2, 10, 59, 63] {
        assert_eq!(nest.invoke((n,)).unwrap(), n + 1);
    }
    let error = nest.invoke((64,)).unwrap_err();
    let context = error.context().unwrap();
    assert_eq!(context["handler_code"], "CALL_DEPTH_EXCEEDED");
    // The 64th handler is one of T's; its call to the other gate was refused.
    assert_eq!(context["inner_gate"], "S.Nest");
    assert!(error.message().len() < 200, "{error}");
    assert_eq!(nest.invoke((3,)).unwrap(), 4);
}

/// A call of another chain does not run on top of a handler that waits, which would leave it half done. In a pool it
/// runs meanwhile on another thread.
pub(crate) fn a_call_of_another_chain_waits_for_the_handler_or_runs_beside_it_in_a_pool(
    mode: Mode,
) {
    const OTHERS: usize = 8;
    let setup = Setup::vacant(mode);
    let (_held, coming, go) = hold(&setup.caller);
    setup.begin();
    let outer = setup.open::<(), ()>("S.Outer");
    let is_busy = setup.open::<(), bool>("S.IsBusy");
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        let first = scope.spawn(|| outer.invoke(()).unwrap());
        coming.recv().unwrap();
        let look = || {
            let saw = is_busy.invoke(()).unwrap();
            answered.fetch_add(1, Ordering::SeqCst);
            saw
        };
        let others: Vec<_> = (0..OTHERS).map(|_| scope.spawn(look)).collect();
        let answered = || answered.load(Ordering::SeqCst);
        if mode == Mode::Pool {
            await_that("the others are answered", || answered() == OTHERS);
        } else {
            thread::sleep(Duration::from_millis(40));
            assert_eq!(answered(), 0, "they did not wait");
        }
        drop(go);
        first.join().unwrap();
        for other in others {
            assert_eq!(other.join().unwrap(), mode == Mode::Pool);
        }
    });
    assert!(!is_busy.invoke(()).unwrap());
}

/// Provides `T.Held`, which reports that it was called and waits until the sender is dropped.
fn hold(plugin: &Plugin) -> (Provider, Receiver<()>, Sender<()>) {
    let (came, coming) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let hold = move || {
        came.send(()).unwrap();
        let _ = gone.lock().unwrap().recv();
    };
    (plugin.provide("T.Held", hold).unwrap(), coming, go)
}

/// After a nested call to the same gate, a handler still sees its own context and not the inner call's.
pub(crate) fn after_a_nested_call_a_handler_s_context_is_what_it_was(mode: Mode) {
    let setup = Setup::vacant(mode);
    let back = ("T.Context", "S.Context");
    let _back = chaining::context(&setup.caller, back, Duration::from_secs(10)).unwrap();
    setup.begin();
    let context = setup.open::<(u64,), Vec<Seen>>("S.Context");
    let context = context.with_timeout(Duration::from_secs(60));
    await_that("both ways are open", || context.invoke((2,)).is_ok());
    let seen = context.invoke((6,)).unwrap();
    assert_eq!(seen.len(), 14);
    for depth in 1..=7 {
        let (before, after) = (&seen[depth - 1], &seen[seen.len() - depth]);
        let (caller, gate, most) = match depth {
            1 => ("T", "S.Context", 60_100),
            2 => ("S", "T.Context", 30_100),
            // Its own timeout would be 30 s; at most 10 s are left of the outer call's.
            even if even % 2 == 0 => ("S", "T.Context", 10_100),
            _ => ("T", "S.Context", 10_100),
        };
        for (its_caller, its_gate, left, its_depth) in [before, after] {
            assert_eq!((&**its_caller, &**its_gate), (caller, gate), "at {depth}");
            assert_eq!(*its_depth, depth as u64);
            assert!((most - 9_000..=most).contains(left), "{left} at {depth}");
        }
        assert!(after.2 <= before.2, "time came back at {depth}");
    }
}
