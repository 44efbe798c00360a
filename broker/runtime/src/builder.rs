//! Starting a runtime.

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

/// The manifests' names.
const MANIFESTS: [&str; 2] = ["manifest.json", "plugin.toml"];

/// Says which plugins a runtime has and how it runs them; from [`Runtime::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    broker: BrokerHandle,
    /// Each holds one plugin.
    folders: Vec<PathBuf>,
    /// Each holds a plugin, or folders of plugins.
    parents: Vec<PathBuf>,
    settings: Settings,
}

impl Runtime {
    /// Says which plugins a runtime on the bus of this broker has.
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

    /// Runs every plugin whose manifest is in a folder of this one; and where this one has a manifest itself, that plugin alone.
    pub fn plugins(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.parents.push(folder.into());
        self
    }

    /// Has the files with an extension that are a plugin's `backend.entry` run by a program with these arguments; see
    /// [`Launchers`].
    pub fn launcher<T: Into<OsString>>(
        mut self,
        extension: &str,
        command: impl IntoIterator<Item = T>,
    ) -> Builder {
        self.settings.launchers = self.settings.launchers.with(extension, command);
        self
    }

    /// The launchers in the place of all that there are.
    pub fn launchers(mut self, launchers: Launchers) -> Builder {
        self.settings.launchers = launchers;
        self
    }

    /// Where each plugin gets a folder of its own for its data (`PLUGIN_DATA_DIR`), made before its first start. Unless given, that is
    /// `data` in the plugin's own folder.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.settings.data_dir = Some(folder.into());
        self
    }

    /// How much of the runtime's memory and time one plugin may take.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.settings.limits = limits;
        self
    }

    /// How plugins are supervised whose manifests do not say otherwise.
    pub fn restart(mut self, restart: Restart) -> Builder {
        self.settings.restart = restart;
        self
    }

    /// The gates that no plugin of a folder may provide, because services of the host do, in the place of those of the crate
    /// `callgate-services`: `data.kv`, `data.config`, `schedule.register`, `schedule.unregister`. A manifest that claims one is
    /// refused. They are kept free also while nobody provides them: whoever did so would get what all others store. Any other gate of a
    /// service (`http.fetch`, `data.sql`) is a plugin's to provide whose manifest says so. A host without services:
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

    /// Has a function called whenever a plugin's [state](callgate::supervision::Status::state) is another one: on the thread that sees to
    /// all plugins, so it must not block, nor ask the runtime. It takes the place of the warnings that are logged of crashes.
    pub fn on_change(mut self, call: impl Fn(&PluginStatus) + Send + Sync + 'static) -> Builder {
        self.settings.on_change = OnChange::new(call);
        self
    }

    /// Starts the runtime, which starts its plugins. Returns when they are being started.
    ///
    /// A plugin whose manifest cannot be used is left out, and the others are started: [`Runtime::broken`] has it.
    ///
    /// # Errors
    ///
    /// Where a folder of plugins cannot be listed, where the runtime gets no thread or is not let onto the bus, and where this process does
    /// not ignore SIGPIPE.
    pub fn start(self) -> Result<Runtime, RuntimeError> {
        let mut folders = self.folders;
        for parent in &self.parents {
            folders.extend(plugins_in(parent)?);
        }
        let (plans, broken) = plan(&folders, &self.settings);
        Runtime::start(self.broker, Arc::new(self.settings), (plans, broken))
    }
}

/// The folders of plugins in a folder, in the order of their names.
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

/// Which plugins are run, and which cannot be.
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
