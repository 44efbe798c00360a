//! Pipes that are closed, cut off or left to other processes, and processes that do not end.

use callgate_client::Code;
use serde_json::json;

use crate::attack::Attack;

/// Makes the culprit close a pipe without which it cannot work.
fn closes(kind: &str, pipe: &str) {
    let mut attack = Attack::begin(kind);
    assert_eq!(attack.ask(&json!({})).expect("it answers"), "done");
    let fault = attack.restarted_for("PROVIDER_GONE");
    let why = fault["why"].as_str().expect("a text");
    assert!(why.contains(pipe), "{why}");
    attack.calm_is_served(kind);
    attack.echoes();
}

#[test]
fn one_that_closes_its_stdin() {
    closes("closes-stdin", "stdin");
}

#[test]
fn one_that_closes_its_stdout() {
    closes("closes-stdout", "stdout");
}

/// A plugin does not need its stderr.
#[test]
fn one_that_closes_its_stderr() {
    let mut attack = Attack::begin("closes-stderr");
    assert_eq!(attack.ask(&json!({})).unwrap(), "done");
    attack.calm_is_served("closes stderr");
    attack.echoes();
    assert_eq!(attack.culprit()["restarts"], 0);
}

#[test]
fn one_that_ignores_sigterm() {
    let mut attack = Attack::begin("ignores-sigterm");
    assert_eq!(attack.ask(&json!({})).unwrap(), "done");
    assert_eq!(attack.scene.host().ask("stop culprit"), "done");
    attack.calm_is_served("ignores SIGTERM");
    let stopped = attack.scene.await_of("culprit", "it is stopped", |plugin| {
        plugin["state"] == "stopped"
    });
    assert_eq!(stopped["last_exit"], "signal 9");
}

/// When a plugin has ended, its pipes are no longer read, even if another process holds them, and the plugin is
/// started again.
#[test]
fn one_that_leaves_its_pipes_to_another_process() {
    let mut attack = Attack::begin("leaves-pipes");
    let error = attack.ask(&json!({})).unwrap_err();
    assert_eq!(error.code(), Code::ProviderGone, "{error}");
    attack.calm_is_served("leaves its pipes");
    let back = attack.scene.await_of("culprit", "it is back", |plugin| {
        plugin["state"] == "ready" && plugin["restarts"] == 1
    });
    assert_eq!(back["last_exit"], "code 1");
    attack.echoes();
    callgate_tests::shorthand::await_that("the other process sees the pipes end", || {
        attack.scene.processes().len() == 2
    });
}

#[test]
fn one_that_ends_in_the_middle_of_a_frame() {
    let mut attack = Attack::begin("ends-in-a-frame");
    let error = attack.ask(&json!({})).unwrap_err();
    assert_eq!(error.code(), Code::ProviderGone, "{error}");
    assert_eq!(error.context().unwrap()["exit"]["code"], 3, "{error}");
    attack.calm_is_served("ends in a frame");
    let (_, lines) = attack.log();
    let half = |line: &&serde_json::Value| line["begin"].as_str().unwrap().ends_with("\"resu");
    assert_eq!(lines.iter().filter(half).count(), 1, "{lines:?}");
    attack.echoes();
}
