//! The runtime: starts plugins from folders with a manifest, supervises them, and makes those that speak JSON on their
//! pipes ordinary members of the bus.
#![forbid(unsafe_code)]

mod course;
#[cfg_attr(
    not(test),
    allow(dead_code, unused_imports, reason = "the bridge uses it")
)]
mod frame;
#[cfg_attr(not(test), allow(dead_code, reason = "the bridge checks frames"))]
mod manifest;
mod process;

pub use course::{Counts, Limits, PluginStatus};
pub use manifest::{
    API_VERSION, Backend, LaunchError, Launchers, Manifest, ManifestError, PluginType, Resources,
    RestartTable, RestartWhen, Setting, Transport,
};
