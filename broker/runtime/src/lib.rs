//! The runtime: starts plugins from folders with a manifest, supervises them, and makes those that speak JSON on their
//! pipes ordinary members of the bus.
#![forbid(unsafe_code)]

#[allow(dead_code, unused_imports)]
mod bridge;
mod builder;
mod course;
mod error;
#[cfg_attr(
    not(test),
    allow(dead_code, unused_imports, reason = "the bridge uses it")
)]
mod frame;
mod host;
mod log;
#[cfg_attr(not(test), allow(dead_code, reason = "the bridge checks frames"))]
mod manifest;
mod process;
mod runtime;

pub use builder::Builder;
pub use course::{Counts, Limits, PluginStatus};
pub use error::RuntimeError;
pub use host::{Upload, User};
pub use log::{Follower, LogLine, LogStream, PluginLog, Taken};
pub use manifest::{
    API_VERSION, Backend, LaunchError, Launchers, Manifest, ManifestError, PluginType, Resources,
    RestartTable, RestartWhen, Setting, Transport,
};
pub use runtime::{Broken, Runtime};
