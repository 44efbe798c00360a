//! `callgate new`

use std::path::Path;
use std::process::Command;

use callgate_tests::Process;
use serde_json::{Value, json};

use crate::plugins::{Scene, await_that};
use crate::support::{Outcome, run};

fn new(scene: &Scene, name: &str, language: &str) -> Outcome {
    let folder = scene.folder(name);
    run(
        &scene.socket(),
        &["new", folder.to_str().expect("a text"), "--lang", language],
    )
}

/// Whether a program exists and can be run.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped what needs {program}, which is not on this machine");
    }
    found
}

/// Runs a new plugin, calls it, and hears its event.
fn greets(scene: &Scene, name: &str) {
    let socket = scene.socket();
    let _broker = scene.run(&[]);
    scene.reach(name, "ready");
    let topic = format!("{name}.greeted");
    let mut listener = Process::spawn(scene.command(&["listen", &topic, "--count", "1"]));
    await_that("it listens", || {
        scene.log().contains("listening").then_some(())
    });
    let gate = format!("{name}.hello");
    let called = run(&socket, &["call", &gate, r#"{"name": "Ada"}"#]);
    assert_eq!(
        called.json(),
        json!({"text": "Hello, Ada!"}),
        "{called:?}\n{}",
        scene.log()
    );
    assert_eq!(listener.expect_line(), r#"["Ada"]"#);
}

/// The plugin that `callgate new` makes runs unchanged.
#[test]
fn a_new_plugin_runs() {
    for (language, program) in [("python", "python3"), ("node", "node")] {
        if has(program) {
            let scene = Scene::new();
            let outcome = new(&scene, "greeter", language);
            assert_eq!(outcome.exit, Some(0), "{outcome:?}");
            greets(&scene, "greeter");
        }
    }
}

/// A new Rust plugin has what Cargo needs. It is built when it is started, with the installed toolchain. The
/// runtime's example `template` shows that its program compiles.
#[test]
fn a_new_rust_plugin_has_what_cargo_needs() {
    let scene = Scene::new();
    let outcome = new(&scene, "greeter", "rust");
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]);
    let output = cargo.current_dir(scene.folder("greeter")).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("a package");
    assert_eq!(metadata["packages"][0]["name"], "greeter");
    let client = metadata["packages"][0]["dependencies"][0].clone();
    let sources = Path::new(
        client["path"]
            .as_str()
            .expect("the sources that this was built from"),
    );
    assert!(sources.join("Cargo.toml").is_file(), "{client}");
}

/// It prints which files it wrote and where, and overwrites nothing.
#[test]
fn it_says_what_it_wrote_and_writes_over_nothing() {
    let scene = Scene::new();
    let outcome = new(&scene, "greeter", "python");
    let folder = scene.folder("greeter");
    for file in ["manifest.json", "main.py"] {
        let path = folder.join(file);
        assert!(
            outcome.stdout.lines().any(|line| Path::new(line) == path),
            "{outcome:?}"
        );
    }
    assert!(
        outcome
            .stdout
            .contains(&format!("callgate run {}", folder.display()))
    );
    new(&scene, "greeter", "python").assert_failed(2, "INVALID_ARGUMENT");
    for name in ["Greeter", "a--b", ".."] {
        let outcome = new(&scene, name, "node");
        outcome.assert_failed(2, "INVALID_ARGUMENT");
        assert!(name == ".." || !scene.folder(name).exists());
    }
    let outcome = new(&scene, "greeter", "cobol");
    assert_eq!(outcome.exit, Some(2));
    assert!(outcome.stderr.contains("python, node, rust"), "{outcome:?}");
    let other = scene.folder("other");
    let outcome = run(
        &scene.socket(),
        &["new", other.to_str().unwrap(), "--lang", "node", "--json"],
    );
    let document = outcome.json();
    assert_eq!(
        (&document["plugin"], &document["folder"]),
        (&"other".into(), &json!(other))
    );
    assert_eq!(
        document["files"],
        json!([other.join("manifest.json"), other.join("main.js")])
    );
}

/// A name without a path makes a folder in the current directory.
#[test]
fn a_name_is_a_folder_here() {
    let scene = Scene::new();
    let mut command = scene.command(&["new", "greeter", "--lang", "node"]);
    let status = command
        .current_dir(scene.plugins())
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    assert!(scene.folder("greeter").join("main.js").is_file());
    assert!(scene.folder("greeter").join("manifest.json").is_file());
}
