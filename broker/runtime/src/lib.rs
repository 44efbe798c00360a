//! The runtime: starts plugins from folders with a manifest, supervises them, and makes those that speak JSON on their
//! pipes ordinary members of the bus.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), allow(dead_code, unused_imports))]

mod bridge;
mod course;
mod frame;
mod log;
mod manifest;
mod process;
pub mod template;

pub use course::{Counts, Limits, PluginStatus};
pub use log::{Follower, LogLine, LogStream, PluginLog, Taken};
pub use manifest::{
    API_VERSION, Backend, LaunchError, Launchers, Manifest, ManifestError, PluginType, Resources,
    RestartTable, Setting, Transport,
};
