//! What `callgate run` prints while plugins come and go.

use serde_json::json;

use crate::plugins::{READY, Scene};
use crate::support::run;

/// Each restart, quarantine and stop of a plugin is printed once, whoever caused it. So is a program that cannot be
/// started.
#[test]
fn it_says_each_change_of_a_plugin_once() {
    let scene = Scene::new();
    let quick = json!({"restart": {"backoff_ms": [10], "quarantine_crashes": 2}});
    let steps = [
        READY,
        "errlog no disk",
        r#"pass {"type":"request"}"#,
        "exit 3",
    ];
    scene.plugin_with("clock", &steps, &quick);
    let mut broker = scene.run(&[]);
    let mut expect = |parts: &[&str]| {
        let line = broker.expect_line();
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    };
    expect(&["clock: ready, process "]);
    let crash = || run(&scene.socket(), &["call", "clock.crash"]);
    crash().assert_failed(1, "PROVIDER_GONE");
    expect(&[
        "clock: backoff, it has ended (code 3); its last line on stderr: no disk; next try in ",
    ]);
    expect(&["clock: ready, process "]);
    assert_eq!(run(&scene.socket(), &["stop", "clock"]).exit, Some(0));
    expect(&["clock: stopped, "]);
    assert_eq!(run(&scene.socket(), &["start", "clock"]).exit, Some(0));
    expect(&["clock: ready, process "]);
    for state in ["backoff", "quarantined"] {
        crash().assert_failed(1, "PROVIDER_GONE");
        expect(&[&format!("clock: {state}, it has ended (code 3)")]);
        if state == "backoff" {
            expect(&["clock: ready, process "]);
        }
    }
    let outcome = run(&scene.socket(), &["call", "clock.crash", "--timeout", "1h"]);
    outcome.assert_failed(1, "NOT_READY");
    assert!(
        outcome.stderr.contains("quarantine") && outcome.stderr.contains("`callgate start clock`"),
        "{outcome:?}"
    );
    assert_eq!(scene.log(), "", "nothing is said twice");
}

#[test]
fn a_program_that_cannot_be_started_is_told_of_once() {
    for transport in ["stdio", "shm"] {
        let scene = Scene::new();
        scene.plugin("none", &[]);
        let once = json!({"name": "none", "version": "1.0.0", "restart": {"quarantine_crashes": 1},
            "backend": {"command": ["./is-not-there"], "transport": transport}});
        scene.write_manifest("none", &once.to_string());
        let mut broker = scene.run(&[]);
        let line = broker.expect_line();
        for part in ["none: quarantined, NOT_STARTED: ", "is-not-there"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert_eq!(scene.log(), "", "{transport}");
    }
}
