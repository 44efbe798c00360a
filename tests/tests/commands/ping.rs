//! `callgate ping`

use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, Process, programs};

use crate::support::{command, finish, run, start};

fn bus_with_echo() -> (Bus, Process) {
    let bus = Bus::start(programs!());
    let mut echo = Process::spawn(bus.command(&["echo", "Demo.Echo"]));
    assert_eq!(echo.expect_line(), "echoing at Demo.Echo");
    (bus, echo)
}

/// The result of the measurement is readable.
#[test]
fn it_says_how_long_calls_took() {
    let (bus, _echo) = bus_with_echo();
    let outcome = run(&bus.socket(), &["ping", "Demo.Echo", "--count", "500"]);
    assert_eq!(
        (outcome.exit, &*outcome.stderr),
        (Some(0), ""),
        "{outcome:?}"
    );
    for word in [
        "Demo.Echo",
        "500 calls of 64 bytes",
        "min",
        "p50",
        "p99",
        "p99.9",
        "max",
        "calls/s",
    ] {
        assert!(
            outcome.stdout.contains(word),
            "{word} is missing: {outcome:?}"
        );
    }
}

/// The JSON document keeps its keys, which programs read.
#[test]
fn the_document_has_its_keys() {
    let (bus, _echo) = bus_with_echo();
    for size in ["0", "64", "1000", "60000"] {
        let arguments = [
            "ping",
            "Demo.Echo",
            "--count",
            "50",
            "--size",
            size,
            "--json",
        ];
        let outcome = run(&bus.socket(), &arguments);
        assert_eq!(
            (outcome.exit, &*outcome.stderr),
            (Some(0), ""),
            "{outcome:?}"
        );
        let report = outcome.json();
        assert_eq!(
            (&report["gate"], &report["count"]),
            (&"Demo.Echo".into(), &50.into())
        );
        assert_eq!(report["size"], size.parse::<u64>().unwrap());
        assert_eq!(report["errors"], serde_json::json!({}));
        assert!(report["per_second"].as_f64().unwrap() > 0.0);
        let times = ["min_ns", "p50_ns", "p99_ns", "p999_ns", "max_ns"];
        let times = times.map(|key| report[key].as_u64().expect(key));
        assert!(times.is_sorted() && times[0] > 0, "{times:?}");
    }
}

/// Waits until a gate was called more than so many times.
fn await_calls(bus: &Bus, least: u64) {
    let looker = bus.plugin("Looker");
    await_that("calls are made", || {
        let listing = looker.list().expect("a listing");
        let plugins = listing["plugins"].as_array().expect("plugins");
        plugins
            .iter()
            .any(|plugin| plugin["calls"].as_u64() > Some(least))
    });
}

/// If the other side is killed, between two calls or during one, the ping ends and reports it.
#[test]
fn a_killed_echo_is_provider_gone() {
    for pace in [&["--interval", "5ms"][..], &[]] {
        let (bus, echo) = bus_with_echo();
        let ping = ["ping", "Demo.Echo", "--count", "1000000000"];
        let ping = start(command(&bus.socket(), &[&ping, pace].concat()));
        await_calls(&bus, 10);
        echo.kill();
        let outcome = finish(ping);
        assert_eq!(outcome.exit, Some(1), "{outcome:?}");
        assert!(outcome.stderr.starts_with("PROVIDER_GONE: "), "{outcome:?}");
        assert!(
            outcome.stdout.contains("p50"),
            "what was measured is shown: {outcome:?}"
        );
        assert!(outcome.stdout.contains("PROVIDER_GONE: 1\n"), "{outcome:?}");
    }
}

/// The same for programs.
#[test]
fn a_killed_echo_is_provider_gone_in_json() {
    let (bus, echo) = bus_with_echo();
    let ping = [
        "ping",
        "Demo.Echo",
        "--count",
        "1000000000",
        "--interval",
        "5ms",
        "--json",
    ];
    let ping = start(command(&bus.socket(), &ping));
    await_calls(&bus, 10);
    echo.kill();
    let outcome = finish(ping);
    assert_eq!(outcome.exit, Some(1), "{outcome:?}");
    let report = outcome.json();
    assert!(report["count"].as_u64() > Some(10), "{report}");
    assert_eq!(report["errors"], serde_json::json!({ "PROVIDER_GONE": 1 }));
}

/// A failure says what is wrong.
#[test]
fn what_cannot_be_pinged_is_an_error() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let ping = |arguments: &[&str]| run(&bus.socket(), &[&["ping"], arguments].concat());
    ping(&["No.Such", "--timeout", "1s"]).assert_failed(1, "NOT_READY");
    ping(&["No.Such", "--timeout", "1s", "--json"]).assert_failed_in_json(1, "NOT_READY");
    let outcome = ping(&["P.Add"]);
    outcome.assert_failed(1, "LENGTH_MISMATCH");
    assert!(outcome.stderr.contains("(u64, u64) -> u64"), "{outcome:?}");
    ping(&["P.Zeros"]).assert_failed(1, "TYPE_MISMATCH");
    // These gates can be called, and the calls fail.
    let outcome = ping(&["P.Echo", "--size", "70000000"]);
    assert_eq!(outcome.exit, Some(1));
    assert!(
        outcome.stderr.starts_with("REQUEST_TOO_LARGE: "),
        "{outcome:?}"
    );
    let outcome = ping(&["P.Echo", "--size", "70000000", "--json"]);
    assert_eq!(outcome.exit, Some(1));
    assert_eq!(
        outcome.json()["errors"],
        serde_json::json!({ "REQUEST_TOO_LARGE": 1 })
    );
}

/// A gate that takes and returns bytes but does not echo them is noticed.
#[test]
fn what_is_no_echo_is_found_out() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Plugin");
    let _kept = plugin
        .provide("P.Reverse", |bytes: Vec<u8>| vec![0_u8; bytes.len()])
        .unwrap();
    let outcome = run(&bus.socket(), &["ping", "P.Reverse"]);
    assert_eq!(outcome.exit, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("no echo"), "{outcome:?}");
}
