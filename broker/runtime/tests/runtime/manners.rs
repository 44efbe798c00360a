//! Children that lie, flood the host, or do not read.

use std::time::{Duration, Instant};

use callgate::supervision::{Exit, State, Status};
use callgate_runtime::{Limits, LogStream, Runtime};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::scene::{PATIENCE, READY, Scene, await_that, quick, reach, told};

/// A restart policy that gives up after the first crash.
fn once() -> serde_json::Value {
    json!({"restart": {"quarantine_crashes": 1, "ask_every_ms": 60_000}})
}

/// The last status of a plugin that plays these steps.
fn end_of(steps: &[&str]) -> (Status, Runtime, Scene) {
    let scene = Scene::new();
    scene.plugin_with("liar", steps, &once());
    let runtime = scene.start();
    let status = reach(&runtime, "liar", State::Quarantined).supervision;
    (status, runtime, scene)
}

#[test]
fn a_line_that_never_ends_is_fatal() {
    let (status, ..) = end_of(&[READY, "raw IPC:{", "flood line 0 65536", "hang"]);
    // It may have noticed the end of its pipe before it was killed.
    assert_eq!(status.last_fault.unwrap().code, "FRAME_TOO_LARGE");
}

#[test]
fn too_many_malformed_frames_are_fatal_and_a_few_are_dropped() {
    let (status, runtime, _scene) = end_of(&[READY, r"repeat 3000 raw IPC:nonsense\n", "idle"]);
    assert_eq!(status.last_fault.unwrap().code, "PROTOCOL");
    let counted = runtime.plugins().remove(0).counts.malformed_frames;
    assert!((1001..=3000).contains(&counted), "{counted}");
    // The log says which frame it was, not only where in it the error is.
    told(&runtime, "liar", "it is dropped: nonsense");

    let scene = Scene::new();
    scene.plugin("clumsy", &[r"repeat 30 raw IPC:[1]\n", READY, "idle"]);
    let runtime = scene.start();
    reach(&runtime, "clumsy", State::Ready);
    assert_eq!(runtime.plugins().remove(0).counts.malformed_frames, 30);
}

/// A frame of a service without an `id` is no call, and the log says so once.
#[test]
fn a_frame_that_is_no_call_for_want_of_an_id_is_logged_once() {
    let scene = Scene::new();
    let steps = [r#"repeat 3 send {"type":"counter.get"}"#, READY, "idle"];
    scene.plugin("clumsy", &steps);
    let runtime = scene.start();
    reach(&runtime, "clumsy", State::Ready);
    let lines = runtime.logs("clumsy").unwrap().last(500);
    let about = lines
        .iter()
        .filter(|line| line.text.contains("counter.get"));
    assert_eq!(about.count(), 1, "{lines:?}");
    assert_eq!(runtime.plugins().remove(0).counts.unknown_frames, 3);
}

#[test]
fn one_that_closes_its_stdout_is_asked_to_end() {
    let (status, ..) = end_of(&[READY, "close stdout", "idle", "exit 0"]);
    assert_eq!(status.last_exit, Some(Exit::Signal(15)));
    let fault = status.last_fault.unwrap();
    assert!(fault.why.contains("stdout"), "{}", fault.why);
}

#[test]
fn one_that_closes_its_stdin_is_asked_to_end() {
    let (status, ..) = end_of(&[READY, "close stdin", "hang"]);
    assert_eq!(status.last_exit, Some(Exit::Signal(15)));
    let fault = status.last_fault.unwrap();
    assert!(fault.why.contains("stdin"), "{}", fault.why);
}

#[test]
fn one_that_closes_its_stderr_lives_on() {
    let scene = Scene::new();
    let more = json!({"restart": {"ask_every_ms": 100, "hung_after": 5}});
    scene.plugin_with("quiet", &["close stderr", READY, "idle"], &more);
    let runtime = scene.start();
    reach(&runtime, "quiet", State::Ready);
    // Longer than the runtime waits after a pipe was closed.
    std::thread::sleep(Duration::from_millis(500));
    let status = runtime.plugins().remove(0).supervision;
    assert_eq!((status.state, status.restarts), (State::Ready, 0));
}

/// A pipe that ends because its process does is not reported as a fault of its own.
#[test]
fn an_exit_is_no_closed_pipe() {
    let (status, ..) = end_of(&[READY, "exit 7"]);
    assert_eq!(status.last_exit, Some(Exit::Code(7)));
    assert_eq!(status.last_fault, None);
}

#[test]
fn one_that_does_not_read_is_killed_when_its_queue_stays_full() {
    let scene = Scene::new();
    scene.plugin_with("deaf", &[READY, "hang"], &once());
    let mut limits = Limits::default();
    limits.queued_bytes = 1 << 20;
    limits.stuck_for = Duration::from_millis(100);
    let runtime = scene.builder().limits(limits).start().unwrap();
    reach(&runtime, "deaf", State::Ready);
    let value = json!("x".repeat(100_000));
    let refused = await_that("its queue is full", || {
        runtime.config_changed("deaf", ("key", &value), None).err()
    });
    assert_eq!(refused.code(), callgate_client::Code::Overloaded);
    let status = reach(&runtime, "deaf", State::Quarantined).supervision;
    assert_eq!(status.last_fault.unwrap().code, "HUNG");
}

/// A plugin that floods the host does not keep the others from being heard.
#[test]
fn one_that_floods_keeps_nobody_from_being_heard() {
    let scene = Scene::new();
    for number in 0..4 {
        let stream = ["stdout", "stderr", "frames", "stdout"][number];
        let flood = format!("flood {stream} 0 1000");
        scene.plugin(&format!("flood{number}"), &[READY, &flood]);
    }
    let more = json!({"restart": {"ask_every_ms": 1000, "hung_after": 5}});
    scene.plugin_with("calm", &[READY, "idle"], &more);
    let runtime = scene.start();
    for number in 0..4 {
        reach(&runtime, &format!("flood{number}"), State::Ready);
    }
    let begun = Instant::now();
    for _ in 0..20 {
        runtime.restart("calm").unwrap();
        await_that("it is ready again", || {
            runtime.wait_for("calm", &[State::Ready], PATIENCE)
        });
    }
    println!("20 restarts beside four floods took {:?}", begun.elapsed());
}

#[test]
fn what_it_writes_is_in_its_log_line_by_line() {
    let scene = Scene::new();
    let steps = [
        r"raw one\ntw",
        r"raw o\r\n",
        READY,
        r"err \xff\n",
        "log IPC",
        "raw no line break",
        "idle",
    ];
    scene.plugin("poet", &steps);
    let runtime = scene.start();
    reach(&runtime, "poet", State::Ready);
    told(&runtime, "poet", "IPC");
    runtime.stop_plugin("poet").unwrap();
    told(&runtime, "poet", "no line break");
    let lines = runtime.logs("poet").unwrap().last(500);
    let of = |stream| -> Vec<String> {
        let lines = lines.iter().filter(|line| line.stream == stream);
        lines.map(|line| line.text.to_string()).collect()
    };
    assert_eq!(
        of(LogStream::Stdout),
        ["one", "two", "IPC", "no line break"]
    );
    assert_eq!(of(LogStream::Stderr), ["\u{fffd}"]);
}

#[test]
fn the_environment_is_a_clean_one() {
    let scene = Scene::new();
    let more = json!({"env": {"COLOUR": "blue"}});
    let folder = scene.plugin_with("tidy", &["env", READY, "idle"], &more);
    let data = folder.join("all-data");
    let runtime = scene
        .builder()
        .restart(quick())
        .data_dir(&data)
        .start()
        .unwrap();
    reach(&runtime, "tidy", State::Ready);
    let lines = runtime
        .logs("tidy")
        .unwrap()
        .last_of(LogStream::Stdout, 100);
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.text.split('=').next())
        .collect();
    let mut expected = vec![
        "COLOUR",
        "PLUGIN_API_VERSION",
        "PLUGIN_DATA_DIR",
        "PLUGIN_SLUG",
    ];
    let passed_on = ["HOME", "PATH"]
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some());
    expected.extend(passed_on);
    expected.sort_unstable();
    assert_eq!(names, expected);
    told(&runtime, "tidy", "PLUGIN_SLUG=tidy");
    told(
        &runtime,
        "tidy",
        &format!("PLUGIN_DATA_DIR={}", data.join("tidy").display()),
    );
    assert!(data.join("tidy").is_dir());
}

/// A peer that does not answer a child's call does not delay the starts of other plugins.
#[test]
fn a_peer_that_stalls_holds_up_no_start() {
    let scene = Scene::new();
    let patient = json!({"ask_every_ms": 60_000});
    let linked = json!({"transport": "shm", "restart": patient});
    scene.plugin_with(
        "peer",
        &["provide peer.echo", "errlog it provides", "hang"],
        &linked,
    );
    let runtime = scene.start();
    let pid = reach(&runtime, "peer", State::Ready).supervision.pid;
    let pid = Pid::from_raw(pid.unwrap() as i32);
    told(&runtime, "peer", "it provides");
    kill(pid, Signal::SIGSTOP).unwrap();
    let steps = [
        READY,
        r#"send {"type":"peer.echo","id":"1"}"#,
        "errlog it has asked",
        r#"wait {"type":"response"}"#,
        "errlog it was answered",
        "idle",
    ];
    let more = json!({"runtime_capabilities": ["gate.call:peer.*"]});
    let asker = scene.plugin_with("asker", &steps, &more);
    runtime.add_folder(asker).unwrap();
    told(&runtime, "asker", "it has asked");
    runtime
        .add_folder(scene.plugin("clock", &[READY, "idle"]))
        .unwrap();
    reach(&runtime, "clock", State::Ready);
    // The same holds for the next life of another plugin.
    runtime.restart("clock").unwrap();
    await_that("it is started again", || {
        let all = runtime.plugins().into_iter();
        let mut clock = all.filter(|status| status.name == "clock");
        let clock = clock.next()?.supervision;
        (clock.restarts == 1 && clock.state == State::Ready).then_some(())
    });
    let lines = runtime.logs("asker").unwrap().last(500);
    let is_answered = lines.iter().any(|line| line.text.contains("answered"));
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(!is_answered);
    told(&runtime, "asker", "it was answered");
}
