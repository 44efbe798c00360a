//! Why a saved version cannot be read.

use std::io;

use callgate_layout::control::Failure;

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is not a saved version, or a damaged one: no broker can use it.
    Flaw(String),
    /// It has more bytes than the limits allow.
    TooLarge(Failure),
    /// The operating system refused something, which says nothing about the file.
    System(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::System(error)
    }
}

/// Returns the error for a file that is damaged or foreign.
pub(super) fn flaw<T>(what: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Flaw(what.into()))
}
