//! Programs that are started again when they end.

use std::time::{Duration, Instant};

use callgate::listing::{PluginEntry, PluginState};
use callgate::supervision::{Exit, Restart, State, When};
use callgate::{Broker, Supervised};
use callgate_tests::PATIENCE;
use callgate_tests::shorthand::await_that;
use tempfile::TempDir;

use super::{PEER, host, quiet, shell};

/// A restart policy with short delays, for tests.
fn quick() -> Restart {
    Restart::default().backoff([Duration::from_millis(50)])
}

fn listed(broker: &Broker, name: &str) -> Option<PluginEntry> {
    let plugins = broker.snapshot().expect("it runs").plugins;
    plugins.into_iter().find(|plugin| plugin.name == name)
}

/// Waits until the program is in a state, and is listed in it.
#[track_caller]
fn await_state(broker: &Broker, supervised: &Supervised, state: State, shown: PluginState) {
    assert!(
        supervised.wait_for(state, PATIENCE),
        "{:?}",
        supervised.status()
    );
    let listed = listed(broker, "P").expect("it is listed");
    assert_eq!(listed.state, shown, "{listed:?}");
}

/// A supervised plugin that is killed is started again without the host's help.
#[test]
fn a_plugin_that_is_killed_is_there_again() {
    let (broker, host) = host();
    let program = || quiet(PEER, &["endless", "P"]);
    let supervised = broker.supervise("P", program, quick()).unwrap();
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    add.wait_ready(PATIENCE).unwrap();
    for restarts in 1..=2 {
        let child = supervised.child();
        child.kill().unwrap();
        await_that("it was started again", || {
            supervised.child().id() != child.id()
        });
        supervised.child().wait_ready(PATIENCE).unwrap();
        add.wait_ready(PATIENCE).unwrap();
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
        let plugin = listed(&broker, "P").unwrap();
        assert_eq!(
            (plugin.restarts, plugin.pid),
            (restarts, Some(supervised.child().id()))
        );
        assert_eq!(plugin.last_exit.as_deref(), Some("signal 9"));
    }
    let child = supervised.child();
    drop(supervised);
    assert!(child.try_wait().unwrap().is_some());
    await_that("the gate is gone", || !add.has_function());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(listed(&broker, "P"), None);
}

/// A program that ends early is started again only after a delay.
#[test]
fn a_program_that_ends_early_is_waited_with() {
    let (broker, _host) = host();
    let directory = TempDir::new().unwrap();
    let starts = directory.path().join("starts");
    let script = format!("echo >> {}; exit 3", starts.display());
    let restart = quick().backoff([100, 200, 60_000].map(Duration::from_millis));
    let supervised = broker
        .supervise("bad", move || shell(&script), restart)
        .unwrap();
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

/// When the broker ends, a handle that outlives it does not wait for a program that nobody starts any more.
#[test]
fn supervision_ends_with_the_broker() {
    let (broker, host) = host();
    let supervised = broker
        .supervise("P", || quiet(PEER, &["endless", "P"]), quick())
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
    let error = broker.supervise("missing", missing, quick()).unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent/program"),
        "{error}"
    );
}

/// A plugin that crashes too often is not started again until somebody asks for it.
#[test]
fn a_program_that_crashes_too_often_stays_away_until_it_is_started() {
    let (broker, _host) = host();
    let restart = quick().quarantine(3, Duration::from_secs(600));
    let supervised = broker.supervise("P", || shell("exit 3"), restart).unwrap();
    await_state(
        &broker,
        &supervised,
        State::Quarantined,
        PluginState::Quarantined,
    );
    let plugin = listed(&broker, "P").unwrap();
    assert_eq!((plugin.pid, plugin.restarts), (None, 2));
    assert_eq!(plugin.last_exit.as_deref(), Some("code 3"));
    supervised.start().unwrap();
    await_that("it is in quarantine again", || supervised.restarts() == 5);
    await_state(
        &broker,
        &supervised,
        State::Quarantined,
        PluginState::Quarantined,
    );
}

#[test]
fn the_listing_says_when_a_program_is_started_again() {
    let (broker, _host) = host();
    let restart = Restart::default().backoff([Duration::from_secs(600)]);
    let supervised = broker
        .supervise("P", || shell("kill -9 $$"), restart)
        .unwrap();
    await_state(&broker, &supervised, State::Waiting, PluginState::Backoff);
    let plugin = listed(&broker, "P").unwrap();
    assert_eq!(plugin.last_exit.as_deref(), Some("signal 9"));
    let next = plugin.next_try_ms.unwrap();
    assert!((500_000..=600_000).contains(&next), "{next} ms");
    // Starting it ends that wait.
    supervised.start().unwrap();
    await_that("it was started again", || supervised.restarts() == 1);
}

#[test]
fn a_program_is_stopped_started_and_restarted_as_somebody_asks() {
    let (broker, _host) = host();
    let program = || quiet(PEER, &["endless", "P"]);
    let supervised = broker.supervise("P", program, Restart::default()).unwrap();
    await_state(&broker, &supervised, State::Ready, PluginState::Ready);
    supervised.stop().unwrap();
    await_state(&broker, &supervised, State::Stopped, PluginState::Stopped);
    assert_eq!(supervised.status().last_exit, Some(Exit::Signal(15)));
    assert!(supervised.child().try_wait().unwrap().is_some());
    supervised.start().unwrap();
    await_state(&broker, &supervised, State::Ready, PluginState::Ready);
    let child = supervised.child();
    supervised.restart().unwrap();
    assert!(child.wait(PATIENCE).unwrap().is_some());
    await_that("it was started again", || supervised.restarts() == 2);
    await_state(&broker, &supervised, State::Ready, PluginState::Ready);
}

/// A program that ignores SIGTERM is killed after a grace period.
#[test]
fn who_ignores_the_request_to_end_is_killed_after_the_grace() {
    let (broker, _host) = host();
    let restart = Restart::default().stop_grace(Duration::from_millis(200));
    let directory = TempDir::new().unwrap();
    let ignores = directory.path().join("ignores");
    let script = format!(
        "trap \"\" TERM; echo > {}; while :; do sleep 0.1; done",
        ignores.display()
    );
    let supervised = broker
        .supervise("P", move || shell(&script), restart)
        .unwrap();
    await_that("it ignores SIGTERM", || ignores.exists());
    supervised.stop().unwrap();
    await_state(&broker, &supervised, State::Stopped, PluginState::Stopped);
    assert_eq!(supervised.status().last_exit, Some(Exit::Signal(9)));
}

/// A program that never says hello counts as not started, and is started again.
#[test]
fn a_program_that_is_not_ready_in_time_is_started_again() {
    let (broker, _host) = host();
    let restart = quick().ready_within(Duration::from_millis(100));
    let supervised = broker
        .supervise("P", || shell("sleep 1000"), restart)
        .unwrap();
    await_that("it was started again", || supervised.restarts() >= 1);
    let status = supervised.status();
    assert_eq!(status.last_exit, Some(Exit::Signal(9)));
    assert_eq!(status.last_fault.unwrap().code, "HANDSHAKE_TIMEOUT");
}

#[test]
fn an_end_in_order_is_a_stop_where_only_failures_count() {
    let (broker, _host) = host();
    let restart = Restart::default().when(When::OnFailure);
    let supervised = broker.supervise("P", || shell("exit 0"), restart).unwrap();
    await_state(&broker, &supervised, State::Stopped, PluginState::Stopped);
    assert_eq!(supervised.status().last_exit, Some(Exit::Code(0)));
}

/// A thread that has a handle of a broker neither keeps the broker running nor waits for it for ever.
#[test]
fn a_handle_does_not_keep_its_broker_running() {
    let (broker, host) = host();
    let handle = broker.handle();
    let other = handle.clone();
    let asked = std::thread::spawn(move || other.snapshot().unwrap().plugins.len());
    assert_eq!(asked.join().unwrap(), 1);
    let supervised = broker
        .supervise("P", || quiet(PEER, &["endless", "P"]), quick())
        .unwrap();
    drop((host, broker));
    let gone = |error: std::io::Error| assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    gone(handle.snapshot().unwrap_err());
    gone(handle.connect().unwrap_err());
    gone(
        handle
            .spawn("Q", quiet(PEER, &["endless", "Q"]))
            .unwrap_err(),
    );
    gone(handle.set_policy("Q", None).unwrap_err());
    gone(handle.set_status("Q", None).unwrap_err());
    assert!(supervised.wait_for(State::Stopped, PATIENCE));
    await_that("nobody supervises it", || supervised.start().is_err());
}

/// After a wait for a program has succeeded, the next question says that it is ready, and not that it still starts.
#[test]
fn a_program_that_was_waited_for_is_ready() {
    let (broker, _host) = host();
    for _ in 0..20 {
        let program = || quiet(PEER, &["endless", "P"]);
        let supervised = broker.supervise("P", program, quick()).unwrap();
        supervised.child().wait_ready(PATIENCE).unwrap();
        assert_eq!(supervised.status().state, State::Ready);
    }
}
