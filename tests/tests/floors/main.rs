//! What may import what inside a crate: there are no circles, and in the client there are floors, each of which
//! imports only those below it.
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

/// The folders of the client, the lowest first. A file imports from its own floor and from lower ones.
const CLIENT_FLOORS: [&str; 9] = [
    "base", "link", "handler", "events", "shares", "serve", "call", "session", "api",
];

/// Reads a crate of the workspace from its root file on.
fn of_workspace(root: &str) -> Crate {
    let directory = workspace::root();
    read_crate(root, &|path| {
        std::fs::read_to_string(directory.join(path)).ok()
    })
}

/// The root files of all crates of the workspace, except integration tests.
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

/// No modules import each other in a circle: such files can be understood, tested and changed only together.
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
    // Otherwise the check has found no paths, and so no circles.
    assert!(arrows > 200, "{arrows} arrows");
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

/// Each folder of the client imports only from lower floors.
#[test]
fn the_client_imports_downwards_only() {
    let found = arrows::upward(&of_workspace("client/src/lib.rs"), &CLIENT_FLOORS);
    assert!(found.is_empty(), "upwards:\n{}", found.join("\n"));
}

/// The sources agree with the documented journey of a call.
#[test]
fn a_call_goes_the_way_that_the_architecture_says() {
    let journey = journey::named_files(&workspace::read("ARCHITECTURE.md"));
    let sources = workspace::sources(&["layout/src", "client/src"]);
    let found = journey::faults(&journey, &sources);
    assert!(found.is_empty(), "{journey:?}:\n{}", found.join("\n"));
}
