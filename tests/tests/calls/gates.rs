//! Gates that come and go, and who owns them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use callgate_client::Code;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, PATIENCE, programs};

use crate::support::SHORT;

/// A gate that was opened before it was provided need not be opened again.
#[test]
fn a_gate_may_be_opened_before_it_exists() {
    let bus = Bus::start(programs!());
    let caller = bus.plugin("Caller");
    let add = caller.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    let error = add.invoke((1, 2)).unwrap_err();
    assert_eq!(
        (error.code(), error.gate()),
        (Code::NotReady, Some("P.Add"))
    );
    assert!(!error.may_have_run());
    assert_eq!(
        (add.has_function(), add.has_action(), add.owner()),
        (false, false, None)
    );

    let start = Instant::now();
    assert_eq!(code(add.wait_ready(SHORT)), Code::NotReady);
    assert!(start.elapsed() >= SHORT, "it did not wait");
    assert!(start.elapsed() < PATIENCE, "it waited too long");

    thread::scope(|scope| {
        let waiting = scope.spawn(|| add.wait_ready(PATIENCE));
        let _provider = bus.peer("provider", "P", &[]);
        waiting.join().unwrap().expect("the provider has come");
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
        assert_eq!(
            (add.has_function(), add.owner().as_deref()),
            (true, Some("P"))
        );
    });
}

/// A function cannot be called as an action, and an action not as a function.
#[test]
fn function_and_action_are_two_things() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let caller = bus.plugin("Caller");
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let function = provider.provide("P.F", |n: u32| n + 1).unwrap();
    let _action = provider.provide_action("P.A", |_: u32| ()).unwrap();
    let f = open::<(u32,), u32>(&caller, "P.F");
    let a = open::<(u32,), u32>(&caller, "P.A");
    assert_eq!((f.has_function(), f.has_action()), (true, false));
    assert_eq!((a.has_function(), a.has_action()), (false, true));
    assert_eq!(f.invoke((1,)).unwrap(), 2);
    a.invoke_action((1,)).unwrap();
    for error in [
        f.invoke_action((1,)).unwrap_err(),
        a.invoke((1,)).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::NotReady);
        assert!(error.message().contains("plugin `Provider`"), "{error}");
        assert!(!error.may_have_run());
    }

    // The other half is provided later, and each half is withdrawn separately.
    let action = provider
        .provide_action("P.F", move |by: u32| {
            counted.fetch_add(u64::from(by), Ordering::SeqCst);
        })
        .unwrap();
    await_that("the action is there", || f.has_action());
    f.invoke_action((5,)).unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 5);
    drop(function);
    assert_eq!(code(f.invoke((1,))), Code::NotReady);
    await_that("the function is gone", || !f.has_function());
    assert_eq!(
        (f.has_action(), f.owner().as_deref()),
        (true, Some("Provider"))
    );
    assert_eq!(code(f.invoke((1,))), Code::NotReady);
    f.invoke_action((5,)).unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 10);

    let function = provider.provide("P.F", |n: u32| n + 2).unwrap();
    await_that("the function is back", || f.has_function());
    assert_eq!(f.invoke((1,)).unwrap(), 3);
    drop(action);
    assert_eq!(code(f.invoke_action((1,))), Code::NotReady);
    await_that("the action is gone", || !f.has_action());
    assert_eq!(f.invoke((1,)).unwrap(), 3);
    drop(function);
    await_that("the gate is gone", || f.owner().is_none());
    assert_eq!(code(f.invoke((1,))), Code::NotReady);
    assert_eq!(runs.load(Ordering::SeqCst), 10);
}

/// A gate has one owner, and providing it twice does not replace its handler.
#[test]
fn a_gate_has_one_owner() {
    let bus = Bus::start(programs!());
    let mut provider = bus.peer("provider", "First", &[]);
    let second = bus.plugin("Second");
    let caller = bus.plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "First.Add");

    for error in [
        second.provide("First.Add", |a: u64, _: u64| a).unwrap_err(),
        second.provide_action("First.Add", |_: u64| ()).unwrap_err(),
    ] {
        assert_eq!(
            (error.code(), error.gate()),
            (Code::AlreadyProvided, Some("First.Add"))
        );
        assert!(
            error.message().contains("First"),
            "it names the owner: {error}"
        );
    }
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);

    let kept = second.provide("Second.One", || 1_u8).unwrap();
    let error = second.provide("Second.One", || 2_u8).unwrap_err();
    assert_eq!(
        (error.code(), error.gate()),
        (Code::AlreadyProvided, Some("Second.One"))
    );
    let one = open::<(), u8>(&caller, "Second.One");
    assert_eq!(one.invoke(()).unwrap(), 1);
    drop(kept);
    let _kept = second.provide("Second.One", || 3_u8).unwrap();
    await_that("the new one is called", || {
        one.invoke(()).is_ok_and(|n| n == 3)
    });

    // The name is free after its owner has ended.
    provider.close_input();
    provider.wait();
    let mut taken = None;
    await_that("the gate is free", || {
        taken = second.provide("First.Add", |a: u64, b: u64| a * b).ok();
        taken.is_some()
    });
    await_that("the new owner is called", || {
        add.invoke((3, 4)).is_ok_and(|product| product == 12)
    });
    assert_eq!(add.owner().as_deref(), Some("Second"));
}

/// Dropped subscribers and providers no longer count.
#[test]
fn what_was_dropped_is_forgotten() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let caller = bus.plugin("Caller");
    let _kept = provider.provide("P.Kept", || 1_u8).unwrap();
    let one = open::<(), u8>(&caller, "P.Kept");
    for _ in 0..300 {
        let two = open::<(), u8>(&caller, "P.Kept");
        assert_eq!(two.invoke(()).unwrap(), 1);
        let gate = provider.provide("P.Gone", || 2_u8).unwrap();
        drop(gate);
    }
    assert_eq!(one.invoke(()).unwrap(), 1, "the others leave it alone");
    drop(one);
    await_that("nobody has it open", || {
        let listing = caller.list().unwrap();
        let gates = listing["gates"].as_array().unwrap();
        gates.len() == 1 && gates[0]["subscribers"] == 0
    });
}

/// A new gate does not show the counts of a gate that used its record on the status page before.
#[test]
fn a_gate_in_the_place_of_another_counts_anew() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let caller = bus.plugin("Caller");
    let calls_of = |gate: &str| {
        let listing = caller.list().unwrap();
        let gates = listing["gates"].as_array().expect("a list").iter();
        let listed = gates.filter(|listed| listed["name"] == gate);
        listed.filter_map(|listed| listed["calls"].as_u64()).next()
    };
    for (gate, calls) in [("P.First", 7), ("P.Second", 3), ("P.Third", 0)] {
        let provided = provider.provide(gate, || 1_u64).unwrap();
        let call = open::<(), u64>(&caller, gate);
        (0..calls).for_each(|_| assert_eq!(call.invoke(()).unwrap(), 1));
        assert_eq!(calls_of(gate), Some(calls), "{gate}");
        drop(provided);
        await_that("it is gone", || calls_of(gate).is_none());
    }
}
