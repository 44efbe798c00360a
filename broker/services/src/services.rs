//! What a host has of the services.

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
/// Whose data a call is about says the broker: the name under which the caller has connected. On a bus where programs may
/// take names that a host did not give them, its policy has to keep them from the gates, or they read what is a plugin's of that name.
///
/// On a strict bus the services have to be allowed to provide `data.kv`, `data.config`, `schedule.register` and
/// `schedule.unregister`, and to call `*.schedule.tick`.
///
/// Dropping it withdraws the gates, answers what waits with `NOT_READY`, and joins its thread.
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

/// A setting that has another value now: what a plugin is to be told, by `Runtime::config_changed` where it is on pipes.
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
    /// Whose setting it is.
    pub plugin: String,
    /// The setting.
    pub key: String,
    /// Its value; null where it has none any more.
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

    /// What a plugin's settings are where the host has set nothing, in the place of what was said before; what a manifest has in
    /// `settings`. They are not kept: say them at each start.
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

    /// Sets a setting of a plugin, or has its default hold again where no value is given. It is kept, and holds when this
    /// returns. What the plugin is to be told is given back; `None` where the value is what it was.
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
    /// [`Refused`](ServicesError::Refused) for a key of more than 512 bytes or none, a value of more than 65,536 characters,
    /// and where it cannot be stored.
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

    /// The settings of a plugin, as it sees them itself.
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
    /// [`Refused`](ServicesError::Refused) where they cannot be read.
    pub fn config(&self, plugin: &str) -> Result<BTreeMap<String, Value>, ServicesError> {
        let (plugin, defaults) = (plugin.to_owned(), self.defaults.clone());
        let all = move |stores: &mut Stores| {
            let settings = data::all_settings(stores, &defaults, &plugin)?;
            Ok(serde_json::from_str(&settings)?)
        };
        self.with_stores(all)
    }

    /// Has the thread do something with the files, and waits for it.
    fn with_stores<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Stores) -> Result<T, HandlerError> + Send + 'static,
    ) -> Result<T, ServicesError> {
        let (done, outcome) = sync_channel(1);
        let job = move |stores: &mut Stores| {
            // Who asked waits for it.
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
            // It has said what it panicked over.
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
