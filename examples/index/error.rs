//! The errors of the index.

use std::io;
use std::path::{Path, PathBuf};

/// Why the index cannot be made, or asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read or watched.
    #[error("{}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        reason: io::Error,
    },
    /// The bus, or a plugin on it, gave an error.
    #[error(transparent)]
    Bus(#[from] callgate_client::Error),
    /// The host's own broker did not start.
    #[error("the broker did not start: {0}")]
    Broker(#[from] callgate::StartError),
    /// A plugin could not be started, or words could not be read.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl Error {
    /// The system's error for a file.
    pub(crate) fn file(path: &Path, reason: io::Error) -> Error {
        let path = path.to_owned();
        Error::File { path, reason }
    }
}
