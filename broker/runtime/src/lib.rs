//! The runtime: starts plugins from folders with a manifest, supervises them, and makes those that speak JSON on their
//! pipes ordinary members of the bus.
//!
//! [`Runtime::builder`] sets which plugins there are. The runtime provides no services (`data.kv` and the like): a host that wants what
//! `callgate run` has starts those of the crate `callgate-services` beside it: `Services::builder(folder).descriptor(broker.connect()?)`.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use callgate::Broker;
//! use callgate::supervision::State;
//! use callgate_runtime::{Runtime, User};
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::builder().without_socket().start()?;
//! let runtime = Runtime::builder(broker.handle())
//!     .plugins("./plugins")
//!     .on_change(|status| println!("{} is {}", status.name, status.supervision.state))
//!     .start()?; // does not wait for the plugins
//! for broken in runtime.broken() {
//!     eprintln!("{} is left out: {}", broken.folder.display(), broken.why);
//! }
//! runtime.wait_for("greeter", &[State::Ready], Duration::from_secs(5));
//! let user = User {
//!     id: "7".into(),
//!     display_name: "Ada".into(),
//!     avatar_url: None,
//!     role: "admin".into(),
//! };
//! let reply = runtime.call_as("greeter", "hello", &json!({"name": "Ada"}), (&user, None))?;
//! println!("{reply}");
//! runtime.stop(); // the plugins end before the broker does
//! # Ok(())
//! # }
//! ```
//!
//! docs/stdio.md describes what plugins and manifests look like, docs/decisions/0025 how the runtime is built. The modules are layers, each
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
