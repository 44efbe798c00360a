//! Names and gates that two plugins want at once when their broker is started again.

use std::thread;
use std::time::Duration;

use callgate_client::{BrokerEvent, Code, Plugin, Result};
use callgate_tests::restart::{Standing, Told, events};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, programs};

/// In so many rounds, a plugin that tries to connect all the time must be first at least once.
const ROUNDS: u32 = 20;

/// Starts the broker again while another plugin connects under a name as soon as it can, and provides a gate. Returns
/// that plugin, unless the other one was first.
fn rival(bus: &mut Bus, name: &str, gate: &str) -> Option<(Plugin, callgate_client::Provider)> {
    bus.kill_broker();
    let socket = bus.socket();
    let (name, gate) = (name.to_owned(), gate.to_owned());
    let connecting = thread::spawn(move || -> Result<_> {
        loop {
            let builder = Plugin::builder(&name).socket(&socket).direct_calls(false);
            match builder.connect() {
                Err(error) if error.code() == Code::BrokerGone => thread::yield_now(),
                Err(error) => return Err(error),
                Ok(rival) => {
                    let provided = rival.provide(&gate, || 2_u8)?;
                    return Ok((rival, provided));
                }
            }
        }
    });
    bus.start_broker();
    match connecting.join().expect("no panic") {
        Ok(won) => Some(won),
        Err(error) => {
            let lost = [Code::NameTaken, Code::AlreadyProvided];
            assert!(lost.contains(&error.code()), "{error}");
            None
        }
    }
}

/// Expects that a plugin is back. If it lost its gate, it is told that too, before or after.
#[track_caller]
fn back(told: &Told, is_lost: bool) {
    let mut lost = None;
    let mut event = told.next();
    if let BrokerEvent::GateLost { gate, owner } = event {
        lost = Some((gate, owner));
        event = told.next();
    }
    assert!(matches!(event, BrokerEvent::Back { .. }), "{event:?}");
    if is_lost && lost.is_none() {
        match told.next() {
            BrokerEvent::GateLost { gate, owner } => lost = Some((gate, owner)),
            other => panic!("{other:?}"),
        }
    }
    let expected = is_lost.then(|| ("Shared.Gate".to_owned(), "Second".to_owned()));
    assert_eq!(lost, expected);
}

/// A plugin whose name is taken is told so, and comes back when the name is free.
#[test]
fn a_plugin_whose_name_is_taken_is_told_and_comes_back_when_it_is_free() {
    let mut bus = Bus::start(programs!());
    let (first, caller) = (bus.plugin("P"), bus.plugin("Caller"));
    first.provide("P.Which", || 1_u8).unwrap().keep();
    let which = open::<(), u8>(&caller, "P.Which");
    let old = open::<(), u8>(&first, "P.Which");
    let absent = first.subscriber::<(), ()>("Nobody.Gate").unwrap();
    let absent = absent.with_timeout(Duration::from_millis(200));
    let told = Told::by(&first);
    let won = (0..ROUNDS).find_map(|_| {
        let won = rival(&mut bus, "P", "P.Which");
        told.lost();
        if won.is_none() {
            told.back();
        }
        won
    });
    let (second, provided) = won.expect("it looks for the broker all the while");
    let why = told.refused();
    assert_eq!(why.code(), Code::NameTaken);
    assert!(why.message().contains("`P`"), "{why}");
    // A call that waits for a broker fails with the reason why there is none for its plugin.
    let error = absent.invoke(()).unwrap_err();
    assert_eq!(error.code(), Code::BrokerGone);
    assert!(error.message().contains(why.message()), "{error}");
    await_that("calls go to the one that is there", || {
        which.invoke(()).is_ok_and(|n| n == 2)
    });
    assert!(first.wait_closed_for(Duration::ZERO).is_none());
    told.nothing_more();
    drop((provided, second));
    told.back();
    await_that("calls go to the first again", || {
        which.invoke(()).is_ok_and(|n| n == 1)
    });
    assert_eq!(old.invoke(()).unwrap(), 1);
}

/// A gate that another plugin has provided first is lost to its old provider, and only one of them serves it. It
/// comes back when it is free.
#[test]
fn a_gate_that_is_taken_is_lost_and_comes_back_when_it_is_free() {
    let mut bus = Bus::start(programs!());
    let (first, caller) = (bus.plugin("First"), bus.plugin("Caller"));
    let other = bus.plugin("Other");
    first.provide("Shared.Gate", || 1_u8).unwrap().keep();
    first.provide("First.Own", || 3_u8).unwrap().keep();
    let [shared, its] = [&caller, &other].map(|plugin| open::<(), u8>(plugin, "Shared.Gate"));
    let own = open::<(), u8>(&caller, "First.Own");
    let calls = Standing::start("First.Own", move |_| {
        own.invoke(()).map(|n| assert_eq!(n, 3))
    });
    let told = Told::by(&first);
    let won = (0..ROUNDS).find_map(|_| {
        let won = rival(&mut bus, "Second", "Shared.Gate");
        told.lost();
        back(&told, won.is_some());
        won
    });
    let (second, provided) = won.expect("it looks for the broker all the while");
    for gate in [&shared, &its] {
        await_that("calls go to the new owner", || {
            gate.invoke(()).is_ok_and(|n| n == 2)
        });
        assert_eq!(gate.invoke(()).unwrap(), 2);
        assert_eq!(gate.owner().as_deref(), Some("Second"));
    }
    let watch = caller.watch("Shared.Gate").unwrap();
    let before = events(&watch, Duration::ZERO).pop().unwrap();
    told.nothing_more();
    drop(provided);
    match told.next() {
        BrokerEvent::GateBack { gate } => assert_eq!(gate, "Shared.Gate"),
        other => panic!("{other:?}"),
    }
    for gate in [&shared, &its] {
        await_that("calls go to the first again", || {
            gate.invoke(()).is_ok_and(|n| n == 1)
        });
    }
    let mut last = before.clone();
    while last.owner.as_deref() != Some("First") {
        last = watch.next(PATIENCE).unwrap().expect("it is provided again");
    }
    assert!(last.generation > before.generation, "it is another life");
    drop(second);
    calls.finish();
}

/// A lost gate that its plugin drops does not come back.
#[test]
fn a_lost_gate_that_is_dropped_does_not_come_back() {
    let mut bus = Bus::start(programs!());
    let first = bus.plugin("First");
    let told = Told::by(&first);
    let own = first.provide("Shared.Gate", || 1_u8).unwrap();
    let won = (0..ROUNDS).find_map(|_| {
        let won = rival(&mut bus, "Second", "Shared.Gate");
        told.lost();
        back(&told, won.is_some());
        won
    });
    let (_second, provided) = won.expect("it looks for the broker all the while");
    drop(own);
    drop(provided);
    let third = bus.plugin("Third");
    let _gate = third.provide("Shared.Gate", || 4_u8).unwrap();
    assert_eq!(open::<(), u8>(&first, "Shared.Gate").invoke(()).unwrap(), 4);
    told.nothing_more();
}
