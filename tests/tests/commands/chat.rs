//! The example `chat`: the same plugin in three languages, run together by `callgate run`.

use std::fs;
use std::process::Command;

use callgate_tests::Process;
use callgate_tests::workspace::root;
use serde_json::{Value, json};

use crate::plugins::{READY, Scene, await_that};
use crate::support::run;

/// The languages, the program that runs each, and the plugin that each asks for its counts.
const ALL: [(&str, Option<&str>, &str); 3] = [
    ("python", Some("python3"), "node"),
    ("node", Some("node"), "rust"),
    ("rust", None, "python"),
];

/// Copies the example, and replaces each plugin that this machine cannot run by a scripted one. Returns the real
/// ones.
fn copied(scene: &Scene) -> Vec<&'static str> {
    let mut real = Vec::new();
    for (language, program, _) in ALL {
        let name = format!("counter-{language}");
        let from = root().join("examples/chat").join(language);
        let version = |program| Command::new(program).arg("--version").output();
        if program
            .is_some_and(|program| !version(program).is_ok_and(|output| output.status.success()))
        {
            println!("a scripted plugin stands in for {name}: {program:?} is not on this machine");
            // One call comes, which asks what it has counted.
            let wait = r#"wait {"type":"request","action":"counts"}"#;
            let nothing = r#"send {"type":"response","id":${/id},"result":{}}"#;
            scene.plugin(&name, &[READY, wait, nothing, "idle"]);
            continue;
        }
        real.push(language);
        fs::create_dir(scene.folder(&name)).expect("a folder");
        for entry in fs::read_dir(from)
            .expect("the example")
            .flatten()
            .filter(|entry| entry.path().is_file())
        {
            fs::copy(entry.path(), scene.folder(&name).join(entry.file_name()))
                .expect("it is copied");
        }
        if language == "rust" {
            let manifest =
                fs::read_to_string(scene.folder(&name).join("manifest.json")).expect("a manifest");
            let built = format!("{:?}", env!("CARGO_BIN_EXE_callgate-chat"));
            assert!(manifest.contains("\"./run\""), "{manifest}");
            scene.write_manifest(&name, &manifest.replace("\"./run\"", &built));
        }
    }
    real
}

/// The three plugins call each other and hear each other.
#[test]
fn three_languages_call_each_other_and_hear_each_other() {
    let scene = Scene::new();
    let real = copied(&scene);
    let socket = scene.socket();
    let _broker = scene.run(&[]);
    let call = |gate: &str, params: &str| {
        let called = run(&socket, &["call", gate, params, "--timeout", "20s"]);
        assert_eq!(
            called.exit,
            Some(0),
            "{gate}: {called:?}\n{}",
            run(&socket, &["logs"]).stdout
        );
        called.json()
    };
    let counts = |language: &str| call(&format!("counter-{language}.counts"), "{}");
    // When it answers, it already hears the chat.
    real.iter()
        .for_each(|language| assert_eq!(counts(language), json!({})));
    let mut listener = Process::spawn(scene.command(&["listen", "chat.*", "--json"]));
    await_that("it listens", || {
        listener.expect_line().contains("listening").then_some(())
    });
    let mut expected = serde_json::Map::new();
    for (language, times) in real.iter().zip(1..) {
        expected.insert((*language).to_owned(), times.into());
        for n in 0..times {
            let text = format!("message {n}");
            let said = call(
                &format!("counter-{language}.say"),
                &json!({ "text": text }).to_string(),
            );
            assert_eq!(said, json!({"from": language, "text": text}));
        }
    }
    let expected = Value::from(expected);
    for language in &real {
        await_that(&format!("counter-{language} has heard all"), || {
            (counts(language) == expected).then_some(())
        });
    }
    for (language, _, next) in ALL.iter().filter(|(language, ..)| real.contains(language)) {
        let compared = call(&format!("counter-{language}.compare"), "{}");
        assert_eq!(compared["mine"], expected, "{language}");
        if real.contains(next) {
            assert_eq!(compared["theirs"], expected, "{language} of {next}");
        }
        let one = call(&format!("counter-{language}.counts"), r#"{"from": "rust"}"#);
        assert_eq!(one, json!({"rust": expected["rust"]}));
    }
    let spoken = real.iter().map(|language| format!("chat.{language}"));
    let mut heard = Vec::new();
    while !spoken.clone().all(|topic| heard.contains(&topic)) {
        let line: Value = serde_json::from_str(&listener.expect_line()).expect("JSON");
        heard.extend(
            line["topic"]
                .as_str()
                .filter(|_| line["values"].is_array())
                .map(str::to_owned),
        );
    }
}
