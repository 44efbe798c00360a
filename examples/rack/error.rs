//! The errors of the rack.

use std::io;
use std::process::ExitStatus;

use crate::cli::Role;
use crate::wav::FileError;

/// Why the rack could not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The bus, or a plugin on it, gave an error.
    #[error(transparent)]
    Bus(#[from] callgate_client::Error),
    /// The host's own broker did not start.
    #[error("the broker did not start: {0}")]
    Broker(#[from] callgate::StartError),
    /// The host cannot reach its own broker.
    #[error("the broker does not answer: {0}")]
    Host(#[source] io::Error),
    /// A plugin's process could not be started or stopped.
    #[error("the process of the {}: {reason}", .plugin.name())]
    Process {
        /// The plugin of the process.
        plugin: Role,
        /// The system's error.
        #[source]
        reason: io::Error,
    },
    /// A plugin's process ended without having provided its gate.
    #[error("the {} ended before it could be called ({status})", .plugin.name())]
    Ended {
        /// The plugin of the process.
        plugin: Role,
        /// How it ended.
        status: ExitStatus,
    },
    /// A process does not end although it was killed.
    #[error("the {} was killed and does not end", .0.name())]
    Unkillable(Role),
    /// A process answered a call although it was killed before.
    #[error("the {} was killed and still answers", .0.name())]
    Undead(Role),
    /// The user pressed Ctrl-C.
    #[error("interrupted; nothing was written")]
    Interrupted,
}

impl Error {
    /// The system's error for a plugin's process.
    pub(crate) fn process(plugin: Role, reason: io::Error) -> Error {
        Error::Process { plugin, reason }
    }
}
