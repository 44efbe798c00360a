//! Values of gate types that have no archive, and archives that hold no value.

use core::cell::Cell;
use core::fmt::Display;

use callgate_layout::Code;
use rkyv::rancor::Source;

use crate::base::error::Error;

/// What is the matter with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// A path is text here.
    #[error("a path that is not UTF-8")]
    Path,
    /// A time is what has passed since 1970.
    #[error("a time before 1970")]
    Time,
    /// A value of any type is its JSON.
    #[error("a JSON value that is nested more than 64 deep, or longer than texts may be")]
    Json,
}

impl Unfit {
    /// The error of a call whose arguments, or whose result, have such a value in them.
    #[cold]
    pub(crate) fn error(self, what: &str) -> Error {
        let text = format!("the {what} hold {self}, which has no archive");
        Error::new(Code::TypeMismatch, text)
    }
}

thread_local! {
    /// Why the last value that this thread could not archive had no archive. The error that goes
    /// through rkyv says nothing, so that values which are archived pay nothing for it.
    static LAST: Cell<Option<Unfit>> = const { Cell::new(None) };
}

/// The error for a value that has no archive.
#[cold]
pub(crate) fn refuse<E: Source>(why: Unfit) -> E {
    LAST.set(Some(why));
    E::new(why)
}

/// Why a value had none, if that is what was wrong.
pub(super) fn take() -> Option<Unfit> {
    LAST.take()
}

thread_local! {
    /// Whether a part of the value that this thread is reading is none.
    static IS_HOLLOW: Cell<bool> = const { Cell::new(false) };
    /// Why.
    static WHY: Cell<Option<String>> = const { Cell::new(None) };
}

/// Says that a part of the value that is being read is none, and gives back what stands in its place until the
/// value is thrown away. An error in its place would leave memory behind: rkyv does not free a vector or box of which an
/// element cannot be read, and a peer can send such archives as often as it likes.
#[cold]
pub(crate) fn stand_in<T>(why: impl Display, value: T) -> T {
    if !IS_HOLLOW.replace(true) {
        WHY.set(Some(why.to_string()));
    }
    value
}

/// Reads a value of which a part may be none; the error is why.
#[inline]
pub(crate) fn reading<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    let outer = IS_HOLLOW.replace(false);
    let value = read();
    match IS_HOLLOW.replace(outer) {
        false => Ok(value),
        true => Err(WHY.take().unwrap_or_default()),
    }
}
