//! Plugins on pipes as members of the bus, and the operations of the host.

use std::time::Duration;

use callgate::listing::PluginState;
use callgate::supervision::State;
use callgate_client::{Code, Json, Plugin};
use callgate_runtime::{Runtime, User};
use serde_json::{Value, json};

use crate::scene::{PATIENCE, READY, Scene, await_that, manifest, reach};

fn ask(plugin: &Plugin, gate: &str, params: Value) -> callgate_client::Result<Value> {
    let gate = plugin.subscriber::<(Json,), Json>(gate)?;
    gate.wait_ready(PATIENCE)?;
    gate.with_timeout(PATIENCE)
        .invoke((Json(params),))
        .map(Value::from)
}

fn user() -> User {
    User {
        id: "u7".into(),
        display_name: "Ann".into(),
        avatar_url: None,
        role: "admin".into(),
    }
}

#[test]
fn a_plugin_calls_an_action_of_one_on_pipes() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "serve"]);
    let runtime = scene.start();
    let host = scene.member("host");
    let answer = ask(&host, "clock.tell", json!({"zone": "UTC"})).unwrap();
    assert_eq!(answer["action"], "tell");
    assert_eq!(answer["params"], json!({"zone": "UTC"}));
    assert_eq!(answer["user"]["id"], "host");
    drop(runtime);
}

#[test]
fn a_host_calls_in_a_users_name() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "serve"]);
    let runtime = scene.start();
    reach(&runtime, "clock", State::Ready);
    let caller = user();
    let call = |plugin: &str, params: Value| {
        runtime.call_as(plugin, "tell", &params, (&caller, Some("s1")))
    };
    let answer = call("clock", json!({})).unwrap();
    let expected = json!({"id": "u7", "displayName": "Ann", "avatarUrl": null, "role": "admin"});
    assert_eq!(
        (&answer["user"], &answer["session_id"]),
        (&expected, &json!("s1"))
    );
    assert_eq!(
        call("clock", json!([])).unwrap_err().code(),
        Code::InvalidArgument
    );
    assert_eq!(
        call("nobody", json!({})).unwrap_err().code(),
        Code::InvalidArgument
    );
    runtime.stop_plugin("clock").unwrap();
    reach(&runtime, "clock", State::Stopped);
    assert_eq!(call("clock", json!({})).unwrap_err().code(), Code::NotReady);
}

/// When a plugin ends, its calls end at once, with its last words.
#[test]
fn a_call_ends_with_its_plugin_and_has_its_last_words() {
    let scene = Scene::new();
    let steps = [
        READY,
        r#"wait {"type":"request"}"#,
        "errlog no disk",
        "on 1 exit 3",
        "serve",
    ];
    scene.plugin("clock", &steps);
    let runtime = scene.start();
    let host = scene.member("host");
    let error = ask(&host, "clock.tell", json!({})).unwrap_err();
    assert_eq!(error.code(), Code::ProviderGone, "{error}");
    let context = error.context().unwrap();
    assert_eq!(context["exit"]["code"], 3, "{context}");
    assert_eq!(context["stderr"], json!(["no disk"]));
    reach(&runtime, "clock", State::Ready);
}

#[test]
fn calls_before_serve_ready_find_no_gate() {
    let scene = Scene::new();
    let steps = [
        READY,
        r#"wait {"type":"file.uploaded"}"#,
        r#"send {"type":"serve_ready"}"#,
        "serve",
    ];
    scene.plugin_with("warm", &steps, &json!({"serve_ready_handshake": true}));
    let runtime = scene.start();
    let upload = callgate_runtime::Upload {
        filename: "a.txt".into(),
        path: "/tmp/a.txt".into(),
        size: 3,
        mime_type: "text/plain".into(),
        uploaded_by: "u7".into(),
        uploaded_at: json!(12),
    };
    let early = runtime.wait_for("warm", &[State::Ready], Duration::from_millis(100));
    assert!(early.is_none());
    await_that("it runs", || runtime.file_uploaded("warm", &upload).ok());
    reach(&runtime, "warm", State::Ready);
    ask(&scene.member("host"), "warm.up", json!({})).unwrap();
}

#[test]
fn listings_show_how_plugins_stand() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "serve"]);
    let runtime = scene.start();
    reach(&runtime, "clock", State::Ready);
    let listed = |scene: &Scene| {
        let listing = scene.broker.snapshot().unwrap();
        listing
            .plugins
            .into_iter()
            .find(|plugin| plugin.name == "clock")
    };
    let entry = listed(&scene).unwrap();
    assert_eq!(entry.transport, callgate::listing::Transport::Stdio);
    assert_eq!(entry.state, PluginState::Ready);
    runtime.stop_plugin("clock").unwrap();
    reach(&runtime, "clock", State::Stopped);
    assert_eq!(listed(&scene).unwrap().state, PluginState::Stopped);
    runtime.stop();
    assert_eq!(listed(&scene), None);
}

#[test]
fn a_manifest_that_cannot_be_used_is_told_and_keeps_nobody_else_from_running() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "serve"]);
    let folder = scene.plugin("odd", &[READY]);
    scene.write(&folder, &json!({"name": "odd", "version": 5}));
    let runtime = scene.start();
    reach(&runtime, "clock", State::Ready);
    assert_eq!(runtime.plugins().len(), 1);
    let [broken] = runtime.broken() else {
        panic!("{:?}", runtime.broken());
    };
    assert!(
        broken.folder.ends_with("odd") && broken.why.contains("version"),
        "{}",
        broken.why
    );
}

fn pid(runtime: &Runtime) -> Option<u32> {
    runtime.plugins().remove(0).supervision.pid
}

#[test]
fn a_manifest_is_read_again_unless_it_cannot_be_used() {
    let scene = Scene::new();
    let folder = scene.plugin("clock", &[READY, "serve"]);
    let runtime = scene.start();
    reach(&runtime, "clock", State::Ready);
    let first = pid(&runtime);
    scene.write(&folder, &json!({"name": "clock"}));
    let error = runtime.reload("clock").unwrap_err();
    assert!(error.to_string().contains("manifest.json"), "{error}");
    scene.write(&folder, &manifest("other", &[READY], &json!({})));
    assert!(runtime.reload("clock").is_err());
    assert_eq!(pid(&runtime), first);
    let newer = json!({"version": "2.0.0"});
    scene.write(&folder, &manifest("clock", &[READY, "serve"], &newer));
    runtime.reload("clock").unwrap();
    await_that("it runs anew", || {
        let status = runtime.plugins().remove(0);
        let is_new = status.supervision.pid != first && status.version == "2.0.0";
        (is_new && status.supervision.state == State::Ready).then_some(())
    });
    assert!(runtime.reload("nobody").is_err());
}

#[test]
fn others_on_the_bus_look_after_plugins_by_the_runtimes_gates() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "log tick", "serve"]);
    let runtime = scene.start();
    reach(&runtime, "clock", State::Ready);
    let host = scene.member("host");
    let order = |what: &str, name: &str| {
        let gate = host.subscriber::<(String,), ()>(&format!("callgate.runtime.{what}"))?;
        gate.wait_ready(PATIENCE)?;
        gate.invoke((name.to_owned(),))
    };
    order("stop", "clock").unwrap();
    reach(&runtime, "clock", State::Stopped);
    order("start", "clock").unwrap();
    reach(&runtime, "clock", State::Ready);
    order("restart", "clock").unwrap();
    assert_eq!(
        order("stop", "nobody").unwrap_err().code(),
        Code::InvalidArgument
    );
    let logs = host.subscriber::<(String, u32), Vec<callgate_runtime::RuntimeLogLine>>(
        "callgate.runtime.logs",
    );
    let lines = logs.unwrap().invoke(("clock".into(), 100)).unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.text == "tick" && line.stream == "stdout"),
        "{lines:?}"
    );
}

/// A supervised plugin may not start or stop others.
#[test]
fn supervised_plugins_give_no_orders() {
    let scene = Scene::new();
    let call = r#"send {"type":"callgate.runtime.stop","id":"1","name":"clock"}"#;
    let steps = [
        READY,
        call,
        r#"wait {"type":"response"}"#,
        "log ${/error/code}",
        "serve",
    ];
    let more = json!({"runtime_capabilities": ["gate.call:callgate.runtime.*"]});
    scene.plugin_with("rebel", &steps, &more);
    scene.plugin("clock", &[READY, "serve"]);
    let runtime = scene.start();
    reach(&runtime, "clock", State::Ready);
    crate::scene::told(&runtime, "rebel", "PERMISSION_DENIED");
    reach(&runtime, "clock", State::Ready);
}

#[test]
fn who_follows_gets_what_plugins_write() {
    let scene = Scene::new();
    let answer = r#"send {"type":"response","id":${/id},"result":1}"#;
    let steps = [
        READY,
        r#"wait {"type":"request"}"#,
        "log followed",
        answer,
        "serve",
    ];
    scene.plugin("clock", &steps);
    let runtime = scene.start();
    reach(&runtime, "clock", State::Ready);
    let host = scene.member("host");
    let (told, lines) = std::sync::mpsc::channel();
    let subscription = host
        .subscribe(
            "callgate.runtime.log",
            move |line: callgate_runtime::RuntimeLogLine| {
                let _ = told.send((line.plugin, line.text));
            },
        )
        .unwrap();
    let _ = ask(&host, "clock.go", json!({}));
    let found = lines.iter().find(|(_, text)| text == "followed");
    assert_eq!(found.unwrap().0, "clock");
    drop(subscription);
    drop(runtime);
}

/// Counts of a plugin continue through all its lives. The answer of one life never counts as that to a request of
/// another.
#[test]
fn what_plugins_do_is_counted_through_all_their_lives() {
    let scene = Scene::new();
    let stray = r#"send {"type":"response","id":"nobody","result":1}"#;
    let odd = r#"send {"type":"odd"}"#;
    let steps = [stray, stray, odd, READY, "on 1 exit 1", "serve"];
    scene.plugin("clock", &steps);
    let runtime = scene.start();
    await_that("it runs anew", || {
        let status = runtime.plugins().remove(0).supervision;
        (status.restarts == 1 && status.state == State::Ready).then_some(())
    });
    ask(&scene.member("host"), "clock.tell", json!({})).unwrap();
    let counts = runtime.plugins().remove(0).counts;
    assert_eq!(
        (
            counts.stray_responses,
            counts.unknown_frames,
            counts.requests
        ),
        (4, 2, 1)
    );
    assert!(counts.frames >= 9, "{counts:?}");
}

#[test]
fn a_plugin_that_links_the_client_is_supervised_alike() {
    let scene = Scene::new();
    let steps = [
        "errlog linking",
        "provide linked.tell",
        "on 1 sleep 100",
        "on 1 exit 4",
        "hang",
    ];
    scene.plugin_with("linked", &steps, &json!({"transport": "shm"}));
    let runtime = scene.start();
    await_that("it runs anew", || {
        let status = runtime.plugins().remove(0).supervision;
        (status.restarts == 1 && status.state == State::Ready).then_some(())
    });
    let said = crate::scene::told(&runtime, "linked", "has ended");
    assert!(
        said.contains("code 4") && said.contains("linking"),
        "{said}"
    );
    let host = scene.member("host");
    let gate = host.subscriber::<(u32,), u32>("linked.tell").unwrap();
    gate.wait_ready(PATIENCE).unwrap();
    assert_eq!(gate.invoke((7,)).unwrap(), 7);
    let listing = scene.broker.snapshot().unwrap();
    let entry = listing
        .plugins
        .iter()
        .find(|plugin| plugin.name == "linked")
        .unwrap();
    assert_eq!(entry.transport, callgate::listing::Transport::Shm);
    let error = runtime
        .call_as("linked", "tell", &json!({}), (&user(), None))
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    runtime.stop_plugin("linked").unwrap();
    reach(&runtime, "linked", State::Stopped);
}

/// A linked plugin whose handler hangs is started again.
#[test]
fn a_linked_plugin_whose_handler_hangs_is_started_again() {
    let scene = Scene::new();
    let steps = ["provide linked.tell", "hang"];
    let more = json!({"transport": "shm", "restart": {"ask_every_ms": 150, "hung_after": 3, "backoff_ms": [1]}});
    scene.plugin_with("linked", &steps, &more);
    let runtime = scene.start();
    reach(&runtime, "linked", State::Ready);
    let host = scene.member("host");
    let gate = host.subscriber::<(u32,), u32>("linked.tell").unwrap();
    gate.wait_ready(PATIENCE).unwrap();
    let hung = gate.with_timeout(Duration::from_millis(100));
    assert_eq!(hung.invoke((13,)).unwrap_err().code(), Code::Timeout);
    // It counts as hung only while calls wait.
    let status = await_that("it is started again", || {
        let _ = hung.invoke((1,));
        let status = runtime.plugins().remove(0).supervision;
        (status.restarts > 0 && status.state == State::Ready).then_some(status)
    });
    assert_eq!(status.last_fault.unwrap().code, "HUNG");
    gate.wait_ready(PATIENCE).unwrap();
    assert_eq!(gate.with_timeout(PATIENCE).invoke((2,)).unwrap(), 2);
}
