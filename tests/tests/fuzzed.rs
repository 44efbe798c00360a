//! Replays the inputs that fuzzers have found, on the stable toolchain. `tests/fuzz/README.md` says how to find more.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use callgate_tests::fuzzed::TARGETS;
use callgate_tests::workspace::{read, root};

fn names(folder: &str) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder");
    let entries = entries.map(|entry| entry.expect("an entry"));
    let names = entries.map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, entry.path())
    });
    names.collect()
}

#[test]
fn no_input_of_a_corpus_fails() {
    for (target, run) in TARGETS {
        let inputs = names(&format!("tests/fuzz/corpus/{target}"));
        assert!(inputs.len() > 5, "{target} has no corpus");
        for (name, path) in inputs {
            println!("{target}: {name}");
            run(&fs::read(path).expect("an input"));
        }
    }
}

/// Each target has a program and a corpus, so that it is both fuzzed and replayed.
#[test]
fn each_target_has_a_corpus_and_a_program() {
    let all: BTreeSet<String> = TARGETS.map(|(name, _)| name.to_owned()).into();
    let in_corpus: BTreeSet<String> = names("tests/fuzz/corpus")
        .into_iter()
        .map(|n| n.0)
        .collect();
    assert_eq!(in_corpus, all);
    let files = names("tests/fuzz/targets").into_iter();
    let files = files.filter_map(|(name, _)| name.strip_suffix(".rs").map(str::to_owned));
    assert_eq!(files.collect::<BTreeSet<String>>(), all);
    let manifest = read("tests/fuzz/Cargo.toml");
    for name in all {
        let program = format!("name = \"{name}\"\npath = \"targets/{name}.rs\"");
        assert!(manifest.contains(&program), "{name}");
        let call = format!("run(\"{name}\", bytes)");
        assert!(read(&format!("tests/fuzz/targets/{name}.rs")).contains(&call));
    }
}
