//! Folders of plugins that play scripts, and a `callgate run` that starts them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use callgate_tests::{PATIENCE, Process, programs};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::run;

pub(crate) const READY: &str = r#"send {"type":"ready"}"#;

/// A directory with folders of plugins in `plugins`, and the bus of `callgate run`.
pub(crate) struct Scene {
    directory: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let directory = TempDir::new().expect("a directory");
        fs::create_dir(directory.path().join("plugins")).expect("a directory");
        Scene { directory }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("bus.sock")
    }

    /// The directory of the plugins' folders.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.directory.path().join("plugins")
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.plugins().join(name)
    }

    /// Makes a plugin that plays these steps.
    pub(crate) fn plugin(&self, name: &str, steps: &[&str]) {
        self.plugin_with(name, steps, &json!({}));
    }

    /// The same, with more keys of the manifest.
    pub(crate) fn plugin_with(&self, name: &str, steps: &[&str], more: &Value) {
        fs::create_dir_all(self.folder(name)).expect("a folder");
        self.write_manifest(name, &manifest(name, steps, more).to_string());
    }

    pub(crate) fn write_manifest(&self, name: &str, text: &str) {
        // The file is replaced in one step, because a watching runtime may read it at any moment.
        let (new, file) = (".manifest.new", "manifest.json");
        fs::write(self.folder(name).join(new), text).expect("it is written");
        fs::rename(self.folder(name).join(new), self.folder(name).join(file)).expect("it is moved");
    }

    /// Starts `callgate run` on all plugins, and waits until it listens.
    pub(crate) fn run(&self, options: &[&str]) -> Process {
        let plugins = self.plugins();
        let arguments = [&["run", plugins.to_str().expect("a text")], options].concat();
        let mut process = Process::spawn(self.command(&arguments));
        let line = process.expect_line();
        assert!(
            line.contains(&*self.socket().to_string_lossy()),
            "it says where it listens: {line}"
        );
        process
    }

    /// The program. Its standard error goes to [`Scene::log`].
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs!().program);
        command
            .args(arguments)
            .env("CALLGATE_SOCKET", self.socket());
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file());
        command.stderr(log.expect("a log"));
        command
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// What `callgate run` has written to its standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The entry of a plugin in the listing.
    pub(crate) fn listed(&self, name: &str) -> Value {
        let all = run(&self.socket(), &["ls", "plugins", "--json"]).json();
        let all = all.as_array().expect("a list").clone();
        let found = all.into_iter().find(|plugin| plugin["name"] == name);
        found.unwrap_or_default()
    }

    /// Waits until a plugin is listed in a state.
    #[track_caller]
    pub(crate) fn reach(&self, name: &str, state: &str) -> Value {
        let what = format!("{name} is {state}");
        await_that(&what, || {
            Some(self.listed(name)).filter(|plugin| plugin["state"] == state)
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the log of `callgate run`:\n{}", self.log());
        }
    }
}

/// The manifest of a plugin that plays these steps.
pub(crate) fn manifest(name: &str, steps: &[&str], more: &Value) -> Value {
    let mut command = vec![env!("CARGO_BIN_EXE_callgate-script")];
    command.extend(steps);
    let mut manifest = json!({"name": name, "version": "1.0.0", "backend": {"command": command}});
    for (key, value) in more.as_object().expect("an object") {
        manifest[key] = value.clone();
    }
    manifest
}

/// Waits until `look` finds something.
#[track_caller]
pub(crate) fn await_that<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with(['Z', 'X']));
    state == Some(false) && kill(Pid::from_raw(pid as i32), None).is_ok()
}

/// Waits until a process has ended.
#[track_caller]
pub(crate) fn ends(pid: u32) {
    await_that(&format!("process {pid} ends"), || {
        (!is_alive(pid)).then_some(())
    });
}

/// The lines of a file, once it has so many.
#[track_caller]
pub(crate) fn lines(file: &Path, count: usize) -> Vec<String> {
    await_that(&format!("{count} lines in {}", file.display()), || {
        let text = fs::read_to_string(file).ok()?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}
