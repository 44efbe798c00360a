//! `callgate serve`

use std::fs;
use std::path::Path;

use callgate_client::{Code, Plugin};
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, Process, programs};
use nix::sys::signal::Signal;

use crate::support::run;

/// A broker starts right after the last one was killed: the lock of the dead one is not taken for that of a living
/// one.
#[test]
fn a_broker_is_started_again_right_after_a_kill() {
    let mut bus = Bus::start(programs!());
    for _ in 0..5 {
        let mut killed = bus.broker.take().unwrap();
        killed.signal(Signal::SIGKILL);
        bus.start_broker();
        killed.wait();
    }
}

/// A second broker is refused, and does not take the bus from the first.
#[test]
fn a_second_broker_is_refused() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let pid = bus.broker.as_ref().unwrap().id().to_string();
    for _ in 0..2 {
        let outcome = run(&bus.socket(), &["serve"]);
        outcome.assert_failed(1, "NAME_TAKEN");
        assert!(
            outcome.stderr.contains(&pid),
            "it names the process: {outcome:?}"
        );
        assert!(
            outcome.stderr.contains(&*bus.socket().to_string_lossy()),
            "{outcome:?}"
        );
    }
    run(&bus.socket(), &["serve", "--json"]).assert_failed_in_json(1, "NAME_TAKEN");
    let caller = bus.plugin("Caller");
    assert_eq!(
        open::<(u64, u64), u64>(&caller, "P.Add")
            .invoke((1, 2))
            .unwrap(),
        3
    );
}

/// A policy file is obeyed, or refused if it is wrong. It never allows everything by mistake.
#[test]
fn a_policy_file_is_obeyed_or_refused() {
    let place = tempfile::tempdir().unwrap();
    let (file, socket) = (place.path().join("policy.json"), place.path().join("bus"));
    let arguments = ["serve", "--strict", "--policy", file.to_str().unwrap()];
    for (wrong, why) in [
        ("{", "line 1"),
        (
            "{\"plugins\": {\"A\": {\"capabilities\": [\"call:*\"]}}}",
            "`call:*`",
        ),
        (
            "{\"plugins\": {\"A\": {\"capabilities\": [\"topic.send:\"]}}}",
            "plugin `A`: `topic.send:`",
        ),
        ("{\"plugins\": {}, \"strikt\": true}", "strikt"),
    ] {
        fs::write(&file, wrong).unwrap();
        let outcome = run(&socket, &arguments);
        outcome.assert_failed(2, "INVALID_ARGUMENT");
        for word in [why, "policy.json"] {
            assert!(outcome.stderr.contains(word), "{word} in {outcome:?}");
        }
    }
    let right = r#"{"plugins": {"Good": {"capabilities": ["gate.provide:Good.*"], "limits": {"gates": 1}}}}"#;
    fs::write(&file, right).unwrap();
    let mut broker = std::process::Command::new(programs!().program);
    broker.args(arguments).env("CALLGATE_SOCKET", &socket);
    let mut broker = Process::spawn(broker);
    broker.expect_line();
    let connect = |name| Plugin::builder(name).socket(&socket).connect();
    let good = connect("Good").unwrap();
    let _gate = good.provide("Good.Gate", || ()).unwrap();
    for (gate, code) in [
        ("Good.Other", Code::Overloaded),
        ("Bad.Gate", Code::PermissionDenied),
    ] {
        let error = good.provide(gate, || ()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    let error = connect("Stranger").map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
}

/// After a broker was killed, the next one replaces its socket without help.
#[test]
fn a_socket_left_behind_is_replaced() {
    let mut bus = Bus::start(programs!());
    for generation in 1..=3 {
        let listing = run(&bus.socket(), &["ls", "--json"]).json();
        assert_eq!(listing["broker"]["generation"], generation);
        bus.kill_broker();
        assert!(bus.socket().exists(), "a killed broker cannot tidy up");
        bus.start_broker();
    }
}

/// A broker that ends in order removes its socket.
#[test]
fn a_broker_that_is_told_to_end_tidies_up() {
    let mut bus = Bus::start(programs!());
    let log = bus.log();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut broker = bus.broker.take().unwrap();
        broker.signal(signal);
        assert_eq!(broker.wait().code(), Some(0), "{signal}");
        let left = fs::read_dir(bus.directory()).unwrap().flatten();
        let left: Vec<_> = left
            .map(|entry| entry.path())
            .filter(|path| *path != log)
            .collect();
        assert!(left.is_empty(), "{left:?}");
        bus.start_broker();
    }
    assert_eq!(
        fs::read_to_string(log).unwrap(),
        "",
        "there is nothing to complain of"
    );
}

/// A broker does not delete a file that is no socket.
#[test]
fn what_is_no_socket_is_left_alone() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("precious");
    fs::write(&file, "data").unwrap();
    let outcome = run(&file, &["serve"]);
    outcome.assert_failed(2, "INVALID_ARGUMENT");
    assert!(
        outcome.stderr.contains(&*file.to_string_lossy()),
        "{outcome:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "data");
    // It cannot make a directory below a file either.
    let below = file.join("bus.sock");
    let outcome = run(&below, &["serve"]);
    outcome.assert_failed(1, "PERMISSION_DENIED");
    let outcome = run(Path::new("/proc/callgate/bus.sock"), &["serve"]);
    outcome.assert_failed(1, "SYSTEM");
}

/// It prints where it listens, in a form that programs can read.
#[test]
fn it_says_where_it_listens() {
    let directory = tempfile::TempDir::new().unwrap();
    let socket = directory.path().join("new/bus.sock");
    let mut text = Process::start(programs!().program, &["serve"], &socket);
    assert_eq!(
        text.expect_line(),
        format!("listening on {}", socket.display())
    );
    assert!(socket.exists());
    let arguments = [
        "serve",
        "--json",
        "--socket",
        &format!("{}2", socket.display()),
    ];
    let mut json = Process::start(programs!().program, &arguments, &socket);
    let line: serde_json::Value = serde_json::from_str(&json.expect_line()).unwrap();
    assert_eq!(line["socket"], arguments[3]);
}
