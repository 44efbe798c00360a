//! The handle of a running runtime.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callgate::BrokerHandle;
use callgate::supervision::State;

use crate::control::Control;
use crate::course::{
    Plan, PluginStatus, Refusal, Request, Running, Settings, Surroundings, Teller,
};
use crate::error::RuntimeError;
use crate::left_out::LeftOut;
use crate::log::PluginLog;
use crate::manifest::ManifestError;
use crate::process::is_sigpipe_ignored;

/// A running runtime. It starts plugins from their folders, and supervises them until it is dropped or [stopped](Runtime::stop).
///
/// It uses three threads of its own and three of the client library, however many plugins there are; one more once a plugin has sent a
/// frame of more than 64 KiB, and helpers for as long as peers do not answer that plugins have asked for gates or topics.
#[derive(Debug)]
pub struct Runtime {
    /// Declared first so that it is dropped first: a runtime that ends takes no more requests.
    _control: Control,
    running: Running,
    settings: Arc<Settings>,
    broken: Vec<Broken>,
    left_out: Arc<LeftOut>,
}

/// A plugin that was left out when the runtime was started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken {
    /// The plugin's folder.
    pub folder: PathBuf,
    /// The reason.
    pub why: String,
}

impl Runtime {
    pub(crate) fn start(
        broker: BrokerHandle,
        settings: Arc<Settings>,
        (plans, broken): (Vec<Plan>, Vec<Broken>),
    ) -> Result<Runtime, RuntimeError> {
        for broken in &broken {
            tracing::warn!(
                "the plugin in {} is left out: {}",
                broken.folder.display(),
                broken.why
            );
        }
        if !is_sigpipe_ignored() {
            return Err(RuntimeError::Sigpipe);
        }
        let left_out = Arc::new(LeftOut::new(broker.clone()));
        for broken in &broken {
            let is_taken = |name: &str| plans.iter().any(|plan| &*plan.name == name);
            left_out.insert(&broken.folder, &broken.why, is_taken);
        }
        let surroundings = Arc::new(Surroundings::new(broker)?);
        let running = Running::start(&settings, surroundings.clone());
        let running = running.map_err(RuntimeError::System)?;
        let control = Control::new(surroundings.plugin(), running.teller(), &left_out);
        let control = control.map_err(RuntimeError::Bus)?;
        let runtime = Runtime {
            _control: control,
            running,
            settings,
            broken,
            left_out,
        };
        plans.into_iter().try_for_each(|plan| runtime.add(plan))?;
        Ok(runtime)
    }

    /// Adds the plugin of a folder: starts it, and supervises it with the others. Returns its name.
    ///
    /// # Errors
    ///
    /// The manifest cannot be used, or another plugin has its name. The folder is listed as broken then, until it is added with success or
    /// [forgotten](Runtime::forget_folder).
    pub fn add_folder(&self, folder: impl AsRef<Path>) -> Result<String, RuntimeError> {
        let folder = folder.as_ref();
        let added = Plan::read(folder, &self.settings).and_then(|plan| {
            let name = plan.name.to_string();
            self.add(plan).map(|()| name)
        });
        let is_its = |status: PluginStatus| status.folder == folder;
        match &added {
            // A folder without a manifest is not listed as broken: it was probably not meant to be a plugin.
            Ok(_) | Err(RuntimeError::Manifest(ManifestError::Missing { .. })) => {
                self.left_out.remove(folder);
            }
            Err(RuntimeError::Stopping) => {}
            Err(_) if self.plugins().into_iter().any(is_its) => {}
            Err(error) => {
                let is_taken = |name: &str| self.teller().find(name).is_some();
                self.left_out.insert(folder, &error.to_string(), is_taken);
            }
        }
        added
    }

    /// Removes a folder that is gone from the list of broken ones.
    pub fn forget_folder(&self, folder: impl AsRef<Path>) {
        self.left_out.remove(folder.as_ref());
    }

    /// The status of all plugins, by name. The [broken](Runtime::broken) ones are not included.
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.teller().list()
    }

    /// The plugins that were left out when the runtime was started.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// Starts a plugin that is stopped, waits after a crash, or is in quarantine. Like the methods below this returns without waiting; use
    /// [`Runtime::wait_for`] to wait for the result.
    ///
    /// # Errors
    ///
    /// There is no plugin of this name, or its folder cannot be used; the same holds for the methods below.
    pub fn start_plugin(&self, name: &str) -> Result<(), RuntimeError> {
        self.request(name, Request::Start)
    }

    /// Ends a plugin and its process group: with SIGTERM, and with SIGKILL once the grace has passed. It stays stopped until it is
    /// [started](Runtime::start_plugin).
    pub fn stop_plugin(&self, name: &str) -> Result<(), RuntimeError> {
        self.request(name, Request::Stop)
    }

    /// Ends a plugin, and starts it again without delay.
    pub fn restart(&self, name: &str) -> Result<(), RuntimeError> {
        self.request(name, Request::Restart)
    }

    /// Reads a plugin's manifest again. If the plugin runs, it is restarted with the new manifest.
    ///
    /// # Errors
    ///
    /// The manifest cannot be used: then the plugin keeps running as before.
    pub fn reload(&self, name: &str) -> Result<(), RuntimeError> {
        let all = self.plugins();
        let known = all.into_iter().find(|status| status.name == name);
        let folder = known.ok_or_else(|| self.unknown(name))?.folder;
        let plan = Plan::read(&folder, &self.settings)?;
        match *plan.name == *name {
            true => self.request(name, Request::Reload(Box::new(plan))),
            false => Err(RuntimeError::Renamed {
                folder,
                before: name.to_owned(),
                now: plan.name.to_string(),
            }),
        }
    }

    /// The log of a plugin, kept across its restarts.
    ///
    /// # Errors
    ///
    /// There is no plugin of this name.
    pub fn logs(&self, name: &str) -> Result<PluginLog, RuntimeError> {
        let found = self.teller().find(name);
        found
            .map(|found| found.log)
            .ok_or_else(|| self.unknown(name))
    }

    /// Waits until a plugin is in one of these states, and returns its status; `None` if that does not happen in time.
    pub fn wait_for(
        &self,
        name: &str,
        states: &[State],
        timeout: Duration,
    ) -> Option<PluginStatus> {
        self.teller().wait_for(name, states, timeout)
    }

    /// Stops all plugins and then the runtime. Each plugin gets SIGTERM, and SIGKILL once its grace has passed.
    pub fn stop(self) {
        drop(self);
    }

    pub(crate) fn teller(&self) -> &Teller {
        self.running.teller()
    }

    fn add(&self, plan: Plan) -> Result<(), RuntimeError> {
        let name = plan.name.clone();
        let taken = || RuntimeError::Taken {
            name: name.to_string(),
        };
        self.teller().add(plan).map_err(|refusal| match refusal {
            Refusal::Unknown | Refusal::Taken => taken(),
            Refusal::Stopping => RuntimeError::Stopping,
        })
    }

    fn request(&self, name: &str, request: Request) -> Result<(), RuntimeError> {
        let outcome = self.teller().request(name, request);
        outcome.map_err(|refusal| match refusal {
            Refusal::Unknown | Refusal::Taken => self.unknown(name),
            Refusal::Stopping => RuntimeError::Stopping,
        })
    }

    pub(crate) fn unknown(&self, name: &str) -> RuntimeError {
        self.left_out.no_plugin(name)
    }
}
