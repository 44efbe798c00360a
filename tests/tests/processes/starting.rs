//! Programs that end before they have become plugins, or that start slowly.

use std::time::{Duration, Instant};

use callgate::Broker;
use callgate::listing::PluginState;
use callgate_client::Code;
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, PATIENCE, programs};

use super::{PEER, host, quiet, shell};

/// Far longer than anything here takes, and far shorter than the timeouts that must not be waited for.
const SOON: Duration = Duration::from_secs(10);

/// Waiting for a gate ends when the program that was to provide it ends, with the reason, and not after 5 s.
#[test]
fn waiting_ends_with_the_program_that_was_to_provide_the_gate() {
    let (broker, host) = host();
    let apply = host.subscriber::<(u64,), u64>("Gain.Apply").unwrap();
    let begun = Instant::now();
    let child = broker.spawn("gain", shell("sleep 0.2; exit 7")).unwrap();
    let error = apply.wait_ready(3 * PATIENCE).unwrap_err();
    assert!(begun.elapsed() < SOON, "it did not wait for the time");
    assert_eq!(error.code(), Code::NotReady);
    let text = error.to_string();
    let pid = format!("pid {}", child.id());
    for word in ["`gain`", &pid, "exit status: 7", "before it connected"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(
        child
            .wait_ready(PATIENCE)
            .unwrap_err()
            .to_string()
            .contains("exit status: 7")
    );
    // Later waits are told, too, but only once, so that waiting in a loop does not spin.
    let later = host.subscriber::<(u64,), u64>("Gain.Apply").unwrap();
    await_that("who opens it later is told, too", || {
        let error = later.wait_ready(Duration::from_millis(1)).unwrap_err();
        error.message().contains("exit status: 7")
    });
    let begun = Instant::now();
    let error = later.wait_ready(Duration::from_millis(300)).unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(error.message().contains("exit status: 7"), "{error}");
    let listing = broker.snapshot().unwrap();
    assert_eq!(listing.ended.len(), 1);
    assert_eq!(
        (&*listing.ended[0].name, listing.ended[0].pid),
        ("gain", child.id())
    );
    // Starting it again clears that.
    let again = broker
        .spawn("gain", quiet("/bin/sleep", &["1000"]))
        .unwrap();
    assert!(broker.snapshot().unwrap().ended.is_empty());
    again.kill().unwrap();
}

/// If a host starts a failed program again, a wait for it is not ended by the first failure.
#[test]
fn a_program_that_was_started_again_is_waited_for() {
    let (broker, host) = host();
    let gates = ["P.Add", "P.Other"];
    let [add, other] = gates.map(|gate| host.subscriber::<(u64, u64), u64>(gate).unwrap());
    for _ in 0..20 {
        let _bad = broker.spawn("P", quiet("/bin/false", &[])).unwrap();
        assert!(add.wait_ready(PATIENCE).is_err());
        // The waiting thread has not looked yet, and what it was told is out of date by then.
        let good = broker.spawn("P", quiet(PEER, &["endless", "P"])).unwrap();
        let error = other.wait_ready(Duration::from_millis(20)).unwrap_err();
        assert!(!error.message().contains("exit status"), "{error}");
        good.wait_ready(PATIENCE).unwrap();
        add.wait_ready(PATIENCE).unwrap();
        good.kill().unwrap();
        good.wait(PATIENCE).unwrap();
        await_that("the gate is gone", || !add.has_function());
        // A program that was a plugin may be started again. Until then, its end is reported.
        let time = Duration::from_millis(50);
        let begun = Instant::now();
        let error = add.wait_ready(time).unwrap_err();
        assert!(begun.elapsed() >= time);
        assert!(error.message().contains("signal: 9"), "{error}");
    }
}

/// A wait for another gate does not end for that reason.
#[test]
fn others_are_waited_for_while_there_is_anybody() {
    let (broker, host) = host();
    let alive = broker.spawn("P", quiet("/bin/sleep", &["1000"])).unwrap();
    let dead = broker.spawn("Q", quiet("/bin/false", &[])).unwrap();
    assert!(dead.wait_ready(PATIENCE).is_err());
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    let time = Duration::from_millis(300);
    let begun = Instant::now();
    let error = add.wait_ready(time).unwrap_err();
    assert!(begun.elapsed() >= time, "{error}");
    let text = error.message();
    assert!(text.contains("still has not connected"), "{text}");
    assert!(text.contains(&format!("pid {}", alive.id())), "{text}");
    let error = alive.wait_ready(Duration::from_millis(10)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(
        error.to_string().contains("still has not connected"),
        "{error}"
    );
}

/// When the last program of a host has ended, no wait can succeed, for any gate.
#[test]
fn nobody_is_waited_for_where_nobody_is_left() {
    let (broker, host) = host();
    let gate = host.subscriber::<(u64, u64), u64>("Some.Gate").unwrap();
    let _child = broker.spawn("P", quiet("/bin/false", &[])).unwrap();
    let begun = Instant::now();
    let error = gate.wait_ready(3 * PATIENCE).unwrap_err();
    assert!(begun.elapsed() < SOON, "{error}");
    assert!(error.message().contains("exit status: 1"), "{error}");
}

/// A program that was started is listed, also before its hello.
#[test]
fn the_listing_shows_what_was_started() {
    let mut bus = Bus::without_broker(programs!());
    let broker = Broker::builder().socket(bus.socket()).start().unwrap();
    let starting = broker
        .spawn("Slow", quiet("/bin/sleep", &["1000"]))
        .unwrap();
    let plugins = broker.snapshot().unwrap().plugins;
    assert_eq!(
        (plugins[0].pid, &*plugins[0].name),
        (Some(starting.id()), "Slow")
    );
    assert_eq!(plugins[0].state, PluginState::Starting);
    let ended = broker.spawn("Bad", shell("exit 3")).unwrap();
    assert!(ended.wait_ready(PATIENCE).is_err());
    let output = bus.command(&["ls"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(str::trim_start);
    let mut line = |name: &str| lines.find(|line| line.starts_with(name)).unwrap_or("");
    let (slow, bad) = (line("Slow"), line("Bad"));
    assert!(slow.contains("starting"), "{text}");
    assert!(slow.contains(&starting.id().to_string()), "{text}");
    assert!(bad.contains("exit status: 3"), "{text}");
    bus.kill_broker();
}

/// If a plugin is refused because its name is not the one that the host chose, the host's wait for it ends.
#[test]
fn a_refusal_ends_the_wait() {
    let (broker, host) = host();
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    let child = broker.spawn("P", quiet(PEER, &["endless", "Q"])).unwrap();
    let told = child.wait_ready(PATIENCE).unwrap_err().to_string();
    assert!(told.contains("not as `Q`"), "{told}");
    let begun = Instant::now();
    let error = add.wait_ready(3 * PATIENCE).unwrap_err();
    assert!(begun.elapsed() < SOON, "{error}");
    assert!(error.message().contains("not as `Q`"), "{error}");
}
