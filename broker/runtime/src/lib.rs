//! The runtime: starts plugins from folders with a manifest, supervises them, and makes those that speak JSON on their
//! pipes ordinary members of the bus.
//!
//! [`Runtime::builder`] sets which plugins there are; docs/decisions/0025 describes how the runtime is built. The modules are layers, each
//! of which uses the ones before it: `frame` (bytes to frames and back), `manifest`, `log`, `process` (a child and its pipes), `bridge`
//! (makes a child a plugin of the bus), `course` (the loop that drives all plugins), and last the types that a host uses.
#![forbid(unsafe_code)]

mod bridge;
mod builder;
mod control;
mod course;
mod error;
mod frame;
mod host;
mod left_out;
mod log;
mod manifest;
mod process;
mod runtime;
pub mod template;

pub use builder::Builder;
pub use course::{Counts, Limits, PluginStatus, RuntimeLogLine};
pub use error::RuntimeError;
pub use host::{Upload, User};
pub use log::{Follower, LogLine, LogStream, PluginLog, Taken};
pub use manifest::{
    API_VERSION, Backend, LaunchError, Launchers, Manifest, ManifestError, PluginType, Resources,
    RestartTable, Setting, Transport,
};
pub use runtime::{Broken, Runtime};

/// For the fuzzers alone.
#[doc(hidden)]
pub mod __private {
    pub use crate::frame::told::{Told, told};
}
