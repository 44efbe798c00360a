//! What may import what, inside a crate: no circles, and in the client floors, of which each knows
//! only those below it.
//!
//! `tests/tests/tidy.rs` says which crate may depend on which.
#![forbid(unsafe_code)]

mod arrows;
mod cases;
mod conditions;
mod journey;
mod modules;
mod names;
mod paths;

use std::path::Path;

use callgate_tests::workspace;

use modules::{Crate, read_crate};

/// The folders of the client from the lowest on. A file imports from its own floor and from lower
/// ones.
const CLIENT_FLOORS: [&str; 9] = [
    "base", "link", "handler", "events", "shares", "serve", "call", "session", "api",
];

/// A crate of the workspace from its root file on.
fn of_workspace(root: &str) -> Crate {
    let directory = workspace::root();
    read_crate(root, &|path| {
        std::fs::read_to_string(directory.join(path)).ok()
    })
}

/// The root files of all crates of the workspace but integration tests.
fn roots() -> Vec<String> {
    let directory = workspace::root();
    let mut roots = Vec::new();
    for package in workspace::packages() {
        for target in package["targets"].as_array().expect("a list") {
            if target["kind"][0] != "test" {
                let path = Path::new(target["src_path"].as_str().expect("a path"));
                let path = path.strip_prefix(&directory).expect("it is inside");
                roots.push(path.to_string_lossy().into_owned());
            }
        }
    }
    roots
}

/// Each of 28 files of the client needed all the others: none could be understood, tested or
/// changed by itself.
#[test]
fn no_modules_import_each_other_in_a_circle() {
    let (mut found, mut arrows) = (Vec::new(), 0);
    for root in roots() {
        let of = of_workspace(&root);
        found.extend(arrows::hidden(&of));
        for (name, folder) in arrows::folders(&of) {
            arrows += folder.len();
            for bundle in arrows::bundles(&folder) {
                let modules = bundle.modules.join(", ");
                let circle: Vec<String> = bundle.circle.iter().map(arrows::show).collect();
                let circle = circle.join("\n");
                found.push(format!(
                    "{root}, {name}: each of {modules} needs the others:\n{circle}"
                ));
            }
        }
    }
    // Else the paths were not found, and no circle either.
    assert!(arrows > 200, "{arrows} arrows");
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

/// Without an order of the folders, each new file imported from wherever there was something.
#[test]
fn the_client_imports_downwards_only() {
    let found = arrows::upward(&of_workspace("client/src/lib.rs"), &CLIENT_FLOORS);
    assert!(found.is_empty(), "upwards:\n{}", found.join("\n"));
}

/// The documented journey named five files, and a call passed fourteen.
#[test]
fn a_call_goes_the_way_that_the_architecture_says() {
    let journey = journey::named_files(&workspace::read("ARCHITECTURE.md"));
    let sources = workspace::sources(&["layout/src", "client/src"]);
    let found = journey::faults(&journey, &sources);
    assert!(found.is_empty(), "{journey:?}:\n{}", found.join("\n"));
}
