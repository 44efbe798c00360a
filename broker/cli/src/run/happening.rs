//! The events that `callgate run` waits for.

use std::path::PathBuf;

use callgate_runtime::PluginStatus;

#[derive(Debug)]
pub(super) enum Happening {
    /// SIGINT or SIGTERM.
    Signal,
    /// Something has changed in this folder, which is a plugin's or may become one.
    Changed(PathBuf),
    /// A plugin's state has changed.
    State(Box<PluginStatus>),
    /// Why changes in some directory are not noticed.
    Unwatched(String),
}
