//! What can be in the way of a version that is to be read.

use std::io;

use callgate_layout::control::Failure;

/// Why a file is not what was looked for.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is none, or a damaged one: of no use to anybody.
    Flaw(String),
    /// It has more bytes than there may be.
    TooLarge(Failure),
    /// The operating system refused something, which says nothing about the file.
    System(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::System(error)
    }
}

/// The flaw of a file.
pub(super) fn flaw<T>(what: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Flaw(what.into()))
}
