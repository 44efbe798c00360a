use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Language, write};
use crate::manifest::{Launchers, Manifest, Transport};

fn written(language: Language) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "greeter-2", language).expect("it is empty");
    folder
}

/// Whether a program is installed; prints a note if it is not.
fn has(program: &str) -> bool {
    let version = Command::new(program).arg("--version").output();
    let is_there = version.is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("skipped: there is no {program}");
    }
    is_there
}

fn checks(folder: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(folder).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn each_template_has_a_manifest_that_is_right() {
    for language in Language::ALL {
        let folder = written(language);
        let manifest = Manifest::read(folder.path()).expect("it is right");
        assert_eq!(manifest.name(), "greeter-2");
        let command = manifest
            .command_line(&Launchers::default())
            .expect("it can be started");
        let last = Path::new(command.last().expect("a program"));
        assert!(
            last.starts_with(manifest.folder()) && last.is_file(),
            "{last:?}"
        );
        let is_linked = manifest.backend().transport == Transport::Shm;
        assert_eq!(is_linked, language == Language::Rust);
        let policy = manifest.policy();
        assert!(policy.may_send("greeter-2.greeted") || policy.may_provide("greeter-2.greeted"));
    }
}

#[test]
fn the_name_is_replaced_everywhere() {
    for language in Language::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        for file in write(folder.path(), "greeter-2", language).expect("it is empty") {
            let text = fs::read_to_string(&file).expect("a text");
            assert!(
                !text.contains("my-plugin") && !text.contains("CLIENT"),
                "{file:?}"
            );
        }
    }
}

#[test]
fn a_folder_that_has_something_in_it_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("notes"), "mine").expect("a file");
    for language in Language::ALL {
        let error = write(folder.path(), "greeter", language).expect_err("it is not empty");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
}

#[test]
fn a_name_that_no_plugin_may_have_is_refused_before_anything_is_written() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("new");
    for name in ["Greeter", "data", "a/b", "", "..", "a\"b"] {
        let error = write(&folder, name, Language::Python).expect_err(name);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    assert!(!folder.exists());
}

#[test]
fn languages_are_written_as_they_are_read() {
    for language in Language::ALL {
        assert_eq!(language.to_string().parse(), Ok(language));
    }
    let error = "perl".parse::<Language>().expect_err("there is none");
    assert!(
        error.to_string().contains("python, node and rust"),
        "{error}"
    );
}

#[test]
fn the_rust_template_depends_on_a_client_that_is_there() {
    let folder = written(Language::Rust);
    let text = fs::read_to_string(folder.path().join("Cargo.toml")).expect("a file");
    let document: toml::Table = text.parse().expect("it is TOML");
    let client = &document["dependencies"]["callgate-client"]["path"];
    let client = Path::new(client.as_str().expect("a text"));
    assert!(client.join("src/lib.rs").is_file(), "{client:?}");
    let mode = fs::metadata(folder.path().join("run")).expect("a file");
    assert_eq!(mode.permissions().mode() & 0o100, 0o100);
    checks(folder.path(), "sh", &["-n", "run"]);
}

/// Starts a plugin, sends it these frames, and returns all frames that it writes until it ends.
fn conversation(folder: &Path, command: &[&str], frames: &[Value]) -> Vec<Value> {
    let mut child = Command::new("timeout")
        .arg("60")
        .args(command)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is started");
    let mut stdin = child.stdin.take().expect("a pipe");
    for frame in frames {
        writeln!(stdin, "{frame}").expect("it reads");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("a text");
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("IPC:").expect("a frame"));
    let parsed = lines.map(|line| {
        crate::frame::parse(line.as_bytes()).expect("the runtime understands it");
        serde_json::from_str(line).expect("it is JSON")
    });
    parsed.collect()
}

fn answers(folder: &Path, command: &[&str]) {
    let request = |id, action, params| json!({ "type": "request", "id": id, "action": action, "params": params });
    let said = conversation(
        folder,
        command,
        &[
            json!({ "type": "ping", "nonce": 7 }),
            request("1", "hello", json!({ "name": "A\u{2028}da\r" })),
            json!({ "type": "event.ack", "id": "2", "ok": true }),
            request("2", "hello", json!({})),
            request("3", "bye", json!({})),
        ],
    );
    let mut expected = vec![
        json!({ "type": "ready" }),
        json!({ "type": "pong", "nonce": 7 }),
        json!({ "type": "events.publish", "topic": "greeter-2.greeted", "payload": "A\u{2028}da\r" }),
        json!({ "type": "response", "id": "1", "result": { "text": "Hello, A\u{2028}da\r!" } }),
        json!({ "type": "events.publish", "topic": "greeter-2.greeted", "payload": "world" }),
        json!({ "type": "response", "id": "2", "result": { "text": "Hello, world!" } }),
        json!({ "type": "response", "id": "3",
                "error": { "code": "UNKNOWN_ACTION", "message": "there is no action bye" } }),
    ];
    // The order is not checked: it differs between the templates, of which one sends its answers later than its events.
    for frame in &said {
        let place = expected.iter().position(|expected| expected == frame);
        expected.remove(place.unwrap_or_else(|| panic!("{frame} in {said:?}")));
    }
    assert!(expected.is_empty(), "{expected:?}");
}

#[test]
fn the_python_template_is_ready_and_answers() {
    let folder = written(Language::Python);
    if has("python3") {
        checks(folder.path(), "python3", &["-m", "py_compile", "main.py"]);
        answers(folder.path(), &["python3", "-u", "main.py"]);
    }
}

#[test]
fn the_node_template_is_ready_and_answers() {
    let folder = written(Language::Node);
    if has("node") {
        checks(folder.path(), "node", &["--check", "main.js"]);
        answers(folder.path(), &["node", "main.js"]);
    }
}
