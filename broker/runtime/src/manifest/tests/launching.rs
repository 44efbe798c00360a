//! Which program and arguments start a plugin.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::super::{LaunchError, Launchers, Manifest};
use super::{folder_with, with};

/// The program and arguments, with the folder's path replaced by `FOLDER`.
fn command_line(backend: Value, launchers: &Launchers) -> Result<Vec<String>, LaunchError> {
    let document = with(json!({ "backend": backend })).to_string();
    let folder = folder_with("manifest.json", &document);
    let program = folder.path().join("start.sh");
    fs::write(&program, "#!/bin/sh\n").expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    // The file is readable but not executable.
    fs::write(folder.path().join("main.rb"), "").expect("a file");
    let manifest = Manifest::read(folder.path()).expect("it is right");
    let words = manifest.command_line(launchers)?;
    let path = folder.path().to_str().expect("a text");
    let shown = |word: &OsString| word.to_str().expect("a text").replace(path, "FOLDER");
    Ok(words.iter().map(shown).collect())
}

#[test]
fn an_entry_is_run_by_the_launcher_of_its_extension() {
    let launchers = Launchers::default().with("rb", ["ruby", "-W0"]);
    let run = |entry: &str| command_line(json!({ "entry": entry }), &launchers);
    assert_eq!(
        run("main.py").as_deref(),
        Ok(&["python3", "-u", "FOLDER/main.py"].map(str::to_owned)[..])
    );
    assert_eq!(
        run("src/main.js").as_deref(),
        Ok(&["node", "FOLDER/src/main.js"].map(str::to_owned)[..])
    );
    assert_eq!(
        run("main.mjs").as_deref(),
        Ok(&["node", "FOLDER/main.mjs"].map(str::to_owned)[..])
    );
    assert_eq!(
        run("main.rb").as_deref(),
        Ok(&["ruby", "-W0", "FOLDER/main.rb"].map(str::to_owned)[..])
    );
    assert_eq!(
        run("plugin").as_deref(),
        Ok(&["FOLDER/plugin".to_owned()][..])
    );
    assert_eq!(
        run("start.sh").as_deref(),
        Ok(&["FOLDER/start.sh".to_owned()][..])
    );
}

#[test]
fn an_entry_that_nothing_runs_is_refused() {
    let error = command_line(json!({ "entry": "main.rb" }), &Launchers::default());
    let message = error.expect_err("it has no launcher").to_string();
    assert!(
        message.contains("`main.rb`") && message.contains(".cjs, .js, .mjs, .py"),
        "{message}"
    );
    let without = Launchers::default().with("py", [] as [&str; 0]);
    assert!(command_line(json!({ "entry": "main.py" }), &without).is_err());
}

#[test]
fn a_command_is_taken_as_it_is() {
    let run = |command: Value| {
        let backend = json!({ "command": command, "entry": "main.py" });
        command_line(backend, &Launchers::none()).expect("it can be started")
    };
    assert_eq!(
        run(json!(["python3", "main.py", ""])),
        ["python3", "main.py", ""]
    );
    assert_eq!(run(json!(["./bin/run"])), ["FOLDER/./bin/run"]);
    assert_eq!(run(json!(["bin/run", "a/b"])), ["FOLDER/bin/run", "a/b"]);
    assert_eq!(run(json!(["/usr/bin/env", "sh"])), ["/usr/bin/env", "sh"]);
}
