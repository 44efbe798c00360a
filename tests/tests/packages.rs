//! The packages' manifests: their dependencies, and whether they can be published.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::process::Command;

use callgate_tests::workspace::{packages, root};
use serde_json::Value;

/// The published packages, in an order in which they can be published.
const PUBLISHED: [&str; 7] = [
    "callgate-layout",
    "callgate-derive",
    "callgate-client",
    "callgate",
    "callgate-runtime",
    "callgate-services",
    "callgate-cli",
];

fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).args(["--locked", "--offline"]);
    let output = command.current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a text")
}

fn name(value: &Value) -> &str {
    value["name"].as_str().expect("a name")
}

/// A program that embeds a broker does not compile what only the command line needs, such as a parser of arguments.
#[test]
fn a_host_compiles_nothing_that_only_the_command_line_needs() {
    let only_for_the_command_line = [
        "clap",
        "clap_complete",
        "hdrhistogram",
        "humantime",
        "signal-hook",
        "tracing-subscriber",
    ];
    let needed_by = |package: &str| -> BTreeSet<String> {
        let arguments = ["tree", "--edges", "normal,build", "--prefix", "none"];
        let text = cargo(&[&arguments[..], &["--format", "{p}", "--package", package]].concat());
        let names = text.lines().filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect()
    };
    let by_the_program = needed_by("callgate-cli");
    for name in only_for_the_command_line {
        // If this fails, the name is out of date, and the loop below checks nothing.
        assert!(by_the_program.contains(name), "{name}");
    }
    for package in ["callgate-layout", "callgate-client", "callgate"] {
        let needed = needed_by(package);
        assert!(needed.contains(package), "{needed:?}");
        for name in only_for_the_command_line {
            assert!(!needed.contains(name), "{package} needs {name}");
        }
    }
}

/// Packages can be published one after the other: none needs a later one, and every dependency has a version, without
/// which Cargo publishes nothing.
#[test]
fn packages_can_be_published_one_after_the_other() {
    let packages = packages();
    let is_published = |package: &&Value| package["publish"].is_null();
    let mut published: Vec<&str> = packages.iter().filter(is_published).map(name).collect();
    let mut expected = PUBLISHED.to_vec();
    published.sort_unstable();
    expected.sort_unstable();
    assert_eq!(published, expected);
    for (position, package) in PUBLISHED.iter().enumerate() {
        let found = packages.iter().find(|found| name(found) == *package);
        let found = found.expect("it is a package of the workspace");
        for dependency in found["dependencies"].as_array().expect("a list") {
            let is_ours = !dependency["path"].is_null() && dependency["req"] != "*";
            let is_there = PUBLISHED[..position].contains(&name(dependency));
            assert!(!is_ours || is_there, "{package} needs {}", name(dependency));
        }
    }
}

/// Published packages have the fields that a registry requires, and those without which nobody finds them.
#[test]
fn published_packages_say_what_they_are() {
    let packages = packages();
    for package in packages
        .iter()
        .filter(|found| PUBLISHED.contains(&name(found)))
    {
        for key in ["description", "license", "readme", "rust_version"] {
            assert!(package[key].is_string(), "{}: {key}", name(package));
        }
        for key in ["keywords", "categories"] {
            let words = package[key].as_array().map_or(0, Vec::len);
            assert!((1..=5).contains(&words), "{}: {key}", name(package));
        }
    }
}

/// A build on an unsupported system says so by name, and does not end with errors about types.
#[test]
fn other_systems_are_refused_by_name() {
    let path = root().join("layout/src/lib.rs");
    let text = std::fs::read_to_string(path).expect("it is there");
    let (condition, message) = text.split_once("compile_error!").expect("the error");
    for part in [
        "target_os = \"linux\"",
        "target_pointer_width = \"64\"",
        "target_endian = \"little\"",
    ] {
        assert!(condition.contains(part), "{part}");
    }
    assert!(message.contains("64-bit little-endian Linux"), "{message}");
}

/// The justfile names only packages and tests that exist.
#[test]
fn the_packages_and_targets_of_the_justfile_exist() {
    let text = std::fs::read_to_string(root().join("justfile")).expect("it is there");
    let packages = packages();
    let names: BTreeSet<&str> = packages.iter().map(name).collect();
    let targets = packages
        .iter()
        .flat_map(|package| package["targets"].as_array());
    let targets: BTreeSet<&str> = targets.flatten().map(name).collect();
    let commands = text
        .lines()
        .filter(|line| line.trim().starts_with("cargo "));
    let mut looked_at = 0;
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        for pair in words.windows(2) {
            let known = match pair[0] {
                "--package" | "--exclude" => &names,
                "--test" | "--bench" | "--bin" | "--example" => &targets,
                _ => continue,
            };
            if !pair[1].starts_with("{{") {
                assert!(known.contains(pair[1]), "{command}");
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 8, "{text}");
}
