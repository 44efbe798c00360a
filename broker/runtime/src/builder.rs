//! Settings of a runtime, and starting it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callgate::BrokerHandle;
use callgate::supervision::Restart;

use crate::course::{Limits, OnChange, Plan, PluginStatus, Settings};
use crate::error::RuntimeError;
use crate::manifest::{Launchers, Reserved};
use crate::runtime::{Broken, Runtime};

/// The names of the files that hold a manifest.
const MANIFESTS: [&str; 2] = ["manifest.json", "plugin.toml"];

/// Sets which plugins a runtime has and how it runs them; made by [`Runtime::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    broker: BrokerHandle,
    /// Folders that each hold one plugin.
    folders: Vec<PathBuf>,
    /// Folders that each hold one plugin, or folders of plugins.
    parents: Vec<PathBuf>,
    settings: Settings,
}

impl Runtime {
    /// Begins the settings of a runtime whose plugins are on the bus of this broker.
    pub fn builder(broker: BrokerHandle) -> Builder {
        Builder {
            broker,
            folders: Vec::new(),
            parents: Vec::new(),
            settings: Settings::default(),
        }
    }
}

impl Builder {
    /// Runs the plugin whose manifest is in this folder.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.folders.push(folder.into());
        self
    }

    /// Runs every plugin whose manifest is in a folder inside this one. If this folder itself has a manifest, runs only that plugin.
    pub fn plugins(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.parents.push(folder.into());
        self
    }

    /// Runs a plugin's `backend.entry` that has this extension with this program and arguments; see [`Launchers`].
    pub fn launcher<T: Into<OsString>>(
        mut self,
        extension: &str,
        command: impl IntoIterator<Item = T>,
    ) -> Builder {
        self.settings.launchers = self.settings.launchers.with(extension, command);
        self
    }

    /// Replaces all launchers.
    pub fn launchers(mut self, launchers: Launchers) -> Builder {
        self.settings.launchers = launchers;
        self
    }

    /// The folder in which each plugin gets a folder for its data (`PLUGIN_DATA_DIR`), created before the plugin's first start. By default
    /// each plugin's data is in `data` inside the plugin's own folder.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.settings.data_dir = Some(folder.into());
        self
    }

    /// Limits for the memory and time of the runtime that one plugin may use.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.settings.limits = limits;
        self
    }

    /// How plugins are supervised if their manifests do not say otherwise.
    pub fn restart(mut self, restart: Restart) -> Builder {
        self.settings.restart = restart;
        self
    }

    /// Reserves gates that services of the host provide, so that no plugin from a folder may. This replaces the list of those of the crate
    /// `callgate-services`: `data.kv`, `data.config`, `schedule.register`, `schedule.unregister`. A manifest that claims a reserved gate is
    /// refused. The gates are reserved even while nobody provides them: a plugin that did so would receive what all other plugins store.
    /// Any other service gate (`http.fetch`, `data.sql`) may be provided by a plugin whose manifest says so. A host without services:
    ///
    /// ```
    /// # use callgate_runtime::Builder;
    /// fn without_services(builder: Builder) -> Builder {
    ///     builder.reserved(Vec::<String>::new())
    /// }
    /// # let _ = without_services;
    /// ```
    pub fn reserved<T: Into<String>>(mut self, gates: impl IntoIterator<Item = T>) -> Builder {
        self.settings.reserved = Reserved::new(gates);
        self
    }

    /// Calls a function whenever a plugin's [state](callgate::supervision::Status::state) changes. It runs on the thread that serves all
    /// plugins, so it must neither block nor call the runtime. With it the runtime logs no warnings about crashes.
    pub fn on_change(mut self, call: impl Fn(&PluginStatus) + Send + Sync + 'static) -> Builder {
        self.settings.on_change = OnChange::new(call);
        self
    }

    /// Starts the runtime, which starts its plugins. Returns without waiting until they run.
    ///
    /// A plugin whose manifest cannot be used is left out, and the others are started: see [`Runtime::broken`].
    ///
    /// # Errors
    ///
    /// A folder of plugins cannot be listed; the runtime cannot start its threads or connect to the bus; or this process does not ignore
    /// SIGPIPE.
    pub fn start(self) -> Result<Runtime, RuntimeError> {
        let mut folders = self.folders;
        for parent in &self.parents {
            folders.extend(plugins_in(parent)?);
        }
        let (plans, broken) = plan(&folders, &self.settings);
        Runtime::start(self.broker, Arc::new(self.settings), (plans, broken))
    }
}

/// The folders of the plugins in a folder, ordered by name.
fn plugins_in(parent: &Path) -> Result<Vec<PathBuf>, RuntimeError> {
    if has_manifest(parent) {
        return Ok(vec![parent.to_owned()]);
    }
    let unreadable = |source| RuntimeError::Folder {
        folder: parent.to_owned(),
        source,
    };
    let mut folders = Vec::new();
    for entry in fs::read_dir(parent).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        if has_manifest(&folder) {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}

fn has_manifest(folder: &Path) -> bool {
    MANIFESTS.iter().any(|name| folder.join(name).exists())
}

/// Reads all manifests. Returns the plugins that can be run, and those that cannot.
fn plan(folders: &[PathBuf], settings: &Settings) -> (Vec<Plan>, Vec<Broken>) {
    let (mut plans, mut broken) = (Vec::new(), Vec::new());
    let mut names = BTreeMap::new();
    for folder in folders {
        match Plan::read(folder, settings) {
            Ok(plan) => match names.entry(plan.name.clone()) {
                Entry::Vacant(place) => {
                    place.insert(folder);
                    plans.push(plan);
                }
                Entry::Occupied(first) => broken.push(Broken {
                    folder: folder.clone(),
                    why: format!(
                        "its `name` is {:?}, as that of the plugin in {}",
                        plan.name,
                        first.get().display()
                    ),
                }),
            },
            Err(error) => broken.push(Broken {
                folder: folder.clone(),
                why: error.to_string(),
            }),
        }
    }
    (plans, broken)
}
