//! What the author of a plugin is told, who sees only its log.

use callgate::supervision::State;
use callgate_runtime::{LogStream, Runtime};
use serde_json::{Value, json};

use crate::scene::{READY, Scene, reach, told};

/// A plugin that is one shell command, and that goes into quarantine after so many crashes.
fn shell(scene: &Scene, name: &str, line: &str, crashes: u32) {
    let folder = scene.plugin(name, &[]);
    let restart = json!({"backoff_ms": [1], "quarantine_crashes": crashes, "ready_within_ms": 300});
    let backend = json!({"command": ["sh", "-c", line]});
    let manifest =
        json!({"name": name, "version": "1.0.0", "backend": backend, "restart": restart});
    scene.write(&folder, &manifest);
}

fn said(runtime: &Runtime, name: &str) -> Vec<String> {
    let lines = runtime.logs(name).expect("a log").last(500);
    let of_runtime = lines
        .iter()
        .filter(|line| line.stream == LogStream::Runtime);
    of_runtime.map(|line| line.text.to_string()).collect()
}

/// A frame that is refused, and has no id that could be answered, is reported in the log: otherwise it would seem to
/// have succeeded.
#[test]
fn what_a_child_is_not_told_stands_in_its_log() {
    let scene = Scene::new();
    let publishes = r#"raw IPC:{"type":"events.publish","topic":"a.b"}\n"#;
    let answers = r#"raw IPC:{"type":"response","id":"mine"}\n"#;
    scene.plugin("mute", &[READY, publishes, answers, "idle"]);
    let runtime = scene.start();
    let line = told(&runtime, "mute", "events.publish:a.b");
    assert!(line.contains("PERMISSION_DENIED"), "{line}");
    told(&runtime, "mute", "\"mine\"");
}

/// A plugin that makes the same mistake again and again gets few lines about it, which do not push its own lines out
/// of the log.
#[test]
fn one_that_errs_again_and_again_does_not_fill_its_log() {
    let scene = Scene::new();
    let publishes = r#"repeat 900 raw IPC:{"type":"events.publish","topic":"a.b"}\n"#;
    scene.plugin("loud", &[READY, publishes, "raw done\\n", "idle"]);
    let runtime = scene.start();
    told(&runtime, "loud", "done");
    reach(&runtime, "loud", State::Ready);
    // Eight lines a second: they take minutes to push anything out.
    let denied = said(&runtime, "loud");
    assert!(denied.len() < 300, "{}", denied.len());
}

/// The log said `signal 15` and nothing else, as if somebody unknown had killed it.
#[test]
fn the_log_says_that_an_end_was_asked_for() {
    let scene = Scene::new();
    scene.plugin("calm", &[READY, "idle"]);
    let runtime = scene.start();
    let is_ready = || reach(&runtime, "calm", State::Ready);
    is_ready();
    runtime.restart("calm").unwrap();
    told(&runtime, "calm", "restarted on request");
    is_ready();
    runtime.reload("calm").unwrap();
    told(&runtime, "calm", "its manifest read again");
    is_ready();
    runtime.stop_plugin("calm").unwrap();
    told(&runtime, "calm", "stopped on request");
    reach(&runtime, "calm", State::Stopped);
    // Nothing runs any more that could be stopped.
    let before = said(&runtime, "calm").len();
    runtime.stop_plugin("calm").unwrap();
    assert_eq!(said(&runtime, "calm").len(), before);
}

/// A manifest with the wrong transport had its program killed again and again, and nothing said what was expected of it.
#[test]
fn a_linked_plugin_that_never_connects_is_told_what_is_missing() {
    let scene = Scene::new();
    let late =
        json!({"transport": "shm", "restart": {"quarantine_crashes": 1, "ready_within_ms": 50}});
    scene.plugin_with("silent", &["hang"], &late);
    let runtime = scene.start();
    reach(&runtime, "silent", State::Quarantined);
    let line = told(&runtime, "silent", "it has not connected");
    assert!(line.contains("Plugin::connect"), "{line}");
}

/// What a plugin wrote to stdout pushed its last words on stderr out of the log, and nobody was told them.
#[test]
fn much_output_does_not_hide_the_last_words() {
    let scene = Scene::new();
    let line = "echo 'no disk' >&2; sleep 0.2; seq 2000; exit 1";
    shell(&scene, "sad", line, 1);
    let runtime = scene.start();
    let status = reach(&runtime, "sad", State::Quarantined);
    assert_eq!(status.last_on_stderr.as_deref(), Some("no disk"));
    let log = runtime.logs("sad").unwrap();
    assert!(log.last_of(LogStream::Stderr, 1).is_empty());
    told(&runtime, "sad", "its last line on stderr: no disk");
}

/// The error of a life that ended without output does not have the last words of an earlier life.
#[test]
fn what_an_earlier_life_wrote_is_not_told_of_the_next() {
    let scene = Scene::new();
    let line = "test -e was && exit 2; touch was; echo 'no disk' >&2; exit 1";
    shell(&scene, "sad", line, 2);
    let runtime = scene.start();
    reach(&runtime, "sad", State::Quarantined);
    let first = told(&runtime, "sad", "(code 1)");
    assert!(first.contains("no disk"), "{first}");
    let second = told(&runtime, "sad", "(code 2)");
    assert!(!second.contains("no disk"), "{second}");
    told(&runtime, "sad", "callgate start sad");
}

/// If a plugin is killed because its `ready` did not come, the log says which frame was missing.
#[test]
fn which_frame_has_not_come_is_told() {
    let scene = Scene::new();
    shell(&scene, "shy", "sleep 60", 1);
    let runtime = scene.start();
    reach(&runtime, "shy", State::Quarantined);
    told(&runtime, "shy", r#"`IPC:{"type":"ready"}`"#);
}

#[test]
fn which_folder_and_which_file_is_wrong_is_told() {
    let scene = Scene::new();
    for folder in ["one", "two"] {
        let folder = scene.plugin(folder, &[]);
        scene.write(
            &folder,
            &manifest("twin", &json!({"command": ["sleep", "60"]})),
        );
    }
    let folder = scene.plugin("lost", &[]);
    scene.write(&folder, &manifest("lost", &json!({"entry": "mian.py"})));
    let runtime = scene.start();
    let [lost, twin] = runtime.broken() else {
        panic!("{:?}", runtime.broken());
    };
    assert!(lost.why.contains("`mian.py`"), "{}", lost.why);
    let first = scene.folder("one").display().to_string();
    assert!(twin.why.contains(&first), "{}", twin.why);
}

fn manifest(name: &str, backend: &Value) -> Value {
    json!({"name": name, "version": "1.0.0", "backend": backend})
}
