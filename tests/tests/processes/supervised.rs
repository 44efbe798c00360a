//! Programs that are started again whenever they end.

use std::time::{Duration, Instant};

use callgate_tests::PATIENCE;
use callgate_tests::shorthand::await_that;
use tempfile::TempDir;

use super::{PEER, host, quiet, shell};

/// A host had to watch its plugins and to start them again by itself.
#[test]
fn a_plugin_that_is_killed_is_there_again() {
    let (broker, host) = host();
    let program = || quiet(PEER, &["endless", "P"]);
    let supervised = broker.supervise("P", program).unwrap();
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    add.wait_ready(PATIENCE).unwrap();
    for restarts in 1..=2 {
        let child = supervised.child();
        child.kill().unwrap();
        await_that("it was started again", || supervised.restarts() == restarts);
        assert_ne!(supervised.child().id(), child.id());
        supervised.child().wait_ready(PATIENCE).unwrap();
        add.wait_ready(PATIENCE).unwrap();
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
        let listing = broker.snapshot().unwrap();
        let plugin = listing.plugins.iter().find(|plugin| plugin.name == "P");
        assert_eq!(plugin.unwrap().restarts, restarts);
    }
    let child = supervised.child();
    supervised.stop();
    assert!(child.wait(PATIENCE).unwrap().is_some());
    await_that("the gate is gone", || !add.has_function());
    std::thread::sleep(Duration::from_millis(300));
    let listing = broker.snapshot().unwrap();
    assert!(listing.plugins.iter().all(|plugin| plugin.name != "P"));
}

/// A program that cannot run would be started as fast as the kernel can.
#[test]
fn a_program_that_ends_early_is_waited_with() {
    let (broker, _host) = host();
    let directory = TempDir::new().unwrap();
    let starts = directory.path().join("starts");
    let script = format!("echo >> {}; exit 3", starts.display());
    let supervised = broker.supervise("bad", move || shell(&script)).unwrap();
    let begun = Instant::now();
    await_that("it was started three times", || supervised.restarts() == 2);
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "it did not wait"
    );
    std::thread::sleep(Duration::from_millis(200));
    let lines = std::fs::read_to_string(&starts).unwrap().lines().count() as u64;
    assert!(lines <= supervised.restarts() + 1, "{lines} starts");
}

/// A handle that outlives its broker waited for a program that nobody starts any more.
#[test]
fn supervision_ends_with_the_broker() {
    let (broker, host) = host();
    let supervised = broker
        .supervise("P", || quiet(PEER, &["endless", "P"]))
        .unwrap();
    supervised.child().wait_ready(PATIENCE).unwrap();
    drop(host);
    drop(broker);
    assert!(supervised.child().wait(PATIENCE).unwrap().is_some());
    drop(supervised);
}

#[test]
fn a_first_start_that_fails_is_told() {
    let (broker, _host) = host();
    let missing = || quiet("/nonexistent/program", &[]);
    let error = broker.supervise("missing", missing).unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent/program"),
        "{error}"
    );
}
