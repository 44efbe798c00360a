//! Children that write more than they may without being asked: they are read more slowly, and nothing else happens to
//! them.

use std::time::Duration;

use callgate::supervision::{Exit, State};
use callgate_client::Code;
use callgate_runtime::{Counts, Limits, LogStream, Runtime, User};
use serde_json::{Value, json};

use crate::scene::{READY, Scene, await_that, reach, told};

/// Limits that some hundred lines use up.
fn tight() -> Limits {
    let mut limits = Limits::default();
    (limits.unasked_percent, limits.unasked_burst) = (1, Duration::from_millis(1));
    limits
}

fn paced(scene: &Scene) -> Runtime {
    let builder = scene.builder().limits(tight());
    builder.start().expect("a runtime")
}

fn counts(runtime: &Runtime, name: &str) -> Counts {
    let all = runtime.plugins().into_iter();
    let found = all.into_iter().find(|plugin| plugin.name == name);
    found.expect("it is supervised").counts
}

/// Waits until a plugin was paused so many times.
fn await_pauses(runtime: &Runtime, name: &str, count: u64) {
    let pauses = || counts(runtime, name).pauses;
    await_that("it is paused", || (pauses() >= count).then_some(()));
}

fn call(runtime: &Runtime, plugin: &str) -> callgate_client::Result<Value> {
    let user = User {
        id: "u7".into(),
        display_name: "Ann".into(),
        avatar_url: None,
        role: "admin".into(),
    };
    runtime.call_as(plugin, "tell", &json!({}), (&user, None))
}

/// A child that writes as fast as it can is read only for a share of the time. It does not take the processor from
/// the others.
#[test]
fn one_that_floods_is_read_for_a_share_of_the_time_alone() {
    let flood = [READY, "flood frames 0 100"];
    let (slow, fast) = (Scene::new(), Scene::new());
    slow.plugin("slow", &flood);
    fast.plugin("fast", &flood);
    let mut endless = Limits::default();
    endless.unasked_percent = 100;
    let fast = fast.builder().limits(endless).start().unwrap();
    let slow = paced(&slow);
    reach(&fast, "fast", State::Ready);
    reach(&slow, "slow", State::Ready);
    let frames = || (counts(&slow, "slow").frames, counts(&fast, "fast").frames);
    let before = frames();
    std::thread::sleep(Duration::from_secs(2));
    let after = frames();
    let (of_slow, of_fast) = (after.0 - before.0, after.1 - before.1);
    println!("{of_slow} frames of the one, {of_fast} of the other");
    assert!(of_slow > 0);
    assert!(2 * of_slow < of_fast, "{of_slow} and {of_fast}");
    assert_eq!(counts(&fast, "fast").pauses, 0);
    // The log names it, and does not fill up with that.
    await_pauses(&slow, "slow", 3);
    told(&slow, "slow", "it is not read from for a while");
    let lines = slow.logs("slow").unwrap().last_of(LogStream::Runtime, 500);
    assert!(lines.len() < 6, "{lines:?}");
}

#[test]
fn a_burst_is_not_held_up() {
    let scene = Scene::new();
    let steps = ["repeat 1000 log line ${n}", READY, "log and more", "idle"];
    scene.plugin("quick", &steps);
    let runtime = scene.start();
    reach(&runtime, "quick", State::Ready);
    told(&runtime, "quick", "and more");
    assert_eq!(counts(&runtime, "quick").pauses, 0);
}

/// A child that is paced does not count as hung: its answers are behind the flood, which the loop has not read yet.
#[test]
fn one_that_is_paced_is_not_hung_and_answers() {
    let scene = Scene::new();
    let more = json!({"restart": {"ask_every_ms": 120, "hung_after": 3}});
    // It takes about a second to read a pipe of short lines.
    let steps = [READY, "fork flood stdout 0 10", "serve"];
    scene.plugin_with("loud", &steps, &more);
    let runtime = paced(&scene);
    reach(&runtime, "loud", State::Ready);
    await_pauses(&runtime, "loud", 3);
    for _ in 0..2 {
        assert_eq!(call(&runtime, "loud").unwrap()["action"], "tell");
    }
    await_pauses(&runtime, "loud", 8);
    let status = runtime.plugins().remove(0).supervision;
    assert_eq!((status.state, status.restarts), (State::Ready, 0));
}

/// A child whose pipe was empty when a long pause began does not count as hung: its answers during the pause are
/// counted.
#[test]
fn one_that_answers_during_a_long_pause_is_not_hung() {
    let scene = Scene::new();
    let more = json!({"restart": {"ask_every_ms": 250, "hung_after": 3}});
    let stray = r#"send {"type":"response","id":"nobody","result":"${x:4000000}"}"#;
    let steps = [READY, r#"wait {"type":"request"}"#, stray, "serve"];
    scene.plugin_with("loud", &steps, &more);
    // The pause takes some seconds: longer than what a plugin that does not answer is given.
    let runtime = paced(&scene);
    reach(&runtime, "loud", State::Ready);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&runtime, "loud"));
        await_pauses(&runtime, "loud", 1);
        // Its answer comes after the pause.
        assert_eq!(call(&runtime, "loud").unwrap()["action"], "tell");
        let status = runtime.plugins().remove(0).supervision;
        assert_eq!((status.state, status.restarts), (State::Ready, 0));
        // The first call has had no answer: it ends with the plugin.
        runtime.stop_plugin("loud").unwrap();
        assert_eq!(
            first.join().unwrap().unwrap_err().code(),
            Code::ProviderGone
        );
    });
}

/// A child that floods and does not answer does count as hung.
#[test]
fn one_that_is_paced_and_does_not_answer_is_hung() {
    let scene = Scene::new();
    let more = json!({"restart": {"ask_every_ms": 20, "hung_after": 2, "quarantine_crashes": 1}});
    let steps = [READY, "mute", "fork flood stdout 0 100", "idle"];
    scene.plugin_with("loud", &steps, &more);
    let runtime = paced(&scene);
    let status = reach(&runtime, "loud", State::Quarantined).supervision;
    assert_eq!(status.last_fault.unwrap().code, "HUNG");
}

#[test]
fn one_that_is_paced_is_stopped_and_started() {
    let scene = Scene::new();
    scene.plugin("loud", &[READY, "flood stdout 0 100"]);
    let runtime = paced(&scene);
    reach(&runtime, "loud", State::Ready);
    await_pauses(&runtime, "loud", 2);
    let before = counts(&runtime, "loud").pauses;
    runtime.restart("loud").unwrap();
    await_that("another life", || {
        let status = runtime.plugins().remove(0).supervision;
        (status.restarts == 1 && status.state == State::Ready).then_some(())
    });
    await_pauses(&runtime, "loud", before + 2);
    runtime.stop_plugin("loud").unwrap();
    reach(&runtime, "loud", State::Stopped);
}

/// The end of a child is noticed although its pipes are not read for a while, and its last output is read.
#[test]
fn the_end_of_one_that_is_paced_is_seen_with_its_last_words() {
    let scene = Scene::new();
    let more = json!({"restart": {"quarantine_crashes": 1}});
    let steps = [
        READY,
        r#"wait {"type":"request"}"#,
        "flood stdout 1000 1000",
        "errlog no disk",
        "exit 7",
    ];
    scene.plugin_with("sad", &steps, &more);
    let runtime = paced(&scene);
    reach(&runtime, "sad", State::Ready);
    let error = call(&runtime, "sad").unwrap_err();
    assert_eq!(error.code(), Code::ProviderGone);
    assert!(error.to_string().contains("no disk"), "{error}");
    let status = reach(&runtime, "sad", State::Quarantined).supervision;
    assert_eq!(status.last_exit, Some(Exit::Code(7)));
    assert!(counts(&runtime, "sad").pauses > 0);
    // After all of its lines come those of the runtime.
    let last = runtime.logs("sad").unwrap().last(1).remove(0);
    assert!(last.number > 1001, "{last:?}");
}

/// An answer of 4 MiB is read in between the output of others, and the frame after it stays the second one.
#[test]
fn a_long_answer_is_the_first_of_two_and_free() {
    let scene = Scene::new();
    let answers = concat!(
        r#"raw IPC:{"type":"response","id":${/id},"result":"${x:4000000}"}\n"#,
        r#"IPC:{"type":"response","id":${/id},"result":"late"}\n"#
    );
    let steps = [READY, r#"wait {"type":"request"}"#, answers];
    let again = [steps[1], steps[2]];
    scene.plugin("long", &[&steps[..], &again, &["idle"]].concat());
    let runtime = scene.start();
    reach(&runtime, "long", State::Ready);
    for round in 1..3 {
        let answer = call(&runtime, "long").unwrap();
        assert_eq!(answer.as_str().map(str::len), Some(4_000_000));
        await_that("the other one is stray", || {
            (counts(&runtime, "long").stray_responses == round).then_some(())
        });
    }
    assert_eq!(counts(&runtime, "long").pauses, 0);
}

/// Output that another thread reads from a child that ends meanwhile is processed before the end.
#[test]
fn a_long_answer_of_one_that_ends_is_not_lost() {
    let scene = Scene::new();
    let more = json!({"restart": {"quarantine_crashes": 1}});
    let steps = [
        READY,
        r#"wait {"type":"request"}"#,
        r#"send {"type":"response","id":${/id},"result":"${x:4000000}"}"#,
        // It ends while its frame is being read.
        "sleep 10",
        "log after it",
        "exit 3",
    ];
    scene.plugin_with("long", &steps, &more);
    let runtime = scene.start();
    reach(&runtime, "long", State::Ready);
    let answer = call(&runtime, "long").unwrap();
    assert_eq!(answer.as_str().map(str::len), Some(4_000_000));
    reach(&runtime, "long", State::Quarantined);
    told(&runtime, "long", "after it");
}

/// Long frames are processed like short ones.
#[test]
fn long_frames_are_frames() {
    let scene = Scene::new();
    let steps = [
        r#"raw IPC:{"type":5,"fill":"${x:100000}"}\n"#,
        r#"send {"type":"ready","fill":"${x:100000}"}"#,
        r#"send {"type":"events.publish","topic":"a.b","payload":"${x:100000}"}"#,
        "idle",
    ];
    scene.plugin("wordy", &steps);
    let runtime = scene.start();
    reach(&runtime, "wordy", State::Ready);
    told(&runtime, "wordy", "events.publish:a.b");
    let counts = counts(&runtime, "wordy");
    assert_eq!((counts.malformed_frames, counts.failed_unheard), (1, 1));
    assert_eq!(runtime.plugins().remove(0).supervision.restarts, 0);
}
