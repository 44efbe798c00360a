//! Why the services refuse what their host asks for.

use std::io;
use std::path::PathBuf;

use callgate_client::HandlerError;

/// Why the services refuse what their host asks for.
///
/// ```
/// use callgate_services::{Services, ServicesError};
///
/// let started = Services::builder("/proc/self/nowhere").start();
/// assert!(matches!(started, Err(ServicesError::Folder { .. })));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServicesError {
    /// The folder for the data cannot be made.
    #[error("cannot make the folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The operating system refused to start a thread.
    #[error("the services get no thread: {0}")]
    System(#[source] io::Error),
    /// The bus refuses the services, or one of their gates.
    #[error("the services cannot take part in the bus: {0}")]
    Bus(#[from] callgate_client::Error),
    /// A setting could not be set or read.
    #[error("{code}: {message}")]
    Refused {
        /// The code that a plugin would get: `INVALID_ARGUMENT`, `TOO_LARGE`, `STORE_DAMAGED`, `STORE_FAILED`.
        code: String,
        /// What is wrong.
        message: String,
    },
    /// The thread of the services has ended.
    #[error("the services have ended")]
    Ended,
}

impl From<HandlerError> for ServicesError {
    fn from(error: HandlerError) -> ServicesError {
        ServicesError::Refused {
            code: error.code().to_owned(),
            message: error.message().to_owned(),
        }
    }
}
