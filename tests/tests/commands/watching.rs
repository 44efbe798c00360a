//! `callgate run --watch`

use std::fs;
use std::time::Duration;

use callgate_tests::Process;
use serde_json::{Value, json};

use crate::plugins::{READY, Scene, is_alive, manifest};
use crate::support::run;

/// How long the test waits to see that nothing happens: several times what it takes until a change is reported.
const QUIET: Duration = Duration::from_secs(1);

/// A bus with a plugin that plays the script in its file `main.script`.
struct Watched {
    scene: Scene,
    broker: Process,
    pid: u32,
}

impl Watched {
    fn new(options: &[&str]) -> Watched {
        let scene = Scene::new();
        scene.plugin("clock", &["@main.script"]);
        fs::write(scene.folder("clock").join("main.script"), script("first"))
            .expect("it is written");
        let broker = scene.run(&[&["--watch"], options].concat());
        let mut watched = Watched {
            scene,
            broker,
            pid: 0,
        };
        watched.pid = watched.expect_ready("clock");
        watched
    }

    fn expect(&mut self, line: &str) {
        let said = self.broker.expect_line();
        assert!(said.contains(line), "{line}: {said}\n{}", self.scene.log());
    }

    /// Waits until the plugin is ready, and returns its process number.
    fn expect_ready(&mut self, name: &str) -> u32 {
        let said = self.broker.expect_line();
        let pid = said.strip_prefix(&format!("{name}: ready, process "));
        pid.and_then(|pid| pid.parse().ok())
            .unwrap_or_else(|| panic!("{said}\n{}", self.scene.log()))
    }

    fn expect_restart(&mut self) {
        self.expect("clock: its files have changed");
        let pid = self.expect_ready("clock");
        assert_ne!(pid, self.pid);
        assert!(!is_alive(self.pid));
        self.pid = pid;
    }

    #[track_caller]
    fn expect_nothing(&mut self) {
        let said = self.broker.line(QUIET);
        assert!(said.is_err(), "{said:?}");
        assert!(is_alive(self.pid));
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.scene.folder("clock").join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        fs::write(path, text).expect("it is written");
    }
}

/// The steps of a plugin that logs this text and reports that it is ready.
fn script(text: &str) -> String {
    format!("log {text}\n{READY}\nidle\n")
}

/// A plugin is restarted when one of its files has changed.
#[test]
fn a_plugin_is_restarted_when_a_file_has_changed() {
    let mut watched = Watched::new(&[]);
    watched.write("main.script", &script("second"));
    watched.expect_restart();
    let logs = run(&watched.scene.socket(), &["logs", "clock"]).stdout;
    assert!(logs.contains("first") && logs.contains("second"), "{logs}");
    // A new file in a new directory, and a change of it.
    watched.write("lib/deep/a.txt", "1");
    watched.expect_restart();
    watched.write("lib/deep/a.txt", "2");
    watched.expect_restart();
    // Some editors write a new file and rename it over the old one.
    let folder = watched.scene.folder("clock");
    fs::write(folder.join(".main.script.new"), script("third")).unwrap();
    fs::rename(folder.join(".main.script.new"), folder.join("main.script")).unwrap();
    watched.expect_restart();
    fs::rename(folder.join("lib"), folder.join("library")).unwrap();
    watched.expect_restart();
    watched.write("library/deep/a.txt", "3");
    watched.expect_restart();
    fs::remove_dir_all(folder.join("library")).unwrap();
    watched.expect_restart();
    watched.expect_nothing();
}

/// A plugin's own data directory and other unrelated files restart nothing. Otherwise a plugin would restart itself
/// whenever it stores a value.
#[test]
fn what_is_no_change_of_the_plugin_restarts_nothing() {
    let mut watched = Watched::new(&[]);
    for file in [
        "data/store/kept",
        ".git/index",
        "target/debug/plugin",
        "node_modules/a/index.js",
        "lib/__pycache__/a.pyc",
        "main.script~",
        ".main.script.swp",
        "#main.script#",
    ] {
        if file.starts_with("lib") {
            watched.write("lib/a.py", "");
            watched.expect_restart();
        }
        for text in ["1", "2"] {
            watched.write(file, text);
        }
    }
    watched.scene.plugin("other", &[READY, "idle"]);
    watched.expect("other: it is new in ");
    watched.expect_ready("other");
    // A file beside the folders, or a folder without a plugin, restarts nothing either.
    fs::write(watched.scene.plugins().join("README.md"), "text").unwrap();
    fs::create_dir_all(watched.scene.plugins().join("docs/images")).unwrap();
    fs::write(watched.scene.plugins().join("docs/images/a.png"), "x").unwrap();
    watched.expect_nothing();
}

#[test]
fn the_folder_of_all_data_is_passed_over() {
    let scene = Scene::new();
    let data = scene.plugins().join("kept");
    scene.plugin("clock", &[READY, "idle"]);
    let mut broker = scene.run(&["--watch", "--data", data.to_str().unwrap()]);
    assert!(broker.expect_line().starts_with("clock: ready"));
    fs::write(data.join("clock").join("file"), "x").unwrap();
    fs::write(data.join("manifest.json"), "{}").unwrap();
    assert!(broker.line(QUIET).is_err());
}

/// A mistake in the manifest leaves the running plugin alone, and is reported.
#[test]
fn a_broken_manifest_keeps_the_old_one_running_and_says_why() {
    let mut watched = Watched::new(&[]);
    let right = fs::read_to_string(watched.scene.folder("clock").join("manifest.json")).unwrap();
    for (wrong, why) in [
        ("{\"name\": ", "manifest.json: "),
        (
            r#"{"name": "clock", "version": "1.0.0", "backend": {"command": ["x"]}, "restrat": {}}"#,
            "`restrat`",
        ),
        (
            r#"{"name": "clokc", "version": "1.0.0", "backend": {"command": ["x"]}}"#,
            "`clokc`",
        ),
    ] {
        watched.scene.write_manifest("clock", wrong);
        watched.expect("clock: it goes on as it was: ");
        let before = watched.pid;
        assert!(is_alive(before));
        // The report comes again with the next change.
        watched.write("main.script", &script("again"));
        watched.expect(why);
    }
    fs::remove_file(watched.scene.folder("clock").join("manifest.json")).unwrap();
    watched.expect("has no manifest");
    watched.expect_nothing();
    watched.scene.write_manifest("clock", &right);
    watched.expect_restart();
    // From then on the new manifest counts.
    let other = manifest("clock", &["@main.script"], &json!({"version": "2.0.0"}));
    watched.scene.write_manifest("clock", &other.to_string());
    watched.expect_restart();
    assert_eq!(watched.scene.listed("clock")["version"], "2.0.0");
}

/// New folders are started and removed ones are stopped, as with `callgate new` and `git checkout`.
#[test]
fn folders_that_come_are_started_and_those_that_go_are_stopped() {
    let mut watched = Watched::new(&[]);
    let plugins = watched.scene.plugins();
    // First, a folder that is broken.
    fs::create_dir(plugins.join("later")).unwrap();
    watched.scene.write_manifest("later", "{}");
    watched.expect("`name` is missing");
    watched.scene.plugin("later", &[READY, "idle"]);
    watched.expect("later: it is new in ");
    let later = watched.expect_ready("later");
    // A plugin whose name is taken.
    fs::create_dir(plugins.join("twin")).unwrap();
    watched.scene.write_manifest(
        "twin",
        &manifest("later", &[READY, "idle"], &json!({})).to_string(),
    );
    watched.expect("there is another plugin `later`");
    // A folder that goes and comes back.
    let away = plugins.with_file_name("away");
    fs::rename(plugins.join("later"), &away).unwrap();
    watched.expect("later: its folder has gone");
    watched.scene.reach("later", "stopped");
    assert!(!is_alive(later));
    fs::write(away.join("file"), "changed elsewhere").unwrap();
    watched.expect_nothing();
    fs::rename(&away, plugins.join("later")).unwrap();
    watched.expect("later: its files have changed");
    watched.expect_ready("later");
    fs::write(plugins.join("later").join("file"), "changed here").unwrap();
    watched.expect("later: its files have changed");
    watched.expect_ready("later");
}

/// A changed file starts a plugin in quarantine, because it may be repaired, and does not start one that somebody has
/// stopped.
#[test]
fn a_change_starts_one_in_quarantine_and_none_that_was_stopped() {
    let mut watched = Watched::new(&[]);
    let socket = watched.scene.socket();
    assert_eq!(run(&socket, &["stop", "clock"]).exit, Some(0));
    watched.expect("clock: stopped");
    watched.write("main.script", &script("second"));
    watched.expect("clock: its files have changed; it stays stopped");
    assert_eq!(watched.scene.listed("clock")["state"], "stopped");
    let once = json!({"restart": {"quarantine_crashes": 1}});
    watched
        .scene
        .write_manifest("clock", &manifest("clock", &["exit 3"], &once).to_string());
    watched.expect("clock: its files have changed; it stays stopped");
    run(&socket, &["start", "clock"]).assert_failed(1, "PROVIDER_GONE");
    watched.expect("clock: quarantined");
    watched.scene.write_manifest(
        "clock",
        &manifest("clock", &["@main.script"], &once).to_string(),
    );
    watched.expect_restart();
}

#[test]
fn programs_are_told_of_changes() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    let mut broker = scene.run(&["--watch", "--json"]);
    let mut next = || -> Value { serde_json::from_str(&broker.expect_line()).expect("JSON") };
    let first = next();
    assert_eq!(first["state"], "ready");
    fs::write(scene.folder("clock").join("file"), "x").unwrap();
    assert_eq!(next(), json!({"notice": "changed", "plugin": "clock"}));
    let second = next();
    assert_eq!(second["state"], "ready");
    assert_ne!(second["pid"], first["pid"]);
    scene.write_manifest("clock", "{}");
    let told = next();
    assert_eq!(
        (&told["notice"], &told["plugin"]),
        (&"unusable".into(), &"clock".into())
    );
    assert!(told["why"].as_str().unwrap().contains("`name`"), "{told}");
    fs::remove_dir_all(scene.folder("clock")).unwrap();
    assert_eq!(next(), json!({"notice": "gone", "plugin": "clock"}));
    scene.plugin("other", &[READY, "idle"]);
    let told = next();
    assert_eq!(
        (&told["notice"], &told["plugin"]),
        (&"new".into(), &"other".into())
    );
    assert_eq!(told["folder"], json!(scene.folder("other")));
}
