//! A broker, folders of plugins that play scripts, and a runtime for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate::supervision::{Restart, State};
use callgate_client::Plugin;
use callgate_runtime::{Builder, PluginStatus, Runtime};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A time in which everything happens, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A broker and folders of plugins.
pub(crate) struct Scene {
    pub(crate) broker: Broker,
    folder: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Scene::on(Broker::builder())
    }

    pub(crate) fn on(broker: callgate::Builder) -> Scene {
        Scene {
            broker: broker.without_socket().start().expect("a broker"),
            folder: TempDir::new().expect("a folder"),
        }
    }

    /// Makes a plugin that plays these steps.
    pub(crate) fn plugin(&self, name: &str, steps: &[&str]) -> PathBuf {
        self.plugin_with(name, steps, &json!({}))
    }

    /// The same, with more keys of the manifest.
    pub(crate) fn plugin_with(&self, name: &str, steps: &[&str], more: &Value) -> PathBuf {
        let folder = self.folder(name);
        fs::create_dir_all(&folder).expect("a folder");
        self.write(&folder, &manifest(name, steps, more));
        folder
    }

    /// An ordinary plugin of the bus.
    pub(crate) fn member(&self, name: &str) -> Plugin {
        let builder =
            Plugin::builder(name).descriptor(self.broker.connect().expect("a connection"));
        builder.connect().expect("it joins")
    }

    /// The folder of all plugins.
    pub(crate) fn all(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, folder: &Path, manifest: &Value) {
        fs::write(folder.join("manifest.json"), manifest.to_string()).expect("it is written");
    }

    /// A runtime of all plugins that were made.
    pub(crate) fn start(&self) -> Runtime {
        self.builder().start().expect("a runtime")
    }

    pub(crate) fn builder(&self) -> Builder {
        Runtime::builder(self.broker.handle())
            .plugins(self.folder.path())
            .restart(quick())
    }
}

/// The manifest of a plugin that plays these steps.
pub(crate) fn manifest(name: &str, steps: &[&str], more: &Value) -> Value {
    let mut command = vec![env!("CARGO_BIN_EXE_callgate-scripted")];
    command.extend(steps);
    let mut manifest = json!({"name": name, "version": "1.0.0", "backend": {"command": command}});
    for (key, value) in more.as_object().expect("an object") {
        match (key.as_str(), &mut manifest["backend"]) {
            ("env" | "transport", Value::Object(backend)) => {
                backend.insert(key.clone(), value.clone());
            }
            _ => manifest[key] = value.clone(),
        }
    }
    manifest
}

/// A restart policy with short delays, for tests.
pub(crate) fn quick() -> Restart {
    Restart::default()
        .backoff([Duration::from_millis(10)])
        .stop_grace(PATIENCE)
}

pub(crate) const READY: &str = r#"send {"type":"ready"}"#;

/// Waits until a plugin is in a state.
pub(crate) fn reach(runtime: &Runtime, name: &str, state: State) -> PluginStatus {
    let reached = runtime.wait_for(name, &[state], PATIENCE);
    reached.unwrap_or_else(|| panic!("{name} is never {state}: {:?}", runtime.plugins()))
}

/// Waits until `look` finds something.
pub(crate) fn await_that<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a line of a plugin's log contains this text.
pub(crate) fn told(runtime: &Runtime, name: &str, part: &str) -> String {
    let log = runtime.logs(name).expect("a log");
    await_that(part, || {
        let lines = log.last(500);
        let found = lines.iter().find(|line| line.text.contains(part));
        found.map(|line| line.text.to_string())
    })
}
