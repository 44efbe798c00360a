//! `callgate start`, `stop` and `restart`, and what `callgate ls` prints about supervised plugins.

use callgate_tests::{Bus, programs};
use serde_json::{Value, json};

use crate::plugins::{READY, Scene, ends, is_alive};
use crate::support::run;

const ORDERS: [&str; 3] = ["start", "stop", "restart"];

/// A restart policy that gives up after the first crash.
fn once() -> Value {
    json!({"restart": {"quarantine_crashes": 1}})
}

fn pid(plugin: &Value) -> u32 {
    plugin["pid"]
        .as_u64()
        .expect("it runs")
        .try_into()
        .expect("a pid")
}

/// When `restart` returns, the new process is running: a script that continues does not meet the old one.
#[test]
fn a_plugin_is_stopped_started_and_restarted() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    let _broker = scene.run(&[]);
    let first = pid(&scene.reach("clock", "ready"));
    let socket = scene.socket();

    let outcome = run(&socket, &["stop", "clock"]);
    assert_eq!(
        (outcome.exit, &*outcome.stdout),
        (Some(0), "clock: stopped\n"),
        "{outcome:?}"
    );
    assert!(!is_alive(first));
    assert_eq!(scene.listed("clock")["last_exit"], "signal 15");
    assert_eq!(
        run(&socket, &["stop", "clock"]).exit,
        Some(0),
        "once more does no harm"
    );

    let started = run(&socket, &["start", "clock", "--json"]).json();
    assert_eq!(started["state"], "ready");
    let second = pid(&started);
    assert!(is_alive(second) && second != first);

    let outcome = run(&socket, &["restart", "clock"]);
    let third = pid(&scene.listed("clock"));
    assert_eq!(outcome.stdout, format!("clock: ready, process {third}\n"));
    assert!(third != second && !is_alive(second));
}

/// A linked plugin is connected, and listed as ready, until its process has ended. `restart` waits for the new one,
/// too.
#[test]
fn a_linked_plugin_is_restarted_too() {
    let scene = Scene::new();
    scene.plugin("linked", &[]);
    let steps = ["ignore SIGTERM", "provide linked.echo", "hang"];
    let more = json!({"restart": {"stop_grace_ms": 300}});
    let mut manifest = crate::plugins::manifest("linked", &steps, &more);
    manifest["backend"]["transport"] = "shm".into();
    scene.write_manifest("linked", &manifest.to_string());
    let _broker = scene.run(&[]);
    let first = pid(&scene.reach("linked", "ready"));
    let again = run(&scene.socket(), &["restart", "linked", "--json"]).json();
    assert_ne!(pid(&again), first);
    assert!(!is_alive(first));
    assert_eq!(run(&scene.socket(), &["stop", "linked"]).exit, Some(0));
    ends(pid(&again));
    assert_eq!(scene.listed("linked")["state"], "stopped");
}

/// `start` ends the quarantine of a plugin that has crashed too often.
#[test]
fn start_ends_a_quarantine() {
    let scene = Scene::new();
    scene.plugin_with("clock", &["on 1 exit 3", READY, "idle"], &once());
    scene.plugin_with("crash", &["errlog no disk", "exit 4"], &once());
    let _broker = scene.run(&[]);
    let listed = scene.reach("clock", "quarantined");
    assert_eq!(
        (&listed["last_exit"], &listed["pid"]),
        (&"code 3".into(), &Value::Null)
    );
    let started = run(&scene.socket(), &["start", "clock", "--json"]).json();
    assert_eq!(started["state"], "ready");
    // A plugin that ends again: the command fails, and says how the plugin ended and where to look.
    scene.reach("crash", "quarantined");
    let outcome = run(&scene.socket(), &["start", "crash"]);
    outcome.assert_failed(1, "PROVIDER_GONE");
    for part in ["crash: quarantined", "code 4", "callgate logs crash"] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
    let outcome = run(&scene.socket(), &["restart", "crash", "--json"]);
    outcome.assert_failed_in_json(1, "PROVIDER_GONE");
    assert_eq!(outcome.json()["error"]["context"]["last_exit"], "code 4");
}

#[test]
fn one_that_is_not_ready_in_time_goes_on_being_started() {
    let scene = Scene::new();
    scene.plugin("late", &["wait {\"type\":\"request\"}"]);
    let _broker = scene.run(&[]);
    scene.reach("late", "starting");
    for order in ["start", "restart"] {
        let outcome = run(&scene.socket(), &[order, "late", "--timeout", "1500ms"]);
        outcome.assert_failed(1, "TIMEOUT");
        assert!(outcome.stderr.contains("late: starting"), "{outcome:?}");
    }
    let outcome = run(&scene.socket(), &["restart", "late", "--no-wait"]);
    assert_eq!(
        (outcome.exit, &*outcome.stdout),
        (Some(0), ""),
        "{outcome:?}"
    );
    assert_eq!(run(&scene.socket(), &["stop", "late"]).exit, Some(0));
}

/// A mistyped name is wrong usage, and not taken for a plugin that does not run.
#[test]
fn a_plugin_that_nobody_supervises_is_wrong_usage() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    let _broker = scene.run(&[]);
    for order in ORDERS {
        for name in ["clokc", "callgate-runtime", ""] {
            let outcome = run(&scene.socket(), &[order, name]);
            outcome.assert_failed(2, "INVALID_ARGUMENT");
            assert!(outcome.stderr.contains(&format!("`{name}`")), "{outcome:?}");
        }
    }
    run(&scene.socket(), &["logs", "clokc"]).assert_failed(2, "INVALID_ARGUMENT");
}

/// `callgate serve` has no runtime. A command that needs one says so at once and does not wait for its timeout.
#[test]
fn without_a_runtime_it_says_so() {
    let bus = Bus::start(programs!());
    let commands: [&[&str]; 4] = [
        &["start", "P"],
        &["stop", "P"],
        &["restart", "P"],
        &["logs"],
    ];
    for arguments in commands {
        let arguments = [arguments, &["--timeout", "1h"]].concat();
        let outcome = run(&bus.socket(), &arguments);
        outcome.assert_failed(1, "NOT_READY");
        assert!(outcome.stderr.contains("callgate run"), "{outcome:?}");
        let arguments = [&arguments[..], &["--json"]].concat();
        run(&bus.socket(), &arguments).assert_failed_in_json(1, "NOT_READY");
    }
}

/// The listing says why a supervised plugin does not run.
#[test]
fn the_listing_says_how_supervised_plugins_stand() {
    let scene = Scene::new();
    let hour = json!({"restart": {"backoff_ms": [3_600_000]}});
    scene.plugin("clock", &[READY, "idle"]);
    scene.plugin_with("crash", &["die SIGKILL"], &hour);
    scene.plugin_with(
        "again",
        &["on 1 exit 3", READY, "idle"],
        &json!({"restart": {"backoff_ms": [1]}}),
    );
    let _broker = scene.run(&[]);
    let crash = scene.reach("crash", "backoff");
    let again = scene.reach("again", "ready");
    let clock = scene.reach("clock", "ready");
    for plugin in [&crash, &again, &clock] {
        assert_eq!(plugin["transport"], "stdio", "{plugin}");
    }
    assert_eq!(
        (&crash["last_exit"], &crash["restarts"], &crash["pid"]),
        (&"signal 9".into(), &0.into(), &Value::Null)
    );
    let next = crash["next_try_ms"].as_u64().expect("it is started again");
    assert!((3_000_000..=3_600_000).contains(&next), "{next}");
    assert_eq!(
        (&again["last_exit"], &again["restarts"]),
        (&"code 3".into(), &1.into())
    );
    assert_eq!(
        (&clock["last_exit"], &clock["next_try_ms"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(clock["version"], "1.0.0");
    let table = run(&scene.socket(), &["ls", "plugins"]).stdout;
    for word in [
        "state",
        "restarts",
        "last exit",
        "next try",
        "backoff",
        "signal 9",
        "code 3",
    ] {
        assert!(table.contains(word), "{word} is not in {table}");
    }
}

/// The listing says why a plugin was killed, and names its version also when it does not run.
#[test]
fn the_listing_says_what_was_wrong() {
    let scene = Scene::new();
    let late = json!({"restart": {"ready_within_ms": 50, "backoff_ms": [3_600_000]}});
    scene.plugin_with("late", &["hang"], &late);
    let grace = json!({"restart": {"stop_grace_ms": 50}});
    scene.plugin_with("stubborn", &["ignore SIGTERM", READY, "hang"], &grace);
    let _broker = scene.run(&[]);
    let late = scene.reach("late", "backoff");
    assert_eq!(
        (&late["last_exit"], &late["killed"], &late["version"]),
        (&"signal 9".into(), &true.into(), &"1.0.0".into())
    );
    assert_eq!(late["last_fault"]["code"], "HANDSHAKE_TIMEOUT", "{late}");
    scene.reach("stubborn", "ready");
    assert_eq!(run(&scene.socket(), &["stop", "stubborn"]).exit, Some(0));
    let stubborn = scene.reach("stubborn", "stopped");
    assert_eq!(
        (
            &stubborn["last_exit"],
            &stubborn["killed"],
            &stubborn["last_fault"]
        ),
        (&"signal 9".into(), &true.into(), &Value::Null)
    );
    let logs = run(&scene.socket(), &["logs", "stubborn"]).stdout;
    assert!(
        logs.contains("killed because it did not end in its grace"),
        "{logs}"
    );
    let table = run(&scene.socket(), &["ls", "plugins"]).stdout;
    for words in [
        "signal 9 (killed)",
        "HANDSHAKE_TIMEOUT: it was not ready within 50ms",
    ] {
        assert!(table.contains(words), "{words} is not in {table}");
    }
    let outcome = run(&scene.socket(), &["start", "late"]);
    outcome.assert_failed(1, "PROVIDER_GONE");
    assert!(outcome.stderr.contains("HANDSHAKE_TIMEOUT"), "{outcome:?}");
}

/// A call to a plugin that was stopped fails at once, and says how to start the plugin.
#[test]
fn a_call_of_a_stopped_plugin_fails_at_once_and_says_how_to_start_it() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    let _broker = scene.run(&[]);
    scene.reach("clock", "ready");
    assert_eq!(run(&scene.socket(), &["stop", "clock"]).exit, Some(0));
    for command in ["call", "ping"] {
        let outcome = run(&scene.socket(), &[command, "clock.now", "--timeout", "1h"]);
        outcome.assert_failed(1, "NOT_READY");
        for part in ["plugin `clock` is stopped", "`callgate start clock`"] {
            assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
        }
    }
    let outcome = run(&scene.socket(), &["call", "clock.now", "--json"]);
    outcome.assert_failed_in_json(1, "NOT_READY");
    assert_eq!(outcome.json()["error"]["context"]["state"], "stopped");
}

/// The text of a failed call has the code and the context with which a plugin distinguishes its errors, not only the
/// JSON.
#[test]
fn a_failed_call_says_the_plugins_own_code_and_context() {
    let scene = Scene::new();
    let error = json!({"code": "NO_\u{1b}NOTE", "message": "there is none", "context": {"id": 7}});
    let steps = [
        READY,
        r#"wait {"type":"request"}"#,
        &format!(r#"send {{"type":"response","id":${{/id}},"error":{error}}}"#),
        "idle",
    ];
    scene.plugin("notes", &steps);
    let _broker = scene.run(&[]);
    let outcome = run(&scene.socket(), &["call", "notes.get"]);
    outcome.assert_failed(1, "HANDLER_ERROR");
    for part in [
        "there is none",
        "the handler's code is NO_\\u{1b}NOTE",
        "its context is {\"id\":7}",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
}
