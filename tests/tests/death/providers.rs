//! Providers that are killed.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Error, Plugin, WaitPolicy};
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, PATIENCE, Process, programs};

/// Far longer than anything takes that should happen at once.
const SOON: Duration = Duration::from_secs(2);

/// Kills a provider whose handler is busy with a call. Returns the caller's error, and how long after the kill it
/// came.
fn kill_during_a_call(caller: &Plugin, name: &str, mut provider: Process) -> (Error, Duration) {
    let hang = open::<(u64,), ()>(caller, &format!("{name}.Hang"));
    kill_while(
        || hang.invoke((60_000,)).expect_err("it was killed"),
        &mut provider,
    )
}

fn kill_while(call: impl FnOnce() -> Error + Send, provider: &mut Process) -> (Error, Duration) {
    thread::scope(|scope| {
        let calling = scope.spawn(|| (call(), Instant::now()));
        assert_eq!(provider.expect_line(), "hanging");
        let kill = Instant::now();
        provider.signal(nix::sys::signal::Signal::SIGKILL);
        let (error, heard) = calling.join().expect("the call failed");
        (error, heard - kill)
    })
}

fn assert_told(error: &Error, name: &str) {
    assert_eq!(error.code(), Code::ProviderGone, "{error}");
    assert_eq!(error.gate(), Some(&*format!("{name}.Hang")));
    assert!(
        error.message().contains(name),
        "it names the plugin: {error}"
    );
    assert!(error.may_have_run(), "{error}");
}

/// The promise is 50 ms, on a machine that does nothing else.
fn assert_in_time(what: &str, mut took: Vec<Duration>) {
    took.sort();
    println!("{what}: {took:?}");
    assert!(
        took.last().is_some_and(|longest| *longest < SOON),
        "{took:?}"
    );
    assert!(took[took.len() / 2] < Duration::from_millis(50), "{took:?}");
}

/// A pending call ends when its provider is killed, and does not wait for its deadline.
#[test]
fn pending_calls_end_when_their_provider_is_killed() {
    let bus = Bus::start(programs!());
    let adaptive = bus.plugin("Adaptive");
    let parking = bus
        .builder("Parking")
        .wait_policy(WaitPolicy::Park)
        .connect()
        .unwrap();
    let mut took = Vec::new();
    for n in 0..10 {
        let caller = [&adaptive, &parking][n % 2];
        let (error, time) = kill_during_a_call(caller, "P", bus.peer("provider", "P", &[]));
        assert_told(&error, "P");
        took.push(time);
    }
    assert_in_time("with a broker", took);
    let spinning = bus
        .builder("Spinning")
        .wait_policy(WaitPolicy::Spin)
        .connect()
        .unwrap();
    let (error, time) = kill_during_a_call(&spinning, "P", bus.peer("provider", "P", &[]));
    assert_told(&error, "P");
    assert!(time < SOON, "{time:?}");
}

/// A pending call also ends when its provider is killed and there is no broker to report it.
#[test]
fn pending_calls_end_without_a_broker_too() {
    let mut bus = Bus::start(programs!());
    let caller = bus.mortal_plugin("Caller");
    let mut providers = Vec::new();
    for n in 0..10 {
        let name = format!("P{n}");
        let provider = bus.peer("provider", &name, &[]);
        let hang = open::<(u64,), ()>(&caller, &format!("{name}.Hang"));
        providers.push((name, provider, hang));
    }
    bus.kill_broker();
    assert_eq!(caller.wait_closed().code(), Code::BrokerGone);
    let mut took = Vec::new();
    for (name, mut provider, hang) in providers {
        let (error, time) = kill_while(|| hang.invoke((60_000,)).unwrap_err(), &mut provider);
        assert_told(&error, &name);
        took.push(time);
        // No broker is left that could announce another provider.
        await_that("the gate is gone", || !hang.has_function());
        assert_eq!(code(hang.wait_ready(PATIENCE)), Code::BrokerGone);
        assert_eq!(code(hang.invoke((1,))), Code::BrokerGone);
    }
    assert_in_time("without a broker", took);
}

/// When a provider dies, all callers are woken: those that wait for an answer, and those that wait for a slot or
/// space.
#[test]
fn all_who_wait_hear_of_a_death() {
    let bus = Bus::start(programs!());
    let mut provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let hang = open::<(u64,), ()>(&caller, "P.Hang");
    let slow = open::<(u64, Vec<u8>), Vec<u8>>(&caller, "P.Slow");
    thread::scope(|scope| {
        let first = scope.spawn(|| hang.invoke((60_000,)).map(drop));
        assert_eq!(provider.expect_line(), "hanging");
        // 64 calls find a slot, and two of the large ones find space. The others wait for one or the other.
        let small = (0..70).map(|_| scope.spawn(|| hang.invoke((1,)).map(drop)));
        let mut waiting: Vec<_> = small.collect();
        waiting.extend((0..5).map(|_| scope.spawn(|| slow.invoke((1, vec![1; 25_000])).map(drop))));
        waiting.push(first);
        thread::sleep(Duration::from_millis(50));
        let kill = Instant::now();
        provider.kill();
        for call in waiting {
            let error = call.join().unwrap().unwrap_err();
            // Calls that come too late for the link do not find the gate.
            let known = [Code::ProviderGone, Code::NotReady];
            assert!(known.contains(&error.code()), "{error}");
        }
        assert!(kill.elapsed() < SOON, "{:?}", kill.elapsed());
    });
}

/// A plugin has 63 bells on which its callers sleep. Callers that find none left sleep in another way, and still wake
/// up for their answers and for the end of their provider.
#[test]
fn more_callers_sleep_than_there_are_bells() {
    let bus = Bus::start(programs!());
    let builder = bus.builder("Caller").wait_policy(WaitPolicy::Park);
    let caller = builder.connect().unwrap();
    let names = ["P0", "P1", "P2", "P3"];
    let mut providers = names.map(|name| bus.peer("provider", name, &[]));
    let hangs = names.map(|name| open::<(u64,), ()>(&caller, &format!("{name}.Hang")));
    thread::scope(|scope| {
        let hanging = hangs.each_ref().map(|hang| {
            let calls = (0..25).map(|_| scope.spawn(|| hang.invoke((60_000,)).unwrap_err()));
            calls.collect::<Vec<_>>()
        });
        for provider in &mut providers {
            assert_eq!(provider.expect_line(), "hanging");
        }
        // Once all of these sleep, the calls of another caller find no bell.
        thread::sleep(Duration::from_millis(50));
        let _other = bus.peer("provider", "Other", &[]);
        let add = open::<(u64, u64), u64>(&caller, "Other.Add");
        for n in 0..100 {
            assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
        }
        let kill = Instant::now();
        drop(providers);
        for call in hanging.into_iter().flatten() {
            let error = call.join().unwrap();
            assert_eq!(error.code(), Code::ProviderGone, "{error}");
        }
        assert!(kill.elapsed() < SOON, "{:?}", kill.elapsed());
    });
}

/// A subscriber finds a provider that was started again, without opening the gate again.
#[test]
fn a_restarted_provider_is_found_by_the_same_subscriber() {
    let bus = Bus::start(programs!());
    let caller = bus.plugin("Caller");
    let add = caller
        .subscriber::<(u64, u64), u64>("P.Add")
        .unwrap()
        .with_timeout(PATIENCE);
    let echo = caller.subscriber::<(Vec<u8>,), Vec<u8>>("P.Echo").unwrap();
    for n in 0..5 {
        let provider = bus.peer("provider", "P", &[]);
        add.wait_ready(PATIENCE).unwrap();
        assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
        echo.wait_ready(PATIENCE).unwrap();
        assert_eq!(
            echo.invoke((vec![n as u8; 2000],)).unwrap(),
            vec![n as u8; 2000]
        );
        let listing = caller.list().unwrap();
        let own = listing["plugins"]
            .as_array()
            .unwrap()
            .iter()
            .find(|plugin| plugin["name"] == "P");
        assert_eq!(own.expect("it is listed")["pid"], provider.id());
        provider.kill();

        await_that("the gate is gone", || {
            !add.has_function() && add.owner().is_none()
        });
        let error = add.invoke((n, 1)).unwrap_err();
        assert_eq!(error.code(), Code::NotReady);
        assert!(!error.may_have_run());
        await_that("nothing of it is listed", || {
            let listing = caller.list().unwrap();
            let count = |key: &str| listing[key].as_array().unwrap().len();
            (count("plugins"), count("gates"), count("links")) == (1, 0, 0)
        });
    }
}
