//! `callgate echo`

use callgate_tests::shorthand::{await_that, open, pattern};
use callgate_tests::{Bus, PATIENCE, Process, programs};

use crate::support::run;

/// An echo answers with what it was sent.
#[test]
fn what_goes_in_comes_out() {
    let bus = Bus::start(programs!());
    let mut echo = Process::spawn(bus.command(&["echo", "Demo.Echo"]));
    assert_eq!(echo.expect_line(), "echoing at Demo.Echo");
    let caller = bus.plugin("Caller");
    let gate = open::<(Vec<u8>,), Vec<u8>>(&caller, "Demo.Echo");
    for length in [0, 1, 100, 1000, 60_000] {
        let bytes = pattern(1, length);
        assert!(
            gate.invoke((bytes.clone(),)).unwrap() == bytes,
            "{length} bytes"
        );
    }
    // An echo is an ordinary plugin: when it is killed, its gate is gone, and another echo can take its place.
    echo.kill();
    await_that("the gate is gone", || !gate.has_function());
    let mut again = Process::spawn(bus.command(&["echo", "Demo.Echo"]));
    again.expect_line();
    gate.wait_ready(PATIENCE).unwrap();
    assert_eq!(gate.invoke((vec![1],)).unwrap(), [1]);
}

/// An echo takes and returns values of any type.
#[test]
fn it_takes_and_gives_any_types() {
    let bus = Bus::start(programs!());
    let mut echo = Process::spawn(bus.command(&["echo", "Demo.Echo"]));
    echo.expect_line();
    let caller = bus.plugin("Caller");
    let text = open::<(String,), String>(&caller, "Demo.Echo");
    assert_eq!(text.invoke(("Größe".to_owned(),)).unwrap(), "Größe");
    let two = open::<(f64, Option<u8>), (f64, Option<u8>)>(&caller, "Demo.Echo");
    assert_eq!(two.invoke((0.1, None)).unwrap(), (0.1, None));
    let none = open::<(), Vec<u8>>(&caller, "Demo.Echo");
    assert!(none.invoke(()).unwrap().is_empty());
}

/// With `--bytes` it takes archives of bytes, for measurements.
#[test]
fn with_bytes_it_takes_archives() {
    let bus = Bus::start(programs!());
    let mut echo = Process::spawn(bus.command(&["echo", "Demo.Echo", "--bytes"]));
    assert_eq!(echo.expect_line(), "echoing at Demo.Echo");
    let caller = bus.plugin("Caller");
    let gate = open::<(Vec<u8>,), Vec<u8>>(&caller, "Demo.Echo");
    assert!(!gate.is_converted());
    let outcome = run(&bus.socket(), &["ping", "Demo.Echo", "--count", "50"]);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
}

/// A second echo is refused: two do not share the gate, and the second does not wait for it.
#[test]
fn a_gate_that_is_taken_is_refused() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let outcome = run(&bus.socket(), &["echo", "P.Echo"]);
    outcome.assert_failed(1, "ALREADY_PROVIDED");
    assert!(outcome.stderr.contains("P.Echo"), "{outcome:?}");
    run(&bus.socket(), &["echo", "P.Echo", "--json"]).assert_failed_in_json(1, "ALREADY_PROVIDED");
}

/// An echo goes on with the next broker, and need not be started again.
#[test]
fn it_goes_on_with_the_next_broker() {
    let mut bus = Bus::start(programs!());
    let mut echo = Process::spawn(bus.command(&["echo", "Demo.Echo"]));
    assert_eq!(echo.expect_line(), "echoing at Demo.Echo");
    let caller = bus.plugin("Caller");
    let old = open::<(Vec<u8>,), Vec<u8>>(&caller, "Demo.Echo");
    bus.restart_broker();
    assert_eq!(old.invoke((vec![1],)).unwrap(), [1]);
    // A plugin that knows only the new broker.
    let late = bus.plugin("Late");
    let gate = open::<(Vec<u8>,), Vec<u8>>(&late, "Demo.Echo");
    assert_eq!(gate.invoke((vec![2],)).unwrap(), [2]);
}
