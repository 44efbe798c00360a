//! The errors of a runtime.

use std::io;
use std::path::PathBuf;

use crate::manifest::{LaunchError, ManifestError};

/// Why the runtime cannot do what its host has asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A folder of plugins cannot be listed.
    #[error("cannot look for plugins in {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The operating system refused a thread or descriptor.
    #[error("the runtime cannot start: {0}")]
    System(#[source] io::Error),
    /// The runtime could not connect to the bus.
    #[error("the runtime cannot take part in the bus: {0}")]
    Bus(#[source] callgate_client::Error),
    /// This process does not ignore SIGPIPE. Programs in Rust ignore it unless they change that.
    #[error(
        "a plugin that closes its stdin would end this process: ignore SIGPIPE before the runtime is started"
    )]
    Sigpipe,
    /// No plugin of this name is supervised.
    #[error("the runtime has no plugin `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The plugin of this name is not supervised because its folder cannot be used.
    #[error("the plugin `{name}` is left out: {why}")]
    LeftOut {
        /// The name.
        name: String,
        /// The reason.
        why: String,
    },
    /// A plugin of this name is on the bus already.
    #[error("there is another plugin `{name}`")]
    Taken {
        /// The name.
        name: String,
    },
    /// The plugin's manifest cannot be used. A plugin that runs already keeps running unchanged.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The plugin's program cannot be found. A plugin that runs already keeps running unchanged.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The manifest has another name than before. The plugin keeps running unchanged.
    #[error("{} is now the plugin `{now}`, and was `{before}`; start the runtime anew to rename a plugin", folder.display())]
    Renamed {
        /// The plugin's folder.
        folder: PathBuf,
        /// Its name until now.
        before: String,
        /// Its name in the manifest.
        now: String,
    },
    /// The runtime is being stopped.
    #[error("the runtime is being stopped")]
    Stopping,
}
