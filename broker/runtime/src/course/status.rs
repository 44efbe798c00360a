//! How a plugin of the runtime stands.

use std::path::PathBuf;

use callgate::supervision::Status;

use super::counts::Counts;
use crate::manifest::Transport;

/// How a plugin of the runtime stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginStatus {
    /// Its name on the bus.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its manifest is.
    pub folder: PathBuf,
    /// How it and the bus reach each other.
    pub transport: Transport,
    /// Where it is on its course.
    pub supervision: Status,
    /// What was counted of it.
    pub counts: Counts,
    /// The subscription that it was too slow for since its last start, if it asked to be marked then (`mark_unhealthy`).
    pub unhealthy: Option<String>,
    /// What its present or last life has written to stderr last: the beginning of the line.
    pub last_on_stderr: Option<String>,
}
