//! What stands in the packages' manifests: what they depend on, and whether they can be published.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The packages that are published, in an order in which that is possible.
const PUBLISHED: [&str; 5] = [
    "callgate-layout",
    "callgate-derive",
    "callgate-client",
    "callgate",
    "callgate-cli",
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the workspace").to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).args(["--locked", "--offline"]);
    let output = command.current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a text")
}

/// The workspace's packages by what `cargo metadata` says of them.
fn packages() -> Vec<Value> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

fn name(value: &Value) -> &str {
    value["name"].as_str().expect("a name")
}

/// A program that embeds a broker had to compile a parser of command lines and a histogram.
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
        // Else the name is out of date, and the loop below looks for nothing.
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

/// The client's tests needed the broker and the broker needed the client, so that neither could be
/// published before the other. Of a dependency without a version Cargo publishes nothing.
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

/// A registry refuses some of these when they are missing, and shows nobody the package for want of
/// the others.
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
