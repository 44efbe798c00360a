//! Starting the services.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use callgate_client::{Group, Plugin, PluginBuilder};
use serde_json::Value;

use crate::data::Defaults;
use crate::error::ServicesError;
use crate::gates;
use crate::limits::Limits;
use crate::mailbox::Mailbox;
use crate::pairs::Quota;
use crate::schedules::Schedules;
use crate::services::Services;
use crate::stores::Stores;
use crate::worker::Worker;

/// Settings of services that are about to start: how they take part in a bus, and how much they keep. Made by [`Services::builder`].
///
/// ```no_run
/// use callgate_services::{Limits, Services};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = Services::builder("/var/lib/host").limits(Limits::default().keys(1_000));
/// let services = builder.start()?;
/// # drop(services);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    folder: PathBuf,
    plugin: PluginBuilder,
    limits: Limits,
    defaults: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Services {
    /// Settings of services that are about to start. Their data is in this folder, which is made if it is missing.
    ///
    /// ```no_run
    /// use callgate_services::Services;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let services = Services::builder("/var/lib/host").start()?;
    /// # drop(services);
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(folder: impl Into<PathBuf>) -> Builder {
        Builder::new(folder.into())
    }
}

impl Builder {
    fn new(folder: PathBuf) -> Builder {
        Builder {
            folder,
            plugin: Plugin::builder("callgate-services")
                .display_name("The services")
                .version(env!("CARGO_PKG_VERSION")),
            limits: Limits::default(),
            defaults: BTreeMap::new(),
        }
    }

    /// The connection to the bus, as an embedded broker gives it to its host (`BrokerHandle::connect`). Unless it is given, the services
    /// connect as any plugin does.
    ///
    /// ```no_run
    /// use callgate_services::Services;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = callgate::Broker::builder().without_socket().start()?;
    /// let services = Services::builder("/var/lib/host").descriptor(broker.connect()?).start()?;
    /// # drop(services);
    /// # Ok(())
    /// # }
    /// ```
    pub fn descriptor(mut self, socket: OwnedFd) -> Builder {
        self.plugin = self.plugin.descriptor(socket);
        self
    }

    /// Shares the threads of a group. Besides these, the services have one thread of their own.
    ///
    /// ```no_run
    /// use callgate_client::Group;
    /// use callgate_services::Services;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let group = Group::new()?;
    /// let services = Services::builder("/var/lib/host").group(&group).start()?;
    /// # drop(services);
    /// # Ok(())
    /// # }
    /// ```
    pub fn group(mut self, group: &Group) -> Builder {
        self.plugin = self.plugin.group(group);
        self
    }

    /// The plugin that the services take part as, instead of one named `callgate-services`. Call this before
    /// [`descriptor`](Builder::descriptor) and [`group`](Builder::group).
    ///
    /// ```no_run
    /// use callgate_client::Plugin;
    /// use callgate_services::Services;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let plugin = Plugin::builder("my-host-services").socket("/run/host.sock");
    /// let services = Services::builder("/var/lib/host").plugin(plugin).start()?;
    /// # drop(services);
    /// # Ok(())
    /// # }
    /// ```
    pub fn plugin(mut self, plugin: PluginBuilder) -> Builder {
        self.plugin = plugin;
        self
    }

    /// How much each plugin may keep, and all of them.
    ///
    /// ```
    /// use callgate_services::{Limits, Services};
    ///
    /// let builder = Services::builder("/var/lib/host").limits(Limits::default().keys(100));
    /// # drop(builder);
    /// ```
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// The default settings of a plugin by their keys, as its manifest has them; see [`Services::set_defaults`].
    ///
    /// ```
    /// use callgate_services::Services;
    /// use serde_json::json;
    ///
    /// let settings = [("theme".to_owned(), json!("dark"))];
    /// let builder = Services::builder("/var/lib/host").defaults("chat", settings);
    /// # drop(builder);
    /// ```
    pub fn defaults(
        mut self,
        plugin: impl Into<String>,
        settings: impl IntoIterator<Item = (String, Value)>,
    ) -> Builder {
        let settings = settings.into_iter().collect();
        self.defaults.insert(plugin.into(), settings);
        self
    }

    /// Connects, provides the gates, and starts the thread of the services.
    ///
    /// ```no_run
    /// use callgate_services::Services;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let services = Services::builder("/var/lib/host").start()?;
    /// # drop(services);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the folder cannot be made, if the thread cannot be started, or if the bus refuses the plugin or one of its gates.
    pub fn start(self) -> Result<Services, ServicesError> {
        let (folder, limits) = (self.folder, self.limits);
        let stores = Stores::new(&folder, &limits);
        let stores = stores.map_err(|source| ServicesError::Folder { folder, source })?;
        let defaults = Defaults::default();
        for (plugin, settings) in self.defaults {
            defaults.set(plugin, settings);
        }
        let services = Arc::new(self.plugin.connect()?);
        let mailbox = Arc::new(Mailbox::new());
        let worker = Worker {
            services: services.clone(),
            mailbox: mailbox.clone(),
            stores,
            defaults: defaults.clone(),
            schedules: Schedules::new(mailbox.clone(), limits.tick_deadline),
            quota: Quota {
                keys: limits.keys,
                bytes: limits.bytes,
            },
        };
        let thread = thread::Builder::new().name("callgate-data".to_owned());
        let thread = thread.spawn(move || worker.run());
        let thread = thread.map_err(ServicesError::System)?;
        let mut started = Services::new((services.clone(), mailbox.clone()), defaults, thread);
        started.serve(gates::provide(&services, &mailbox)?);
        Ok(started)
    }
}
