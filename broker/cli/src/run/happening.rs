//! What `callgate run` waits for.

use std::path::PathBuf;

#[derive(Debug)]
pub(super) enum Happening {
    /// SIGINT or SIGTERM.
    Signal,
    /// Something has changed in this folder, which is a plugin's or could be.
    Changed(PathBuf),
    /// Why changes in some directory are not noticed.
    Unwatched(String),
}
