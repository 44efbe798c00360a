//! Processes that neither run nor end: a debugger has stopped them, or they are swapped out.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Subscriber, dynamic};
use callgate_tests::shorthand::{await_that, open, pattern};
use callgate_tests::{Bus, PATIENCE, programs};
use nix::sys::signal::Signal;
use serde_json::json;

type Echo = Subscriber<(Vec<u8>,), Vec<u8>>;

/// Makes calls that a stopped provider does not answer, from several threads.
fn call_in_vain(echo: &Echo, lengths: &[usize]) {
    let hasty = echo.with_timeout(Duration::from_millis(10));
    thread::scope(|scope| {
        for thread in 0..8 {
            let hasty = &hasty;
            scope.spawn(move || {
                for n in 0..12 {
                    let length = lengths[(n + thread) % lengths.len()];
                    let start = Instant::now();
                    let error = hasty
                        .invoke((pattern(n as u64, length),))
                        .expect_err("nobody answers");
                    let known = [Code::Timeout, Code::Overloaded];
                    assert!(known.contains(&error.code()), "{error}");
                    assert_eq!(error.may_have_run(), error.code() == Code::Timeout);
                    assert!(start.elapsed() < PATIENCE);
                }
            });
        }
    });
}

/// A stopped provider goes on where it was, and the slots and blocks of the calls that timed out meanwhile come back.
#[test]
fn a_stopped_provider_goes_on_where_it_was() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    assert_eq!(echo.invoke((vec![1],)).unwrap(), [1]);
    for lengths in [&[10][..], &[2_000, 30_000], &[60_000]] {
        provider.stop();
        call_in_vain(&echo, lengths);
        provider.signal(Signal::SIGCONT);
        // This needs everything at once: all blocks, and all slots.
        let whole = pattern(7, 65_000);
        assert!(echo.invoke((whole.clone(),)).unwrap() == whole);
        thread::scope(|scope| {
            for n in 0..64 {
                let echo = &echo;
                scope.spawn(move || {
                    for k in 0..3 {
                        let bytes = pattern(n * 8 + k, [20, 1000][k as usize % 2]);
                        assert!(echo.invoke((bytes.clone(),)).unwrap() == bytes);
                    }
                });
            }
        });
    }
}

/// A provider that stands still for two seconds keeps its session when a plugin opens its gate. Its links stay, and
/// its gate is found when it goes on.
#[test]
fn a_stopped_provider_keeps_its_session_when_its_gate_is_opened() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    provider.stop();
    // The first waits in vain for the link, the next for a grant on the existing link. After that nobody has to wait
    // any more.
    let newcomer = bus.plugin("Newcomer");
    let refused = |plugin: &callgate_client::Plugin, gate: &str| {
        let opened = plugin.subscriber::<(u64, u64), u64>(gate);
        let error = opened.expect_err("it does not answer");
        assert_eq!(error.code(), Code::Timeout, "{error}");
        let message = error.message();
        let named = format!("plugin `P` (pid {}) does not answer", provider.id());
        assert!(message.contains(&named), "{message}");
    };
    refused(&newcomer, "P.Add");
    refused(&caller, "P.Add");
    let start = Instant::now();
    refused(&newcomer, "P.Add");
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "it was waited for"
    );
    provider.signal(Signal::SIGCONT);
    // The link and the open gates are the ones from before.
    assert_eq!(echo.invoke((vec![1],)).unwrap(), [1]);
    for plugin in [&newcomer, &caller] {
        await_that("the gate can be opened", || {
            let opened = plugin.subscriber::<(u64, u64), u64>("P.Add");
            opened.is_ok_and(|add| add.invoke((20, 22)).is_ok_and(|sum| sum == 42))
        });
    }
    assert_eq!(echo.invoke((vec![2],)).unwrap(), [2]);
}

/// Opening a gate of a stopped provider does not wait for that provider.
#[test]
fn a_gate_of_a_stopped_provider_is_opened_without_waiting_for_it() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    provider.stop();
    // Otherwise each of these would wait as long as a provider may take for a step.
    let start = Instant::now();
    let untyped: Vec<_> = (0..8)
        .map(|_| dynamic::open_json_later(&caller, "P.Add").unwrap())
        .collect();
    let add = caller.subscriber_later::<(u64, u64), u64>("P.Add").unwrap();
    let watch = caller.watch_later("P.Add").unwrap();
    let long = |gate: &dynamic::Gate| gate.with_timeout(PATIENCE);
    let sent = long(&untyped[0])
        .send_values(&[json!(20), json!(22)])
        .unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "it was waited for"
    );
    assert!(!add.has_function(), "nobody has said so yet");
    let event = watch.next(PATIENCE).unwrap().unwrap();
    assert_eq!(event.owner.as_deref(), Some("P"));
    // The call waits for what the broker says about the gate, and fails with that.
    let refused = sent.wait_value().unwrap_err();
    assert_eq!(refused.code(), Code::Timeout, "{refused}");
    assert!(!refused.may_have_run());
    assert_eq!(
        add.wait_ready(Duration::ZERO).unwrap_err().code(),
        Code::Timeout
    );
    provider.signal(Signal::SIGCONT);
    add.wait_ready(PATIENCE).unwrap();
    assert_eq!(add.invoke((20, 22)).unwrap(), 42);
    let sum = untyped[1].call_values(&[json!(1), json!(2)]).unwrap();
    assert_eq!(sum, json!(3));
    // A gate that was opened is called at once if its provider goes on.
    let another = dynamic::open_json_later(&caller, "P.Add").unwrap();
    let sent = another.send_values(&[json!(2), json!(3)]).unwrap();
    assert_eq!(sent.wait_value().unwrap(), json!(5));
    let typed = caller.subscriber_later::<(u64, u64), u64>("P.Add").unwrap();
    assert_eq!(typed.invoke((3, 4)).unwrap(), 7);
}

/// Dropping a subscriber while its provider is stopped does not end the link for other calls under way, although the
/// provider does not confirm in time that it refuses the closed gate.
#[test]
fn a_stopped_provider_is_not_lost_by_who_closes_a_gate_of_it() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo").with_timeout(PATIENCE);
    let untyped = dynamic::open_json(&caller, "P.Echo").unwrap();
    let untyped = untyped.with_timeout(PATIENCE);
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    assert_eq!(add.invoke((20, 22)).unwrap(), 42);
    provider.stop();
    let sent = untyped.send_values(&[json!([1])]).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| echo.invoke((vec![2],)));
        drop(add);
        // Longer than the provider may take for a step.
        thread::sleep(Duration::from_secs(7));
        assert!(!waiting.is_finished(), "its link is gone");
        provider.signal(Signal::SIGCONT);
        assert_eq!(waiting.join().unwrap().unwrap(), [2]);
    });
    assert_eq!(sent.wait_value().unwrap(), json!([1]));
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
}

/// A stopped provider keeps its session when a plugin has a large payload for it.
#[test]
fn a_stopped_provider_keeps_its_session_when_a_payload_waits_for_it() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let large = pattern(3, 1 << 20);
    provider.stop();
    // Longer than it may take for a step.
    let hasty = echo.with_timeout(Duration::from_secs(3));
    let error = hasty.invoke((large.clone(),)).unwrap_err();
    assert_eq!(error.code(), Code::Timeout, "{error}");
    assert!(!error.may_have_run(), "{error}");
    let named = format!("plugin `P` (pid {}) did not map", provider.id());
    assert!(error.message().contains(&named), "{error}");
    provider.signal(Signal::SIGCONT);
    assert_eq!(echo.invoke((vec![1],)).unwrap(), [1]);
    await_that("large payloads pass again", || {
        let outcome = echo.invoke((large.clone(),));
        assert!(outcome.is_ok() || outcome.as_ref().is_err_and(|e| e.code() == Code::Timeout));
        outcome.is_ok_and(|bytes| bytes == large)
    });
}

/// A call that waits for space is woken when the provider dies that would have to free it.
#[test]
fn who_waits_for_room_hears_of_a_death() {
    let bus = Bus::start(programs!());
    let caller = bus.plugin("Caller");
    for length in [10, 60_000] {
        let provider = bus.peer("provider", "P", &[]);
        let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
        provider.stop();
        call_in_vain(&echo, &[length]);
        thread::scope(|scope| {
            // All callers that waited for answers have given up, so no other call wakes this one.
            let patient = scope.spawn(|| echo.invoke((pattern(1, length),)));
            thread::sleep(Duration::from_millis(50));
            let kill = Instant::now();
            provider.kill();
            let error = patient.join().unwrap().unwrap_err();
            let known = [Code::ProviderGone, Code::NotReady];
            assert!(known.contains(&error.code()), "{error}");
            assert!(kill.elapsed() < PATIENCE / 4, "it waited on");
        });
        await_that("the gate is gone", || !echo.has_function());
    }
}

/// A stopped caller does not delay a provider's other callers.
#[test]
fn a_stopped_caller_holds_up_nobody() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let mut stopped = bus.peer("caller", "Stopped", &["P"]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    stopped.say("how many?");
    stopped.expect_line();
    stopped.stop();
    for n in 0..200 {
        let bytes = pattern(n, 3_000);
        assert!(echo.invoke((bytes.clone(),)).unwrap() == bytes);
    }
    stopped.signal(Signal::SIGCONT);
    let mut answered = || {
        stopped.say("how many?");
        let line = stopped.expect_line();
        let (answered, failed) = line.split_once(' ').unwrap();
        assert_eq!(failed, "0", "calls failed");
        answered.parse::<u64>().unwrap()
    };
    let before = answered();
    await_that("it goes on", || answered() > before);
}

/// Linked plugins do not have to wait for a stopped broker.
#[test]
fn a_stopped_broker_is_not_missed_by_those_who_are_linked() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let broker = bus.broker.as_ref().unwrap();
    broker.stop();
    for n in 0..100 {
        let bytes = pattern(n, 500);
        assert!(echo.invoke((bytes.clone(),)).unwrap() == bytes);
    }
    // Linked plugins notice the end of a provider themselves.
    provider.kill();
    await_that("the gate is gone", || !echo.has_function());
    broker.signal(Signal::SIGCONT);
    let _again = bus.peer("provider", "P", &[]);
    echo.wait_ready(PATIENCE).unwrap();
    assert_eq!(echo.invoke((vec![1],)).unwrap(), [1]);
}
