//! Folders whose manifest is missing, cannot be read, or is not a document of its language.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::super::{Manifest, ManifestError};
use super::folder_with;

#[test]
fn a_folder_has_one_manifest() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Manifest::read(folder.path()).expect_err("it is empty");
    assert!(matches!(error, ManifestError::Missing { .. }), "{error}");
    for file in ["manifest.json", "plugin.toml"] {
        fs::write(folder.path().join(file), "").expect("a file");
    }
    let error = Manifest::read(folder.path()).expect_err("there are two");
    assert!(matches!(error, ManifestError::Both { .. }), "{error}");
}

#[test]
fn what_is_no_document_is_refused_with_its_line() {
    for (file, text, expected) in [
        ("manifest.json", "{\n\"name\" 1}", "line 2"),
        (
            "manifest.json",
            "{\"name\": \"a\", \"name\": \"b\"}",
            "the key `name` stands there twice",
        ),
        (
            "manifest.json",
            "{\"backend\": {\"entry\": 1, \"entry\": 2}}",
            "`entry` stands there twice",
        ),
        (
            "manifest.json",
            &format!("{}1{}", "[".repeat(200), "]".repeat(200)),
            "recursion",
        ),
        (
            "plugin.toml",
            "name = \"a\"\nname = \"b\"\n",
            "duplicate key",
        ),
        ("plugin.toml", "name = 2024-01-01\n", "in quotes"),
        ("plugin.toml", "name = nan\n", "no number"),
    ] {
        let folder = folder_with(file, text);
        let error = Manifest::read(folder.path()).expect_err(text);
        assert!(matches!(error, ManifestError::Syntax { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(file) && message.contains(expected),
            "{message}"
        );
    }
}

/// A pipe under the manifest's name held up the runtime, and a device filled its memory.
#[test]
fn what_is_no_file_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("manifest.json");
    let fails_with = |expected: &str| {
        let error = Manifest::read(folder.path()).expect_err(expected);
        assert!(matches!(error, ManifestError::Unreadable { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        fs::remove_file(&file).expect("it was there");
    };
    mkfifo(&file, Mode::S_IRWXU).expect("a pipe");
    fails_with("not a file");
    symlink("/dev/zero", &file).expect("a link");
    fails_with("not a file");
    symlink("nowhere", &file).expect("a link");
    fails_with("No such file");
    fs::write(&file, vec![b' '; 1024 * 1024 + 1]).expect("a file");
    fails_with("more than");
    fs::write(&file, b"\xff").expect("a file");
    fails_with("UTF-8");
}
