//! A manifest whose values were all checked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use callgate::Policy;
use semver::Version;
use serde_json::Value;

use super::backend::Backend;
use super::capabilities::Capabilities;
use super::launchers::{LaunchError, Launchers};
use super::restart::RestartTable;
use super::settings::Setting;

/// What kind of plugin a manifest declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PluginType {
    /// `core`.
    Core,
    /// `standalone`.
    #[default]
    Standalone,
    /// `extension`: of the plugins that `extends` names.
    Extension,
}

/// The value of `resources` in a manifest. The runtime stores it for hosts and enforces none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resources {
    /// `memory_mb`.
    pub memory_mb: Option<u64>,
    /// `cpu_weight`, as of a control group: 1 to 10,000.
    pub cpu_weight: Option<u64>,
    /// `disk_mb`.
    pub disk_mb: Option<u64>,
}

/// The manifest of a plugin: `manifest.json` of its folder, or the same as `plugin.toml`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use callgate_runtime::{Launchers, Manifest};
///
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("plugin.toml"), r#"
///     name = "chat-counter"
///     version = "1.0.0"
///     runtime_capabilities = ["data.kv:self", "events.subscribe:chat.*"]
///     restart = "on-failure"
///     [backend]
///     entry = "main.py"
///     env = { LANGUAGE = "en" }
/// "#)?;
/// let manifest = Manifest::read(folder.path())?;
/// assert_eq!(manifest.name(), "chat-counter");
/// assert_eq!(manifest.command_line(&Launchers::default())?[0], "python3");
/// assert!(manifest.policy().may_call("data.kv"));
/// assert!(!manifest.policy().may_call("data.sql"));
/// # Ok(())
/// # }
/// ```
///
/// # Keys and their values
///
/// Unknown keys are refused, and a key whose value is null counts as missing.
///
/// | key | value |
/// |---|---|
/// | `name` | required: small letters and digits in words that `-` joins; not what gates of services begin with |
/// | `version` | required: MAJOR.MINOR.PATCH |
/// | `api_version` | a range that 1.0 is in; any without it |
/// | `type` | `core`, `standalone` (by default) or `extension` |
/// | `extends` | the name of a plugin, or a list of names |
/// | `description` | a text |
/// | `backend` | required: a table of `entry` (a file), `command` (a list), `transport` (`stdio` or `shm`), `env` (a table of texts) |
/// | `runtime_capabilities` | a list of what the plugin may do on the bus; nothing without it |
/// | `permissions` | the same, of what is such a capability; everything else in it is kept for hosts |
/// | `client_capabilities` | a list of texts, for hosts that have clients; nothing here goes by them |
/// | `serve_ready_handshake` | true: the plugin serves from `serve_ready` on, and not from `ready` |
/// | `restart` | `always`, `on-failure`, or a table ([`RestartTable`](crate::RestartTable)) |
/// | `trust` | `same-user` (by default); `isolated` is refused, because this version draws no kernel boundary |
/// | `resources` | a table of `memory_mb`, `cpu_weight` (1 to 10,000) and `disk_mb` |
/// | `settings` | a table of settings by key, or a list of tables that have a `key`; each may have a `default` |
/// | `dependencies` | a list of plugins' names, or a table of ranges of versions by name |
/// | `author`, `frontend`, `license`, `icon`, `sidebar`, `public_schema`, `proxy_mounts`, `managed_services` | any JSON, kept for hosts ([`Manifest::other`]) |
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub(super) folder: PathBuf,
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) version: Version,
    pub(super) api_version: String,
    pub(super) plugin_type: PluginType,
    pub(super) extends: Vec<String>,
    pub(super) description: String,
    pub(super) backend: Backend,
    pub(super) declared: Vec<String>,
    pub(super) capabilities: Capabilities,
    pub(super) client_capabilities: Vec<String>,
    pub(super) has_serve_ready: bool,
    pub(super) restart: RestartTable,
    pub(super) resources: Resources,
    pub(super) settings: BTreeMap<String, Setting>,
    pub(super) dependencies: BTreeMap<String, String>,
    pub(super) others: BTreeMap<&'static str, Value>,
}

impl Manifest {
    /// The plugin's folder, as an absolute path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The manifest's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The plugin's name on the bus. Its gates begin with it and a dot.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `version`.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// `api_version`: a range that [`API_VERSION`](crate::API_VERSION) is in.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// `type`.
    pub fn plugin_type(&self) -> PluginType {
        self.plugin_type
    }

    /// `extends`: the plugins that this one extends.
    pub fn extends(&self) -> &[String] {
        &self.extends
    }

    /// `description`; empty without one.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// `backend`.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The capabilities that are declared, as they are written.
    pub fn runtime_capabilities(&self) -> &[String] {
        &self.declared
    }

    /// `client_capabilities`.
    pub fn client_capabilities(&self) -> &[String] {
        &self.client_capabilities
    }

    /// `serve_ready_handshake`: whether calls wait for `serve_ready`.
    pub fn has_serve_ready_handshake(&self) -> bool {
        self.has_serve_ready
    }

    /// `restart`.
    pub fn restart(&self) -> &RestartTable {
        &self.restart
    }

    /// `resources`.
    pub fn resources(&self) -> Resources {
        self.resources
    }

    /// `settings` by their keys.
    pub fn settings(&self) -> &BTreeMap<String, Setting> {
        &self.settings
    }

    /// `dependencies`: ranges of versions by plugins' names; `*` where none is said.
    pub fn dependencies(&self) -> &BTreeMap<String, String> {
        &self.dependencies
    }

    /// A key that the runtime does not interpret, such as `frontend`; `None` if the manifest does not have it.
    pub fn other(&self, key: &str) -> Option<&Value> {
        self.others.get(key)
    }

    /// The program and arguments that start the plugin: `backend.command`, or the launcher of `backend.entry`. The program is an absolute
    /// path, or a name without `/` that is looked up in `PATH`.
    ///
    /// # Errors
    ///
    /// No launcher is configured for the entry's extension, and the file is not executable.
    pub fn command_line(&self, launchers: &Launchers) -> Result<Vec<OsString>, LaunchError> {
        if let Some(command) = &self.backend.command {
            let mut words: Vec<OsString> = command.iter().map(OsString::from).collect();
            if let Some(program) = words.first_mut()
                && program.as_encoded_bytes().contains(&b'/')
            {
                *program = self.folder.join(&*program).into_os_string();
            }
            return Ok(words);
        }
        let entry = self.backend.entry.as_deref().unwrap_or(Path::new(""));
        launchers.command_line(&self.folder, entry)
    }

    /// The rights of the plugin's session on the bus. For a plugin that links the client the broker enforces them; for a plugin on pipes
    /// they are the rights of the session that the runtime opens for it.
    ///
    /// The policy lets the plugin provide the gates under its name. A capability for frames (`data.kv:self`) gives the right to call the
    /// gate of that name, one for events the right to send on open topics or to listen, and those that begin with `gate.` and `share.` mean
    /// the same as in [`Policy::from_capabilities`].
    ///
    /// The broker only decides whether a gate may be called. The rest of a capability (the table of `data.read`, the host of `http.fetch`,
    /// the plugin of `resources.read`) is checked by the runtime for plugins on pipes, and by the service itself for plugins that link the
    /// client.
    pub fn policy(&self) -> Policy {
        self.capabilities.policy().clone()
    }

    /// The capabilities that the bridge checks frames against.
    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}
