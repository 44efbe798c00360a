//! Values of gate types that have no archive.

use core::cell::Cell;

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
