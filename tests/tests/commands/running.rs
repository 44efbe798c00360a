//! `callgate run`

use std::collections::BTreeSet;

use callgate_tests::Process;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::plugins::{READY, Scene, await_that, ends, is_alive, lines};
use crate::support::run;

/// The next lines, in any order.
fn some(process: &mut Process, count: usize) -> BTreeSet<String> {
    (0..count).map(|_| process.expect_line()).collect()
}

fn pid(plugin: &Value) -> u32 {
    let pid = plugin["pid"].as_u64().expect("it runs");
    u32::try_from(pid).expect("a pid")
}

/// It prints for each plugin whether it runs.
#[test]
fn it_says_of_each_plugin_whether_it_runs() {
    let scene = Scene::new();
    let once = json!({"restart": {"quarantine_crashes": 1}});
    scene.plugin("clock", &[READY, "serve"]);
    scene.plugin_with("crash", &["exit 3"], &once);
    scene.plugin_with(
        "once",
        &[READY, "exit 0"],
        &json!({"restart": "on-failure"}),
    );
    let mut broker = scene.run(&[]);
    let said = some(&mut broker, 3);
    let clock = scene.reach("clock", "ready");
    let expected = [
        format!("clock: ready, process {}", pid(&clock)),
        "crash: quarantined, it has ended (code 3); `callgate start crash` starts it again"
            .to_owned(),
    ];
    for line in expected {
        assert!(said.contains(&line), "{line} is not in {said:?}");
    }
    // The plugin may have been seen while it still ran.
    assert!(
        said.iter().any(|line| line.starts_with("once: ")),
        "{said:?}"
    );
    let called = run(
        &scene.socket(),
        &["call", "clock.now", r#"{"zone": "UTC"}"#],
    );
    assert_eq!(
        called.json()["params"],
        json!({"zone": "UTC"}),
        "{called:?}"
    );
}

#[test]
fn it_says_so_to_programs() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    scene.plugin_with(
        "crash",
        &["exit 3"],
        &json!({"restart": {"backoff_ms": [3_600_000]}}),
    );
    scene.plugin("broken", &[]);
    scene.write_manifest("broken", "{}");
    let mut broker = scene.run(&["--json"]);
    let said = some(&mut broker, 3);
    let said: Vec<Value> = said
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let by = |key: &str, value: &str| {
        let found = said.iter().find(|line| line[key] == value);
        found
            .unwrap_or_else(|| panic!("{value} in {said:?}"))
            .clone()
    };
    let clock = by("plugin", "clock");
    assert_eq!(
        (&clock["state"], &clock["why"]),
        (&"ready".into(), &Value::Null)
    );
    assert_eq!(clock["pid"], scene.listed("clock")["pid"]);
    let crash = by("plugin", "crash");
    assert_eq!(
        (&crash["state"], &crash["last_exit"]),
        (&"backoff".into(), &"code 3".into())
    );
    let broken = by("folder", &scene.folder("broken").to_string_lossy());
    assert_eq!(broken["state"], "broken");
    assert!(
        broken["why"]
            .as_str()
            .unwrap()
            .contains("`name` is missing"),
        "{broken}"
    );
}

/// A broken manifest is reported, and the other plugins run.
#[test]
fn a_broken_manifest_is_told_and_the_others_run() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    scene.plugin("broken", &[READY, "idle"]);
    scene.plugin("garbage", &[READY, "idle"]);
    let manifest = json!({"name": "broken", "version": "1.0.0", "backend": {"entry": "a.py", "transport": "smoke"}});
    scene.write_manifest("broken", &manifest.to_string());
    scene.write_manifest("garbage", "{\n\n nonsense");
    let mut broker = scene.run(&[]);
    assert!(broker.expect_line().starts_with("clock: ready"));
    let log = scene.log();
    for part in [
        "broken/manifest.json",
        "`backend.transport`",
        "smoke",
        "`stdio`",
        "`shm`",
        "garbage/manifest.json",
        "line 3",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    // The listing shows it later, too, to those who missed the message.
    let broken = scene.listed("broken");
    assert_eq!(
        (&broken["state"], &broken["last_fault"]["code"]),
        (&"broken".into(), &"UNUSABLE".into())
    );
    let table = run(&scene.socket(), &["ls", "plugins"]).stdout;
    assert!(table.contains("`backend.transport`"), "{table}");
    let logs = run(&scene.socket(), &["logs", "garbage"]).stdout;
    assert!(
        logs.contains("garbage runtime: it is left out: ") && logs.contains("line 3"),
        "{logs}"
    );
    let all = run(&scene.socket(), &["logs"]).stdout;
    assert!(
        all.contains("broken runtime: ") && all.contains("clock runtime: "),
        "{all}"
    );
    let outcome = run(&scene.socket(), &["start", "broken"]);
    outcome.assert_failed(2, "INVALID_ARGUMENT");
    assert!(outcome.stderr.contains("left out"), "{outcome:?}");
    let outcome = run(
        &scene.socket(),
        &["call", "broken.hello", "--timeout", "1h"],
    );
    outcome.assert_failed(1, "NOT_READY");
    assert!(
        outcome.stderr.contains("`backend.transport`"),
        "{outcome:?}"
    );
}

#[test]
fn a_signal_ends_the_plugins_and_then_the_broker() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let scene = Scene::new();
        // This script ends only by a signal.
        scene.plugin("clock", &[READY, "idle"]);
        let mut broker = scene.run(&[]);
        let clock = pid(&scene.reach("clock", "ready"));
        broker.signal(signal);
        assert_eq!(broker.wait().code(), Some(0), "{signal}");
        assert!(!is_alive(clock));
        assert!(!scene.socket().exists());
        assert_eq!(scene.log(), "", "there is nothing to complain of");
    }
}

/// A signal that comes while plugins are started is obeyed at once, before all of them have answered.
#[test]
fn a_signal_is_heard_while_plugins_are_started() {
    let scene = Scene::new();
    scene.plugin("late", &["append started ${pid}", "idle"]);
    let mut broker = scene.run(&[]);
    let late = lines(&scene.folder("late").join("started"), 1)[0]
        .parse()
        .unwrap();
    broker.signal(Signal::SIGTERM);
    assert_eq!(broker.wait().code(), Some(0));
    assert!(!is_alive(late));
}

/// When `callgate run` is killed, its plugins end. Otherwise they would keep their files and exist twice after the
/// next start.
#[test]
fn no_child_outlives_a_kill() {
    let scene = Scene::new();
    scene.plugin("quiet", &[READY, "hang"]);
    scene.plugin("stubborn", &["ignore SIGTERM", READY, "hang"]);
    scene.plugin("linked", &["provide linked.echo", "hang"]);
    let mut linked =
        crate::plugins::manifest("linked", &["provide linked.echo", "hang"], &json!({}));
    linked["backend"]["transport"] = "shm".into();
    scene.write_manifest("linked", &linked.to_string());
    for _ in 0..2 {
        let mut broker = scene.run(&[]);
        let names = ["quiet", "stubborn", "linked"];
        let pids = names.map(|name| pid(&scene.reach(name, "ready")));
        broker.signal(Signal::SIGKILL);
        broker.wait();
        pids.into_iter().for_each(ends);
    }
}

#[test]
fn a_plugin_that_links_the_client_is_run_too() {
    let scene = Scene::new();
    scene.plugin("linked", &[]);
    let steps = ["provide linked.echo", "hang"];
    let mut manifest = crate::plugins::manifest("linked", &steps, &json!({}));
    manifest["backend"]["transport"] = "shm".into();
    scene.write_manifest("linked", &manifest.to_string());
    let mut broker = scene.run(&[]);
    assert!(broker.expect_line().starts_with("linked: ready"));
    assert_eq!(scene.listed("linked")["transport"], "shm");
    let called = run(&scene.socket(), &["call", "linked.echo", "5"]);
    assert_eq!(called.json(), 5, "{called:?}");
}

/// Options say where the plugins' data is stored, and which program runs a language that the runtime does not know.
#[test]
fn data_and_launchers_are_where_the_options_say() {
    let scene = Scene::new();
    scene.plugin("clock", &[]);
    let folder = scene.folder("clock");
    let script = format!("{READY}\nappend told ${{env:PLUGIN_DATA_DIR}}\nidle\n");
    std::fs::write(folder.join("main.script"), script).unwrap();
    let manifest =
        json!({"name": "clock", "version": "1.0.0", "backend": {"entry": "main.script"}});
    scene.write_manifest("clock", &manifest.to_string());
    let script = std::fs::canonicalize(env!("CARGO_BIN_EXE_callgate-script")).unwrap();
    // The launcher's program gets the file as an argument; the `@` makes it read the file.
    let launcher = scene.plugins().with_file_name("launch");
    std::fs::write(
        &launcher,
        format!("#!/bin/sh\nexec {} \"@$2\"\n", script.display()),
    )
    .unwrap();
    let option = format!("script=sh {} word", launcher.display());
    let data = scene.plugins().with_file_name("data");
    let mut broker = scene.run(&["--launcher", &option, "--data", data.to_str().unwrap()]);
    assert!(
        broker.expect_line().starts_with("clock: ready"),
        "{}",
        scene.log()
    );
    let told = &lines(&folder.join("told"), 1)[0];
    assert_eq!(told, &json!(data.join("clock")).to_string());
    assert!(data.join("clock").is_dir() && !folder.join("data").exists());
}

/// A folder may be that of one plugin or contain several, and several may be given.
#[test]
fn folders_are_plugins_or_have_some() {
    let scene = Scene::new();
    scene.plugin("one", &[READY, "idle"]);
    scene.plugin("two", &[READY, "idle"]);
    scene.plugin("three", &[READY, "idle"]);
    let folders = ["one", "two"].map(|name| scene.folder(name));
    let folders = folders.each_ref().map(|folder| folder.to_str().unwrap());
    let mut broker = Process::spawn(scene.command(&[&["run"], &folders[..]].concat()));
    broker.expect_line();
    let said = some(&mut broker, 2);
    assert!(said.iter().all(|line| line.contains(": ready")), "{said:?}");
    assert_eq!(scene.listed("three"), Value::Null);
}

/// The command says so if a folder has no plugin.
#[test]
fn that_there_is_no_plugin_is_said() {
    let scene = Scene::new();
    let mut broker = scene.run(&[]);
    let said = broker.expect_line();
    assert!(said.contains("manifest.json"), "{said}");
}

/// Wrong folders and options are refused at once, with the reason.
#[test]
fn wrong_folders_and_options_are_refused() {
    let scene = Scene::new();
    let nowhere = scene.plugins().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let outcome = run(&scene.socket(), &["run", nowhere]);
    outcome.assert_failed(2, "INVALID_ARGUMENT");
    assert!(outcome.stderr.contains(nowhere), "{outcome:?}");
    run(&scene.socket(), &["run", nowhere, "--json"]).assert_failed_in_json(2, "INVALID_ARGUMENT");
    for wrong in [
        &["run"][..],
        &["run", nowhere, "--launcher", "rb"],
        &["run", nowhere, "--launcher", "=ruby"],
        &["run", nowhere, "--launcher", "rb= "],
    ] {
        let outcome = run(&scene.socket(), wrong);
        assert_eq!(outcome.exit, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("--help"), "{outcome:?}");
    }
    assert!(!scene.socket().exists(), "no broker was left behind");
    // It has the options of `serve`, and refuses to start if there is a broker already.
    let broker = scene.run(&[]);
    let outcome = run(&scene.socket(), &["run", scene.plugins().to_str().unwrap()]);
    outcome.assert_failed(1, "NAME_TAKEN");
    drop(broker);
}

/// On a strict bus, the policy file does not refuse the plugins that the runtime itself has started.
#[test]
fn a_strict_bus_takes_the_plugins_of_its_folders() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "serve"]);
    let file = scene.plugins().with_file_name("policy.json");
    let policy = json!({"plugins": {"callgate-ls-*": {"capabilities": []},
        "callgate-call-*": {"capabilities": ["gate.call:*"]}}});
    std::fs::write(&file, policy.to_string()).unwrap();
    let mut broker = scene.run(&["--strict", "--policy", file.to_str().unwrap()]);
    assert!(broker.expect_line().starts_with("clock: ready"));
    let called = run(&scene.socket(), &["call", "clock.now"]);
    assert_eq!(called.json()["action"], "now", "{called:?}");
    let refused = run(&scene.socket(), &["echo", "stranger.echo"]);
    refused.assert_failed(1, "PERMISSION_DENIED");
    await_that("it is still there", || {
        Some(scene.listed("clock")).filter(|plugin| plugin["state"] == "ready")
    });
}

/// Plugins find what they have stored after the next start, and the services answer them also on a strict bus.
#[test]
fn plugins_have_their_store_settings_and_schedules() {
    let scene = Scene::new();
    let set = r#"send {"type":"data.kv","id":"1","method":"set","key":"a","value":"kept"}"#;
    let steps = [
        READY,
        &format!("on 1 {set}"),
        r#"on 1 wait {"type":"response","id":"1"}"#,
        r#"send {"type":"data.kv","id":"2","method":"get","key":"a"}"#,
        r#"wait {"type":"response","id":"2"}"#,
        "log the value is ${/result}",
        r#"send {"type":"data.config","id":"3","method":"get","key":"theme"}"#,
        r#"wait {"type":"response","id":"3"}"#,
        "log the theme is ${/result}",
        r#"send {"type":"schedule.register","id":"4","name":"often","interval_ms":1000}"#,
        r#"wait {"type":"request","action":"schedule.tick"}"#,
        "log it ticked",
        "idle",
    ];
    let more = json!({
        "runtime_capabilities": ["data.kv:self", "runtime.schedule"],
        "settings": {"theme": {"default": "dark"}},
    });
    scene.plugin_with("keeper", &steps, &more);
    let file = scene.plugins().with_file_name("policy.json");
    let policy = json!({"plugins": {"callgate-logs-*": {"capabilities": ["gate.call:callgate.runtime.logs"]}}});
    std::fs::write(&file, policy.to_string()).unwrap();
    for options in [&[][..], &["--strict", "--policy", file.to_str().unwrap()]] {
        let mut broker = scene.run(options);
        assert!(broker.expect_line().starts_with("keeper: ready"));
        let logs = await_that("it has ticked", || {
            let logs = run(&scene.socket(), &["logs", "keeper"]).stdout;
            logs.contains("it ticked").then_some(logs)
        });
        for line in [r#"the value is "kept""#, r#"the theme is "dark""#] {
            assert!(logs.contains(line), "{line} is not in {logs}");
        }
        broker.signal(Signal::SIGTERM);
        broker.wait();
    }
    assert!(scene.plugins().join(".callgate").is_dir());
}
