//! A broker that is killed.

use std::time::{Duration, Instant};

use callgate_client::Code;
use callgate_tests::shorthand::{await_that, code, open, pattern};
use callgate_tests::{Bus, PATIENCE, programs};
use nix::sys::signal::Signal;

/// Longer than anything takes that waits for nobody.
const SOON: Duration = Duration::from_secs(2);

/// Linked plugins go on when the broker is killed. They neither end with it nor wait for it, if they were told not
/// to.
#[test]
fn linked_plugins_go_on_without_the_broker() {
    let mut bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let mut other = bus.peer("caller", "Other", &["P"]);
    let caller = bus.mortal_plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let absent = caller.subscriber::<(), ()>("P.NoSuchGate").unwrap();
    let own = bus.mortal_plugin("Own");
    let kept = own.provide("Own.Add", |a: u64, b: u64| a + b).unwrap();
    let add = open::<(u64, u64), u64>(&caller, "Own.Add");
    assert_eq!(
        caller
            .wait_closed_for(Duration::ZERO)
            .map(|error| error.code()),
        None
    );
    bus.kill_broker();

    let reason = caller.wait_closed();
    assert_eq!(reason.code(), Code::BrokerGone);
    assert_eq!(
        caller.wait_closed_for(Duration::ZERO).unwrap().code(),
        Code::BrokerGone
    );
    assert_eq!(own.wait_closed().code(), Code::BrokerGone);
    for n in 0..200 {
        let bytes = pattern(n, (n * 331 % 60_000) as usize);
        assert!(echo.invoke((bytes.clone(),)).unwrap() == bytes, "call {n}");
        assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
    }
    let start = Instant::now();
    echo.wait_ready(PATIENCE).expect("it is ready");
    assert_eq!(
        code(caller.subscriber::<(), ()>("P.Note")),
        Code::BrokerGone
    );
    assert_eq!(code(caller.provide("C.New", || ())), Code::BrokerGone);
    assert_eq!(code(caller.list()), Code::BrokerGone);
    assert_eq!(code(absent.wait_ready(PATIENCE)), Code::BrokerGone);
    assert_eq!(code(absent.invoke(())), Code::BrokerGone);
    assert!(start.elapsed() < SOON, "somebody waited for the broker");

    // The processes also call each other.
    let mut count = || {
        other.say("how many?");
        let line = other.expect_line();
        line.split(' ')
            .map(|n| n.parse::<u64>().unwrap())
            .collect::<Vec<_>>()
    };
    let before = count();
    await_that("the others go on", || count()[0] > before[0]);
    assert_eq!(count()[1], before[1], "calls failed");

    // Withdrawing and closing need no broker.
    drop(kept);
    assert_eq!(code(add.invoke((1, 2))), Code::NotReady);
    drop(own);
    assert_eq!(code(add.invoke((1, 2))), Code::ProviderGone);
    assert!(!add.has_function());
    // No broker is left that could announce another provider.
    assert_eq!(code(add.invoke((1, 2))), Code::BrokerGone);
    assert_eq!(code(add.wait_ready(PATIENCE)), Code::BrokerGone);
}

/// Plugins that are still on the bus of a killed broker do not keep others from using the new one.
#[test]
fn a_new_broker_takes_the_place_of_a_killed_one() {
    let mut bus = Bus::start(programs!());
    let old_provider = bus.mortal_plugin("P");
    let _old_gate = old_provider.provide("P.Which", || 1_u32).unwrap();
    let old_caller = bus.mortal_plugin("Caller");
    let old = open::<(), u32>(&old_caller, "P.Which");
    bus.kill_broker();
    bus.start_broker();
    // The same names are used on both buses, and both buses work.
    let new_provider = bus.plugin("P");
    let _new_gate = new_provider.provide("P.Which", || 2_u32).unwrap();
    let new_caller = bus.plugin("Caller");
    let new = open::<(), u32>(&new_caller, "P.Which");
    assert_eq!((old.invoke(()).unwrap(), new.invoke(()).unwrap()), (1, 2));
    drop(old_provider);
    assert_eq!(code(old.invoke(())), Code::ProviderGone);
    assert_eq!(code(old.invoke(())), Code::BrokerGone);
    assert_eq!(new.invoke(()).unwrap(), 2);
    assert_eq!(new_caller.list().unwrap()["broker"]["generation"], 2);
}

/// A broker that is stopped in order leaves its plugins running.
#[test]
fn a_broker_that_stops_in_order_is_like_one_that_was_killed() {
    let mut bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.mortal_plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    let mut broker = bus.broker.take().unwrap();
    broker.signal(Signal::SIGTERM);
    assert!(broker.wait().success());
    assert_eq!(caller.wait_closed().code(), Code::BrokerGone);
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    assert_eq!(
        code(caller.subscriber::<(), ()>("P.Note")),
        Code::BrokerGone
    );
}
