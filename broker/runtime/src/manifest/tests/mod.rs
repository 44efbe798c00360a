mod cases;
mod declared;
mod files;
mod frames;
mod launching;
mod policies;
mod reading;
mod urls;
mod wrong;

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Manifest, ManifestError};

/// A manifest with only the required keys, and with `more` keys added or replaced.
fn with(more: Value) -> Value {
    let mut document = json!({
        "name": "chat-counter",
        "version": "1.2.3",
        "backend": { "entry": "main.py" },
    });
    let Value::Object(more) = more else {
        panic!("keys of a manifest: {more}");
    };
    for (key, value) in more {
        document[key] = value;
    }
    document
}

fn declaring(capabilities: &[&str]) -> Value {
    with(json!({ "runtime_capabilities": capabilities }))
}

/// Reads a folder with this manifest. The folder is removed again.
fn read(document: &Value) -> Result<Manifest, ManifestError> {
    let folder = folder_with("manifest.json", &document.to_string());
    Manifest::read(folder.path())
}

fn folder_with(file: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(file), text).expect("a file");
    folder
}

/// Reads a manifest that must be refused. Returns the error's key, what was found and what is allowed.
fn wrong(document: &Value) -> (String, String, String) {
    match read(document) {
        Err(ManifestError::Key {
            key,
            found,
            allowed,
            ..
        }) => (key, found, allowed),
        other => panic!("{document}: {other:?}"),
    }
}
