//! The workspace as files and as Cargo describes it, for tests that read the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The directory of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the workspace").to_owned()
}

/// The text of a file of the workspace.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What `cargo metadata` reports about the workspace's packages, without their dependencies.
pub fn packages() -> Vec<Value> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["metadata", "--no-deps", "--locked", "--offline"]);
    command.args(["--format-version", "1"]);
    let output = command.current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

/// The texts of all `.rs` files in these directories, by their paths from the root.
pub fn sources(directories: &[&str]) -> BTreeMap<String, String> {
    let (root, mut sources) = (root(), BTreeMap::new());
    let mut left: Vec<PathBuf> = directories.iter().map(|name| root.join(name)).collect();
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a text");
                let inside = path.strip_prefix(&root).expect("it is inside");
                sources.insert(inside.to_string_lossy().into_owned(), text);
            }
        }
    }
    sources
}
