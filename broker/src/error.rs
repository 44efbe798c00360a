//! Why a broker does not start.

use std::io;
use std::path::{Path, PathBuf};

use callgate_layout::socket::MAX_SOCKET_PATH;

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The path does not fit a socket address.
    #[error(
        "the socket path {} has {len} bytes, more than the {MAX_SOCKET_PATH} that fit an address; \
         choose a shorter one",
        socket.display()
    )]
    PathTooLong {
        /// The path.
        socket: PathBuf,
        /// Its length.
        len: usize,
    },
    /// Another user could put something into the socket's directory.
    #[error(
        "the socket {} cannot be trusted there: {why}; \
         choose a directory that belongs to you and that nobody else can write into",
        socket.display()
    )]
    Directory {
        /// The path.
        socket: PathBuf,
        /// What is wrong with its directory.
        why: String,
    },
    /// The socket has a living broker, or one that was killed and has not ended yet.
    #[error("a broker answers on {} already: {who}", socket.display())]
    AlreadyRunning {
        /// The path.
        socket: PathBuf,
        /// The process that has it.
        who: String,
    },
    /// Something that is not a socket has its path.
    #[error("{} exists and is not a socket; remove it or choose another path", .0.display())]
    InTheWay(PathBuf),
    /// The socket that the broker was given is not one that plugins can connect to.
    #[error("the socket that was given to the broker cannot be used: {why}")]
    Given {
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused something about the socket.
    #[error("cannot {what} {}: {source}", socket.display())]
    Socket {
        /// What was tried.
        what: &'static str,
        /// The path.
        socket: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The kernel lacks something that a bus needs, or withholds it from this process.
    #[error("this process lacks what a bus needs: {0}")]
    Unsupported(String),
    /// The operating system refused something that is not about the socket.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The error.
        source: io::Error,
    },
}

impl StartError {
    pub(crate) fn io(what: &'static str, socket: &Path, source: io::Error) -> StartError {
        let socket = socket.to_owned();
        StartError::Socket {
            what,
            socket,
            source,
        }
    }
}
