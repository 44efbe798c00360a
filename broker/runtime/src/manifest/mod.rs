//! The manifest in a plugin's folder: how the plugin is started, and what it may do.
//!
//! Reading has two steps. `document` reads the file, JSON or TOML, into one JSON value. `parse` checks that value key by key with the types
//! of `fields`, which remember the place of each value for error messages. `capabilities` decides which frames are allowed, and gives the
//! same decisions to the broker as a policy.

mod backend;
mod capabilities;
mod capability;
mod document;
mod error;
mod fields;
mod hosts;
mod launchers;
mod names;
mod parse;
mod plugin;
mod reserved;
mod restart;
mod settings;
mod versions;

#[cfg(test)]
mod tests;

pub use backend::{Backend, Transport};
pub(crate) use capabilities::{Capabilities, Denied};
pub use error::ManifestError;
pub use launchers::{LaunchError, Launchers};
pub(crate) use names::check_name;
pub use plugin::{Manifest, PluginType, Resources};
pub(crate) use reserved::Reserved;
pub use restart::RestartTable;
pub use settings::Setting;
pub use versions::API_VERSION;
