//! The handle of running services, for their host.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use callgate_client::{HandlerError, Plugin, Provider};
use serde_json::Value;

use crate::data::{self, Defaults};
use crate::error::ServicesError;
use crate::mailbox::Mailbox;
use crate::request::{checked_key, checked_value};
use crate::stores::Stores;

/// The services of a bus, for as long as this lives: a store of keys and values, settings, schedules.
///
/// The broker tells the services whose data a call is about: the name under which the caller has connected. If programs can join the bus
/// under names that a host did not give them, the bus's policy has to keep them from these gates; otherwise they can read what a plugin of
/// that name has stored.
///
/// On a strict bus the services have to be allowed to provide `data.kv`, `data.config`, `schedule.register` and
/// `schedule.unregister`, and to call `*.schedule.tick`.
///
/// Dropping this withdraws the gates, answers the waiting calls with `NOT_READY`, and joins the thread.
///
/// ```
/// use callgate::Broker;
/// use callgate_client::{Plugin, dynamic::open_json};
/// use callgate_services::Services;
/// use serde_json::json;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let broker = Broker::builder().without_socket().start()?;
/// let services = Services::builder(folder.path()).descriptor(broker.connect()?).start()?;
///
/// let plugin = Plugin::builder("chat").descriptor(broker.connect()?).connect()?;
/// let kv = open_json(&plugin, "data.kv")?;
/// kv.call_values(&[json!({"method": "set", "key": "greeting", "value": "Hello"})])?;
/// let value = kv.call_values(&[json!({"method": "get", "key": "greeting"})])?;
/// assert_eq!(value, "Hello");
/// # drop(services);
/// # Ok(())
/// # }
/// ```
pub struct Services {
    plugin: Arc<Plugin>,
    mailbox: Arc<Mailbox>,
    defaults: Defaults,
    gates: Vec<Provider>,
    thread: Option<JoinHandle<()>>,
}

/// A setting whose value has changed. The host tells the plugin of it; one on pipes by `Runtime::config_changed`.
///
/// ```
/// use callgate_services::ConfigChange;
///
/// fn show(change: &ConfigChange) -> String {
///     format!("{}: {} is {}", change.plugin, change.key, change.value)
/// }
/// # let _ = show;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConfigChange {
    /// The plugin whose setting it is.
    pub plugin: String,
    /// The setting.
    pub key: String,
    /// The new value; null if the setting has none any more.
    pub value: Value,
}

impl Services {
    pub(crate) fn new(
        (plugin, mailbox): (Arc<Plugin>, Arc<Mailbox>),
        defaults: Defaults,
        thread: JoinHandle<()>,
    ) -> Services {
        Services {
            plugin,
            mailbox,
            defaults,
            gates: Vec::new(),
            thread: Some(thread),
        }
    }

    pub(crate) fn serve(&mut self, gates: Vec<Provider>) {
        self.gates = gates;
    }

    /// Sets the default settings of a plugin, which hold where the host has set nothing; they replace earlier defaults. For a plugin with a
    /// manifest, they are its `settings`. They are not stored: set them at each start.
    ///
    /// ```no_run
    /// # fn show(services: &callgate_services::Services) {
    /// services.set_defaults("chat", [("theme".to_owned(), "dark".into())]);
    /// # }
    /// ```
    pub fn set_defaults(
        &self,
        plugin: impl Into<String>,
        settings: impl IntoIterator<Item = (String, Value)>,
    ) {
        self.defaults
            .set(plugin.into(), settings.into_iter().collect());
    }

    /// Sets a setting of a plugin, or (without a value) removes what was set, so that its default holds again. When this returns, the value
    /// is stored and holds. Returns the change, for the plugin to be told; `None` if the value is the same as before.
    ///
    /// ```no_run
    /// # fn show(services: &callgate_services::Services) -> Result<(), callgate_services::ServicesError> {
    /// if let Some(change) = services.set_config("chat", "theme", Some(&"light".into()))? {
    ///     // runtime.config_changed(&change.plugin, (&change.key, &change.value), Some("admin"))
    ///     println!("{} has changed", change.key);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused`](ServicesError::Refused) if the key is empty or has more than 512 bytes, if the value has more than 65,536 characters, or
    /// if it cannot be stored.
    pub fn set_config(
        &self,
        plugin: &str,
        key: &str,
        value: Option<&Value>,
    ) -> Result<Option<ConfigChange>, ServicesError> {
        checked_key(key)?;
        let value = value.map(|value| checked_value(&value.to_string()));
        let value = value.transpose()?;
        let (whose, name, defaults) = (plugin.to_owned(), key.to_owned(), self.defaults.clone());
        let now = self.with_stores(move |stores| {
            let setting = (&*whose, &*name);
            let before = data::setting(stores, &defaults, setting)?;
            data::set_setting(stores, setting, value.as_deref())?;
            let now = data::setting(stores, &defaults, setting)?;
            Ok((now != before).then_some(now))
        })?;
        let change = |now: Option<String>| {
            let value = now.map_or(Ok(Value::Null), |now| serde_json::from_str(&now));
            Ok::<_, HandlerError>(ConfigChange {
                plugin: plugin.to_owned(),
                key: key.to_owned(),
                value: value?,
            })
        };
        Ok(now.map(change).transpose()?)
    }

    /// The settings of a plugin, as the plugin sees them.
    ///
    /// ```no_run
    /// # fn show(services: &callgate_services::Services) -> Result<(), callgate_services::ServicesError> {
    /// for (key, value) in services.config("chat")? {
    ///     println!("{key} = {value}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused`](ServicesError::Refused) if they cannot be read.
    pub fn config(&self, plugin: &str) -> Result<BTreeMap<String, Value>, ServicesError> {
        let (plugin, defaults) = (plugin.to_owned(), self.defaults.clone());
        let all = move |stores: &mut Stores| {
            let settings = data::all_settings(stores, &defaults, &plugin)?;
            Ok(serde_json::from_str(&settings)?)
        };
        self.with_stores(all)
    }

    /// Has the thread do something with the files, and waits for the result.
    fn with_stores<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Stores) -> Result<T, HandlerError> + Send + 'static,
    ) -> Result<T, ServicesError> {
        let (done, outcome) = sync_channel(1);
        let job = move |stores: &mut Stores| {
            // Cannot fail: the asker waits for it.
            let _ = done.send(act(stores));
        };
        if !self.mailbox.host(Box::new(job)) {
            return Err(ServicesError::Ended);
        }
        let outcome = outcome.recv().map_err(|_| ServicesError::Ended)?;
        Ok(outcome?)
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.gates.clear();
        self.mailbox.close();
        if let Some(thread) = self.thread.take() {
            // The thread has logged the panic, if there was one.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("plugin", &self.plugin.name())
            .finish_non_exhaustive()
    }
}
