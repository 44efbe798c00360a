//! How plugins start and end.

use std::time::Duration;

use callgate::supervision::{Exit, State};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;

use crate::scene::{PATIENCE, READY, Scene, await_that, manifest, quick, reach, told};

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with(['Z', 'X']));
    state == Some(false) && kill(Pid::from_raw(pid as i32), None).is_ok()
}

#[test]
fn a_plugin_is_ready_when_it_says_so_and_ends_with_the_runtime() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    let runtime = scene.start();
    let status = reach(&runtime, "clock", State::Ready);
    let pid = status.supervision.pid.unwrap();
    assert!(is_alive(pid));
    assert_eq!(status.supervision.restarts, 0);
    runtime.stop();
    assert!(!is_alive(pid));
}

#[test]
fn a_plugin_that_ends_is_started_again_and_its_end_is_told() {
    let scene = Scene::new();
    let steps = [READY, "errlog the disk is full", "on 1 exit 3", "idle"];
    scene.plugin("clock", &steps);
    let runtime = scene.start();
    let again = await_that("it is started again", || {
        let status = runtime.plugins().remove(0).supervision;
        (status.restarts == 1 && status.state == State::Ready).then_some(status)
    });
    assert_eq!(again.last_exit, Some(Exit::Code(3)));
    assert_eq!(again.last_fault, None);
    let said = told(&runtime, "clock", "has ended");
    assert!(
        said.contains("code 3") && said.contains("the disk is full"),
        "{said}"
    );
}

/// When a plugin ends, the processes left in its group are killed, too.
#[test]
fn what_is_left_of_its_group_is_killed_with_it() {
    let scene = Scene::new();
    let append = "append left ${pid}";
    scene.plugin("parent", &[READY, "fork @hanging", "sleep 200", "exit 0"]);
    std::fs::write(
        scene.folder("parent").join("hanging"),
        format!("{append}\nhang\n"),
    )
    .unwrap();
    let runtime = scene.start();
    let left = scene.folder("parent").join("left");
    let pid = await_that("the fork runs", || {
        let text = std::fs::read_to_string(&left).ok()?;
        text.lines().next()?.parse().ok()
    });
    await_that("it is killed", || (!is_alive(pid)).then_some(()));
    runtime.stop();
}

/// A process that has left the group and holds the pipes of an ended plugin does not delay its restart.
#[test]
fn a_process_that_left_the_group_with_the_pipes_holds_nothing_up() {
    let scene = Scene::new();
    let steps = [
        READY,
        "on 1 leave @hanging",
        "on 1 sleep 100",
        "on 1 exit 1",
        "idle",
    ];
    let folder = scene.plugin("parent", &steps);
    std::fs::write(
        folder.join("hanging"),
        "append left ${pid}\nflood stdout 0 10\n",
    )
    .unwrap();
    let runtime = scene.start();
    await_that("it is started again", || {
        let status = runtime.plugins().remove(0).supervision;
        (status.restarts == 1 && status.state == State::Ready).then_some(())
    });
    let pid: u32 = await_that("the other runs", || {
        let text = std::fs::read_to_string(folder.join("left")).ok()?;
        text.lines().next()?.parse().ok()
    });
    // Its writes fail because nobody has the other end any more.
    await_that("its pipes have ended", || (!is_alive(pid)).then_some(()));
    runtime.stop();
}

#[test]
fn a_plugin_that_ignores_sigterm_is_killed_after_the_grace() {
    let scene = Scene::new();
    scene.plugin("stubborn", &["ignore SIGTERM", READY, "idle", "hang"]);
    let runtime = scene
        .builder()
        .restart(quick().stop_grace(Duration::from_millis(50)));
    let runtime = runtime.start().unwrap();
    reach(&runtime, "stubborn", State::Ready);
    runtime.stop_plugin("stubborn").unwrap();
    let status = reach(&runtime, "stubborn", State::Stopped).supervision;
    assert_eq!(status.last_exit, Some(Exit::Signal(9)));
    assert_eq!(status.restarts, 0);
}

#[test]
fn a_plugin_that_is_stopped_comes_back_when_it_is_started() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    let runtime = scene.start();
    reach(&runtime, "clock", State::Ready);
    runtime.stop_plugin("clock").unwrap();
    let status = reach(&runtime, "clock", State::Stopped).supervision;
    assert_eq!(
        (status.last_exit, status.pid),
        (Some(Exit::Signal(15)), None)
    );
    runtime.start_plugin("clock").unwrap();
    let first = reach(&runtime, "clock", State::Ready).supervision;
    runtime.restart("clock").unwrap();
    await_that("it is another process", || {
        let status = runtime.plugins().remove(0).supervision;
        (status.state == State::Ready && status.pid != first.pid).then_some(())
    });
    assert!(runtime.restart("nobody").is_err());
}

#[test]
fn exit_code_0_is_a_stop_where_the_manifest_says_so() {
    let scene = Scene::new();
    let more = json!({"restart": "on-failure"});
    scene.plugin_with("once", &[READY, "exit 0"], &more);
    let runtime = scene.start();
    let status = reach(&runtime, "once", State::Stopped).supervision;
    assert_eq!(
        (status.last_exit, status.restarts),
        (Some(Exit::Code(0)), 0)
    );
}

#[test]
fn a_plugin_that_is_never_ready_is_killed_and_at_last_left_alone() {
    let scene = Scene::new();
    let more =
        json!({"restart": {"ready_within_ms": 30, "backoff_ms": [1], "quarantine_crashes": 3}});
    scene.plugin_with("late", &["idle"], &more);
    let runtime = scene.start();
    let status = reach(&runtime, "late", State::Quarantined).supervision;
    assert_eq!(status.last_fault.unwrap().code, "HANDSHAKE_TIMEOUT");
    assert_eq!(status.restarts, 2);
}

#[test]
fn a_plugin_that_answers_no_pings_is_hung() {
    let scene = Scene::new();
    let more = json!({"restart": {"ask_every_ms": 20, "hung_after": 3, "quarantine_crashes": 1}});
    scene.plugin_with("mute", &["mute", READY, "idle"], &more);
    let more = json!({"restart": {"ask_every_ms": 100, "hung_after": 5, "quarantine_crashes": 1}});
    scene.plugin_with("polite", &[READY, "idle"], &more);
    let runtime = scene.start();
    let status = reach(&runtime, "mute", State::Quarantined).supervision;
    let fault = status.last_fault.unwrap();
    assert_eq!(fault.code, "HUNG");
    assert!(fault.why.contains("`ping`s with a `pong`"), "{}", fault.why);
    reach(&runtime, "polite", State::Ready);
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let scene = Scene::new();
    let folder = scene.plugin("none", &[]);
    let backend = json!({"command": ["./is-not-there"]});
    let manifest = json!({"name": "none", "version": "1.0.0", "backend": backend,
        "restart": {"quarantine_crashes": 1}});
    scene.write(&folder, &manifest);
    let runtime = scene.start();
    let status = reach(&runtime, "none", State::Quarantined).supervision;
    let fault = status.last_fault.unwrap();
    assert_eq!(fault.code, "NOT_STARTED");
    assert!(fault.why.contains("is-not-there"), "{}", fault.why);
}

#[test]
fn many_plugins_are_started_quickly() {
    let scene = Scene::new();
    for number in 0..200 {
        scene.plugin(&format!("p{number}"), &[READY, "idle"]);
    }
    let begun = std::time::Instant::now();
    let runtime = scene.start();
    for number in 0..200 {
        reach(&runtime, &format!("p{number}"), State::Ready);
    }
    let all_ready = begun.elapsed();
    println!("200 plugins were ready after {all_ready:?}");
    assert!(all_ready < PATIENCE);
    runtime.stop();
    println!("and all had ended after {:?}", begun.elapsed() - all_ready);
}

/// A folder that is added while the runtime runs can be started.
#[test]
fn a_folder_can_be_added_while_the_runtime_runs() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    let runtime = scene.start();
    let folder = scene.plugin("later", &[READY, "idle"]);
    assert_eq!(runtime.add_folder(&folder).unwrap(), "later");
    reach(&runtime, "later", State::Ready);
    let pid = reach(&runtime, "clock", State::Ready).supervision.pid;
    // Two plugins of one name would take the bus from each other.
    let twin = scene.plugin("twin", &[]);
    for name in ["clock", "callgate-runtime"] {
        scene.write(&twin, &manifest(name, &[READY, "idle"], &json!({})));
        let error = runtime.add_folder(&twin).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    let clock = reach(&runtime, "clock", State::Ready);
    assert_eq!(
        (clock.supervision.pid, clock.folder),
        (pid, scene.folder("clock"))
    );
    assert_eq!(runtime.plugins().len(), 2);
    assert!(runtime.add_folder(scene.folder("nowhere")).is_err());
}
