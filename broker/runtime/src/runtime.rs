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

/// A running runtime: it starts plugins from their folders, and supervises them until it is dropped or
/// [stopped](Runtime::stop).
///
/// It has three threads of its own and three of the client's, however many plugins there are.
#[derive(Debug)]
pub struct Runtime {
    /// Dropped first, so that a runtime that ends serves nobody.
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
    /// Its folder.
    pub folder: PathBuf,
    /// What is wrong with it.
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
            left_out.insert(&broken.folder, &broken.why);
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

    /// Starts the plugin of another folder, and supervises it with the others. Gives its name.
    ///
    /// # Errors
    ///
    /// Where its manifest cannot be used, or another plugin has its name. It is listed as broken then, until it is added or
    /// [forgotten](Runtime::forget_folder).
    pub fn add_folder(&self, folder: impl AsRef<Path>) -> Result<String, RuntimeError> {
        let folder = folder.as_ref();
        let added = Plan::read(folder, &self.settings).and_then(|plan| {
            let name = plan.name.to_string();
            self.add(plan).map(|()| name)
        });
        let is_its = |status: PluginStatus| status.folder == folder;
        match &added {
            // Nobody meant to put a plugin there.
            Ok(_) | Err(RuntimeError::Manifest(ManifestError::Missing { .. })) => {
                self.left_out.remove(folder);
            }
            Err(RuntimeError::Stopping) => {}
            Err(_) if self.plugins().into_iter().any(is_its) => {}
            Err(error) => self.left_out.insert(folder, &error.to_string()),
        }
        added
    }

    /// Has a folder listed as broken no longer, which is gone.
    pub fn forget_folder(&self, folder: impl AsRef<Path>) {
        self.left_out.remove(folder.as_ref());
    }

    /// How all plugins stand, by name. Those that are [broken](Runtime::broken) are not among them.
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.teller().list()
    }

    /// The plugins that were left out when the runtime was started.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// Starts a plugin that is stopped, waits after a crash, or is in quarantine. Returns at once, as all of these:
    /// [`Runtime::wait_for`] waits for what comes of it.
    ///
    /// # Errors
    ///
    /// Where there is no such plugin, for each of these.
    pub fn start_plugin(&self, name: &str) -> Result<(), RuntimeError> {
        self.request(name, Request::Start)
    }

    /// Ends a plugin and its group: with SIGTERM, and after the grace with SIGKILL. It stays away until it is
    /// [started](Runtime::start_plugin).
    pub fn stop_plugin(&self, name: &str) -> Result<(), RuntimeError> {
        self.request(name, Request::Stop)
    }

    /// Ends a plugin, and starts it again at once.
    pub fn restart(&self, name: &str) -> Result<(), RuntimeError> {
        self.request(name, Request::Restart)
    }

    /// Reads a plugin's manifest again, and restarts the plugin by it where it runs.
    ///
    /// # Errors
    ///
    /// Where the manifest cannot be used: then the plugin goes on as it was.
    pub fn reload(&self, name: &str) -> Result<(), RuntimeError> {
        let all = self.plugins();
        let known = all.into_iter().find(|status| status.name == name);
        let folder = known.ok_or_else(|| unknown(name))?.folder;
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

    /// What a plugin has written, through all its restarts.
    ///
    /// # Errors
    ///
    /// Where there is no such plugin.
    pub fn logs(&self, name: &str) -> Result<PluginLog, RuntimeError> {
        let found = self.teller().find(name);
        found.map(|found| found.log).ok_or_else(|| unknown(name))
    }

    /// Waits until a plugin is in one of these states, and says how it stands; `None` where it is not in that time.
    pub fn wait_for(
        &self,
        name: &str,
        states: &[State],
        timeout: Duration,
    ) -> Option<PluginStatus> {
        self.teller().wait_for(name, states, timeout)
    }

    /// Ends all plugins, and then the runtime: each is asked to end, and killed after its grace.
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
            Refusal::Unknown | Refusal::Taken => unknown(name),
            Refusal::Stopping => RuntimeError::Stopping,
        })
    }
}

fn unknown(name: &str) -> RuntimeError {
    RuntimeError::Unknown {
        name: name.to_owned(),
    }
}
