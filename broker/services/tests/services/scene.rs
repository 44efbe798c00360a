//! A broker, services with a folder, and plugins.

use std::path::Path;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::dynamic::{Gate, open_json};
use callgate_client::{Code, Error, Group, Plugin};
use callgate_services::{Builder, Limits, Services};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A time in which everything happens, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A broker and services.
pub(crate) struct Scene {
    pub(crate) broker: Broker,
    /// `None` while no services run.
    pub(crate) services: Option<Services>,
    pub(crate) folder: TempDir,
    limits: Limits,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Scene::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Scene {
        Scene::on(Broker::builder(), limits)
    }

    pub(crate) fn on(broker: callgate::Builder, limits: Limits) -> Scene {
        let mut scene = Scene {
            broker: broker.without_socket().start().expect("a broker"),
            services: None,
            folder: TempDir::new().expect("a folder"),
            limits,
        };
        scene.start();
        scene
    }

    /// Services that are not started yet.
    pub(crate) fn builder(&self) -> Builder {
        Services::builder(self.folder.path())
            .descriptor(self.broker.connect().expect("a connection"))
            .limits(self.limits.clone())
    }

    pub(crate) fn start(&mut self) {
        self.services = Some(self.builder().start().expect("services"));
    }

    /// Ends the services and starts others.
    pub(crate) fn restart(&mut self) {
        self.services = None;
        self.start();
    }

    pub(crate) fn services(&self) -> &Services {
        self.services.as_ref().expect("services")
    }

    pub(crate) fn member(&self, name: &str) -> Member {
        let socket = self.broker.connect().expect("a connection");
        Member::new(Plugin::builder(name).descriptor(socket).connect())
    }

    /// A plugin whose threads are those of a group.
    pub(crate) fn member_of(&self, group: &Group, name: &str) -> Member {
        let socket = self.broker.connect().expect("a connection");
        let builder = Plugin::builder(name).descriptor(socket).group(group);
        Member::new(builder.connect())
    }

    /// The file of a plugin's keys.
    pub(crate) fn file(&self, plugin: &str) -> std::path::PathBuf {
        kv_folder(self.folder.path()).join(format!("{plugin}.redb"))
    }
}

pub(crate) fn kv_folder(folder: &Path) -> std::path::PathBuf {
    folder.join("kv")
}

/// A plugin that calls the services.
pub(crate) struct Member {
    pub(crate) plugin: Plugin,
}

impl Member {
    fn new(plugin: callgate_client::Result<Plugin>) -> Member {
        Member {
            plugin: plugin.expect("it joins"),
        }
    }

    pub(crate) fn gate(&self, gate: &str) -> Gate {
        let gate = open_json(&self.plugin, gate).expect("a gate");
        let gate = gate.with_timeout(PATIENCE);
        gate.wait_ready(PATIENCE).expect("it is provided");
        gate
    }

    pub(crate) fn try_call(&self, gate: &str, fields: Value) -> Result<Value, Error> {
        self.gate(gate).call_values(&[fields])
    }

    pub(crate) fn call(&self, gate: &str, fields: Value) -> Value {
        let called = self.try_call(gate, fields);
        called.unwrap_or_else(|error| panic!("{gate}: {error:?}"))
    }

    pub(crate) fn kv(&self, fields: Value) -> Value {
        self.call("data.kv", fields)
    }

    pub(crate) fn set(&self, key: &str, value: &Value) {
        let fields = json!({"method": "set", "key": key, "value": value});
        assert_eq!(self.kv(fields), Value::Null);
    }

    pub(crate) fn get(&self, key: &str) -> Value {
        self.kv(json!({"method": "get", "key": key}))
    }

    /// The code and the context of a call that is refused.
    pub(crate) fn refused(&self, gate: &str, fields: Value) -> (String, Value) {
        let error = self.try_call(gate, fields).expect_err("it is refused");
        refusal(&error)
    }
}

/// The code and the context of an error of the services.
pub(crate) fn refusal(error: &Error) -> (String, Value) {
    assert_eq!(error.code(), Code::HandlerError, "{error:?}");
    let context = error.context().expect("a context").clone();
    let code = context["handler_code"].as_str().expect("a code");
    (code.to_owned(), context)
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
