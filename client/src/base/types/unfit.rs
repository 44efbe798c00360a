//! Values of gate types that cannot be archived, and archives that hold no valid value.

use core::cell::Cell;
use core::fmt::Display;

use callgate_layout::Code;
use rkyv::rancor::Source;

use crate::base::error::Error;

/// Why a value cannot be archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// A path has to be UTF-8, because it is archived as text.
    #[error("a path that is not UTF-8")]
    Path,
    /// A time has to be after 1970, because it is archived as the time since then.
    #[error("a time before 1970")]
    Time,
    /// A `Json` has to fit the limits of JSON texts, because it is archived as one.
    #[error("a JSON value that is nested more than 64 deep, or longer than texts may be")]
    Json,
}

impl Unfit {
    /// The error of a call with such a value in its arguments or its result.
    #[cold]
    pub(crate) fn error(self, what: &str) -> Error {
        let text = format!("the {what} hold {self}, which has no archive");
        Error::new(Code::TypeMismatch, text)
    }
}

thread_local! {
    /// Why the last value that this thread failed to archive could not be archived. The error that passes through
    /// rkyv is empty, so that values which can be archived cost nothing more.
    static LAST: Cell<Option<Unfit>> = const { Cell::new(None) };
}

/// The error for a value that cannot be archived.
#[cold]
pub(crate) fn refuse<E: Source>(why: Unfit) -> E {
    LAST.set(Some(why));
    E::new(why)
}

/// Takes the reason, if that was what went wrong.
pub(super) fn take() -> Option<Unfit> {
    LAST.take()
}

thread_local! {
    /// Whether a part of the value that this thread is reading was invalid.
    static IS_HOLLOW: Cell<bool> = const { Cell::new(false) };
    /// The reason.
    static WHY: Cell<Option<String>> = const { Cell::new(None) };
}

/// Notes that a part of the value that is being read is invalid, and returns a valid value in its place; the whole
/// is dropped later. An error in its place would leak memory: rkyv does not free a vector or box if one of its
/// elements cannot be read, and a peer can send such archives as often as it likes.
/// element cannot be read, and a peer can send such archives as often as it likes.
#[cold]
pub(crate) fn stand_in<T>(why: impl Display, value: T) -> T {
    if !IS_HOLLOW.replace(true) {
        WHY.set(Some(why.to_string()));
    }
    value
}

/// Reads a value; fails if a part of it was invalid.
#[inline]
pub(crate) fn reading<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    let outer = IS_HOLLOW.replace(false);
    let value = read();
    match IS_HOLLOW.replace(outer) {
        false => Ok(value),
        true => Err(WHY.take().unwrap_or_default()),
    }
}
