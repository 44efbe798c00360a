//! What callers are told about a plugin that is not there.

use std::time::Duration;

use callgate::listing::PluginState;
use callgate::supervision::{Restart, State};
use callgate_client::{Code, Error, Plugin, dynamic};
use callgate_runtime::{Runtime, User};
use serde_json::json;

use crate::scene::{PATIENCE, READY, Scene, await_that, manifest, reach};

/// Long enough to ask the broker for the reason, and no longer.
const LOOK: Duration = Duration::from_millis(20);

/// The errors for a gate of four operations: a call, a sent call, a wait for the gate, and a question for its types.
fn told(host: &Plugin, gate: &str) -> [Error; 4] {
    let opened = dynamic::open_json(host, gate).expect("it opens");
    // A plugin has stopped a moment before the broker hears that its gates are gone.
    await_that("the gate is gone", || {
        (!opened.has_function()).then_some(())
    });
    let called = opened.call_values(&[]).expect_err("nobody is there");
    let sent = opened.send(b"[]").and_then(|sent| sent.wait());
    let waited = opened.wait_ready(LOOK).expect_err("nobody comes");
    let described = dynamic::describe(host, gate).expect_err("nobody knows");
    [
        called,
        sent.expect_err("nobody is there"),
        waited,
        described,
    ]
}

/// Checks that all of these errors have these texts, and this state in their context.
#[track_caller]
fn all_say(told: &[Error], (state, parts): (&str, &[&str])) {
    for error in told {
        assert_eq!(error.code(), Code::NotReady, "{error}");
        let context = error.context().cloned().unwrap_or_default();
        assert_eq!(
            (&context["plugin"], &context["state"]),
            (&json!("greeter"), &json!(state)),
            "{error}"
        );
        for part in parts {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        // Each text occurs once, also if the reason was known when a wait began and when it ended.
        assert_eq!(
            error.message().matches("plugin `greeter`").count(),
            1,
            "{error}"
        );
    }
}

/// A scene with the greeter, which plays these steps and has reached a state.
fn standing(steps: &[&str], restart: Restart, state: State) -> (Scene, Runtime) {
    let scene = Scene::new();
    scene.plugin("greeter", steps);
    let runtime = scene.builder().restart(restart).start().expect("a runtime");
    reach(&runtime, "greeter", state);
    (scene, runtime)
}

/// A call to a stopped plugin fails with how to start the plugin, and not only with the fact that nobody provides the
/// gate.
#[test]
fn a_call_of_a_stopped_plugin_says_how_to_start_it() {
    let (scene, runtime) = standing(&[READY, "idle"], Restart::default(), State::Ready);
    runtime.stop_plugin("greeter").unwrap();
    reach(&runtime, "greeter", State::Stopped);
    let host = scene.member("Host");
    let told = told(&host, "greeter.hello");
    let parts = ["plugin `greeter` is stopped", "`callgate start greeter`"];
    all_say(&told, ("stopped", &parts));
    assert_eq!(told[0].context().unwrap()["last_exit"], "signal 15");
}

#[test]
fn a_call_of_a_plugin_in_quarantine_says_how_it_ended_last() {
    let restart = Restart::default().quarantine(1, PATIENCE);
    let (scene, _runtime) = standing(&["exit 4"], restart, State::Quarantined);
    let host = scene.member("Host");
    let parts = ["quarantine", "(code 4)", "`callgate start greeter`"];
    all_say(&told(&host, "greeter.hello"), ("quarantined", &parts));
}

#[test]
fn a_call_of_a_plugin_in_back_off_says_when_it_is_tried_again() {
    let restart = Restart::default()
        .backoff([Duration::from_secs(3600)])
        .ready_within(Duration::from_millis(50));
    let (scene, _runtime) = standing(&["hang"], restart, State::Waiting);
    let host = scene.member("Host");
    let told = told(&host, "greeter.hello");
    let parts = ["is started again in 3", "HANDSHAKE_TIMEOUT"];
    all_say(&told, ("backoff", &parts));
    let context = told[0].context().unwrap();
    assert!(
        context["next_try_ms"].as_u64() > Some(3_000_000),
        "{context}"
    );
    assert_eq!(context["last_fault"]["code"], "HANDSHAKE_TIMEOUT");
}

/// A plugin that is starting is named only for gates that it may provide, and not for every absent gate.
#[test]
fn a_plugin_that_is_starting_is_named_for_its_own_gates_alone() {
    let (scene, runtime) = standing(&["hang"], Restart::default(), State::Starting);
    let host = scene.member("Host");
    all_say(
        &told(&host, "greeter.hello"),
        ("starting", &["not ready yet"]),
    );
    for gate in ["greter.hello", "other.x"] {
        for error in told(&host, gate) {
            assert_eq!(error.code(), Code::NotReady);
            assert!(!error.message().contains("greeter`"), "{error}");
            assert_eq!(error.context(), None);
        }
    }
    drop(runtime);
}

/// The same for a linked plugin, which the broker starts.
#[test]
fn the_same_of_a_linked_plugin() {
    let scene = Scene::new();
    let shm = json!({"transport": "shm", "restart": {"quarantine_crashes": 1}});
    scene.plugin_with("greeter", &["hang"], &shm);
    let runtime = scene.start();
    reach(&runtime, "greeter", State::Starting);
    let host = scene.member("Host");
    all_say(
        &told(&host, "greeter.hello"),
        ("starting", &["not ready yet"]),
    );
    for error in told(&host, "greter.hello") {
        assert!(!error.message().contains("greeter`"), "{error}");
    }
    runtime.stop_plugin("greeter").unwrap();
    scene.plugin_with("greeter", &["exit 5"], &shm);
    reach(&runtime, "greeter", State::Stopped);
    runtime.reload("greeter").unwrap();
    runtime.start_plugin("greeter").unwrap();
    reach(&runtime, "greeter", State::Quarantined);
    let parts = ["(code 5)", "`callgate start greeter`"];
    // It has ended before it was ready. The runtime may start it again, so callers are told to wait for it.
    for error in told(&host, "greeter.hello") {
        for part in parts {
            assert!(error.message().contains(part), "{part}: {error}");
        }
    }
}

/// A folder may have another name than its plugin, and callers know the plugin's: they were told nothing.
#[test]
fn a_plugin_that_cannot_be_used_goes_by_the_name_in_its_manifest() {
    let scene = Scene::new();
    let wrong = json!({"version": "1"});
    scene.plugin("whole", &[READY, "idle"]);
    // One of a name that another plugin has goes by its folder.
    for (folder, name) in [("first", "greeter"), ("second", "whole")] {
        let folder = scene.plugin(folder, &[READY]);
        scene.write(&folder, &manifest(name, &[READY], &wrong));
    }
    let runtime = scene.start();
    let host = scene.member("Host");
    all_say(
        &told(&host, "greeter.hello"),
        ("broken", &["is left out", "`version`"]),
    );
    let why = runtime.start_plugin("greeter").unwrap_err().to_string();
    assert!(why.contains("`greeter` is left out"), "{why}");
    let listing = scene.broker.snapshot().unwrap();
    let broken = listing.plugins.iter();
    let broken = broken.filter(|entry| entry.state == PluginState::Broken);
    let broken: Vec<_> = broken.map(|entry| entry.name.as_str()).collect();
    assert_eq!(broken, ["greeter", "second"]);
}

/// The host that runs a plugin was told less than the plugins that call it: that it does not run.
#[test]
fn a_call_in_the_name_of_a_user_says_the_same() {
    let (scene, runtime) = standing(&[READY, "idle"], Restart::default(), State::Ready);
    let user = User {
        id: "7".to_owned(),
        display_name: "Ada".to_owned(),
        avatar_url: None,
        role: "admin".to_owned(),
    };
    let call = |name: &str| {
        let called = runtime.call_as(name, "hello", &json!({}), (&user, None));
        called.expect_err("nobody is there")
    };
    runtime.stop_plugin("greeter").unwrap();
    reach(&runtime, "greeter", State::Stopped);
    let parts = ["plugin `greeter` is stopped", "`callgate start greeter`"];
    all_say(&[call("greeter")], ("stopped", &parts));
    assert_eq!(call("greeter").gate(), Some("greeter.hello"));
    let folder = scene.plugin("odd", &[READY]);
    scene.write(&folder, &json!({"name": "odd"}));
    runtime.add_folder(&folder).unwrap_err();
    let error = call("odd");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("`odd` is left out: "), "{error}");
}

/// A plugin on pipes that calls an absent gate gets the same answer, and can pass it on.
#[test]
fn a_plugin_on_pipes_is_told_too() {
    let scene = Scene::new();
    let may = json!({"runtime_capabilities": ["gate.call:greeter.*"]});
    let steps = [
        READY,
        r#"send {"type":"greeter.hello","id":"1"}"#,
        r#"wait {"type":"response","error":{"code":"NOT_READY","context":{"plugin":"greeter","state":"stopped"}}}"#,
        "log ${/error/message}",
        "idle",
    ];
    scene.plugin("greeter", &[READY, "idle"]);
    let runtime = scene.start();
    reach(&runtime, "greeter", State::Ready);
    runtime.stop_plugin("greeter").unwrap();
    reach(&runtime, "greeter", State::Stopped);
    let folder = scene.plugin_with("asker", &steps, &may);
    runtime.add_folder(&folder).unwrap();
    crate::scene::told(&runtime, "asker", "`callgate start greeter`");
}

/// A loop of calls to an absent gate asks the broker only now and then, so the plugin does not exceed its rate of
/// requests.
#[test]
fn a_loop_of_calls_that_fail_costs_no_requests() {
    let (scene, _runtime) = standing(&[READY, "idle"], Restart::default(), State::Ready);
    let policy = callgate::Policy::new().call("*").requests_per_second(2);
    scene.broker.set_policy("Host", Some(policy)).unwrap();
    let host = scene.member("Host");
    let gates: Vec<_> = (0..20)
        .map(|number| dynamic::open_json(&host, &format!("other.x{number}")).unwrap())
        .collect();
    for gate in gates.iter().cycle().take(2000) {
        let error = gate.call_values(&[]).unwrap_err();
        assert_eq!(error.code(), Code::NotReady, "{error}");
    }
}
