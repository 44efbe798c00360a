//! Service frames of a plugin on pipes.

use std::fs;

use callgate_runtime::Runtime;
use serde_json::json;

use crate::scene::{Scene, await_that};

/// Sends its frames, and logs the answers.
const SCRIPT: &str = r#"
say() { printf 'IPC:%s\n' "$1"; }
say '{"type":"ready"}'
say '{"type":"data.kv","id":"set","method":"set","key":"a","value":{"n":1}}'
say '{"type":"data.kv","id":"get","method":"get","key":"a"}'
say '{"type":"data.kv","id":"bad","method":"get"}'
say '{"type":"data.config","id":"config","method":"getAll"}'
say '{"type":"schedule.register","id":"register","name":"often","interval_ms":1000}'
while read -r line; do printf 'told %s\n' "$line"; done
"#;

#[test]
fn a_plugin_on_pipes_uses_the_services_by_frames() {
    let scene = Scene::new();
    let theme = [("theme".to_owned(), json!("dark"))];
    scene.services().set_defaults("piped", theme);
    let folder = scene.folder.path().join("piped");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("main.sh"), SCRIPT).expect("it is written");
    let manifest = json!({
        "name": "piped",
        "version": "1.0.0",
        "backend": {"command": ["/bin/sh", "main.sh"]},
        "runtime_capabilities": ["data.kv:self", "runtime.schedule"],
    });
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("it is written");
    let builder = Runtime::builder(scene.broker.handle()).folder(&folder);
    let runtime = builder.start().expect("a runtime");
    let log = runtime.logs("piped").expect("a log");
    let told = |parts: &[&str]| {
        await_that(&parts.join(" "), || {
            let lines = log.last(500);
            let has = |line: &str| parts.iter().all(|part| line.contains(part));
            lines.iter().any(|line| has(&line.text)).then_some(())
        });
    };
    told(&[r#""id":"get""#, r#""result":{"n":1}"#]);
    told(&[
        r#""id":"bad""#,
        r#""code":"INVALID_ARGUMENT""#,
        r#""field":"key""#,
    ]);
    told(&[r#""id":"config""#, r#""result":{"theme":"dark"}"#]);
    told(&[r#""id":"register""#, r#""result":null"#]);
    told(&[r#""action":"schedule.tick""#, r#""name":"often""#]);
}

/// No plugin of a folder may provide a gate of the services: it would get their calls while they are started again.
#[test]
fn no_plugin_of_a_folder_may_provide_a_gate_of_the_services() {
    let scene = Scene::new();
    let listing = scene.broker.snapshot().expect("a listing");
    let gates = listing.gates.iter();
    let gates = gates.filter(|gate| gate.owner == "callgate-services");
    let gates: Vec<_> = gates.map(|gate| gate.name.clone()).collect();
    assert_eq!(gates.len(), 4, "{gates:?}");
    for gate in gates {
        let folder = scene.folder.path().join("claims");
        fs::create_dir_all(&folder).expect("a folder");
        let manifest = json!({
            "name": "claims",
            "version": "1.0.0",
            "backend": {"command": ["/bin/sh"]},
            "runtime_capabilities": [format!("gate.provide:{gate}")],
        });
        fs::write(folder.join("manifest.json"), manifest.to_string()).expect("it is written");
        let runtime = Runtime::builder(scene.broker.handle()).folder(&folder);
        let runtime = runtime.start().expect("a runtime");
        let why = &runtime.broken().first().expect("it is left out").why;
        assert!(why.contains("runtime_capabilities[0]"), "{why}");
        let elsewhere = Runtime::builder(scene.broker.handle())
            .folder(&folder)
            .reserved(["other.gate"]);
        drop(runtime);
        let runtime = elsewhere.start().expect("a runtime");
        assert!(runtime.broken().is_empty(), "{:?}", runtime.broken());
    }
}
