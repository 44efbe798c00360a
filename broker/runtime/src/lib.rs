//! The runtime: starts plugins from folders with a manifest, supervises them, and makes those that speak JSON on their
//! pipes ordinary members of the bus.
//!
//! [`Runtime::builder`] says which plugins there are; docs/decisions/0025 says how the runtime is built. From above to below, each
//! uses those before it: `frame` (bytes to frames and back), `manifest`, `log`, `process` (a child, its pipes), `bridge` (a child as a
//! member of the bus), `course` (the loop that drives all), then what a host holds.
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
