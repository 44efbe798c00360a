//! Folders of plugins on pipes, and a host of them in a process of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use callgate_client::dynamic::{Gate, open_json};
use callgate_client::{Code, Plugin, Result};
use callgate_tests::{PATIENCE, Process, proc, programs};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A host and its plugins, all of which end when this is dropped.
pub(crate) struct Scene {
    directory: TempDir,
    host: Option<Process>,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let directory = TempDir::new().expect("a directory");
        fs::create_dir(directory.path().join("plugins")).expect("a directory");
        Scene {
            directory,
            host: None,
        }
    }

    /// The folder with the plugins' folders.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.directory.path().join("plugins")
    }

    /// Makes a plugin of a kind (`src/stdio/hostile.rs`), with more keys of the manifest.
    pub(crate) fn plugin(&self, name: &str, kind: &str, more: &Value) {
        let command = [programs!().peer, "stdio-plugin", kind];
        let mut manifest =
            json!({"name": name, "version": "1.0.0", "backend": {"command": command}});
        for (key, value) in more.as_object().expect("an object") {
            manifest[key] = value.clone();
        }
        let folder = self.plugins().join(name);
        fs::create_dir(&folder).expect("a directory");
        fs::write(folder.join("manifest.json"), manifest.to_string()).expect("it is written");
    }

    /// Starts the host. A plugin that has not read for `stuck_for` counts as hung.
    pub(crate) fn start(&mut self, stuck_for: Duration) {
        let plugins = self.plugins();
        let stuck_for = stuck_for.as_millis().to_string();
        let arguments = ["stdio-host", &*plugins.to_string_lossy(), &stuck_for];
        let mut host = Process::spawn(self.peer(&arguments));
        assert_eq!(host.expect_line(), "ready");
        self.host = Some(host);
    }

    /// The tests' plugin, as a command for the caller to start on this bus.
    pub(crate) fn peer(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs!().peer);
        command
            .args(arguments)
            .env("CALLGATE_SOCKET", self.socket());
        command
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("bus.sock")
    }

    pub(crate) fn host(&mut self) -> &mut Process {
        self.host.as_mut().expect("it was started")
    }

    /// A plugin in the test's own process.
    pub(crate) fn member(&self, name: &str) -> Plugin {
        let builder = Plugin::builder(name).socket(self.socket());
        builder.connect().expect("connecting to the bus")
    }

    /// The status of all plugins.
    pub(crate) fn status(&mut self) -> Vec<Value> {
        let line = self.host().ask("status");
        serde_json::from_str(&line).expect("a list")
    }

    /// The status of one plugin.
    pub(crate) fn status_of(&mut self, name: &str) -> Value {
        let all = self.status().into_iter();
        let found = all.into_iter().find(|plugin| plugin["name"] == name);
        found.expect("it is supervised")
    }

    /// The last lines of a plugin's log.
    pub(crate) fn log(&mut self, name: &str) -> Vec<Value> {
        let line = self.host().ask(&format!("log {name}"));
        serde_json::from_str(&line).expect("a list")
    }

    /// Waits until all plugins are ready.
    pub(crate) fn await_all_ready(&mut self) -> Vec<Value> {
        self.await_that("all are ready", |all| {
            all.iter().all(|plugin| plugin["state"] == "ready")
        })
    }

    /// Waits until a condition holds for the status of all plugins.
    #[track_caller]
    pub(crate) fn await_that(
        &mut self,
        what: &str,
        holds: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let all = self.status();
            if holds(&all) {
                return all;
            }
            assert!(begun.elapsed() < 3 * PATIENCE, "in vain: {what}: {all:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The same for one plugin.
    #[track_caller]
    pub(crate) fn await_of(
        &mut self,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let of = |plugin: &Value| plugin["name"] == name && holds(plugin);
        let all = self.await_that(what, |all| all.iter().any(of));
        let found = all.into_iter().find(|plugin| plugin["name"] == name);
        found.expect("it is supervised")
    }

    /// The processes that run in a plugin's folder: plugins, and what they have started.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let plugins = self.plugins();
        let all = fs::read_dir("/proc").expect("processes").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| {
            let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
            cwd.is_ok_and(|cwd| cwd.starts_with(&plugins)) && proc::is_alive(*pid)
        })
        .collect()
    }
}

/// Opens a gate of a plugin.
pub(crate) fn open(member: &Plugin, gate: &str) -> Gate {
    let gate = open_json(member, gate).expect("opening");
    gate.wait_ready(PATIENCE).expect("its provider");
    gate.with_timeout(3 * PATIENCE)
}

/// Calls an echo with a number, and checks what comes back.
pub(crate) fn echo(gate: &Gate, number: u64) -> Result<()> {
    let params = json!({"number": number, "text": "x".repeat(32)});
    let result = gate.call_values(std::slice::from_ref(&params))?;
    assert_eq!(result, params, "another call's answer");
    Ok(())
}

/// Whether a call of a plugin that is killed or hangs may end with this code.
pub(crate) fn is_expected(code: Code) -> bool {
    matches!(
        code,
        Code::ProviderGone | Code::NotReady | Code::Timeout | Code::Overloaded
    )
}
