//! The status of a plugin.

use std::path::PathBuf;

use callgate::supervision::Status;

use super::counts::Counts;
use crate::manifest::Transport;

/// The status of a plugin that the runtime supervises.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginStatus {
    /// Its name on the bus.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The folder with its manifest.
    pub folder: PathBuf,
    /// How it is connected to the bus.
    pub transport: Transport,
    /// Its state of supervision.
    pub supervision: Status,
    /// Its counters.
    pub counts: Counts,
    /// The subscription for which it read too slowly since its last start, if that subscription has the policy `mark_unhealthy`.
    pub unhealthy: Option<String>,
    /// The beginning of the last line that its present or last life wrote to stderr.
    pub last_on_stderr: Option<String>,
}
