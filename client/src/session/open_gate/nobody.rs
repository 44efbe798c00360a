//! The error of calls through a gate that nobody provides.

use callgate_layout::Code;

use crate::base::error::Error;

/// The message of an error if the reason is not known.
pub(crate) const NOBODY: &str = "nobody provides the gate now";

/// Returns `NOT_READY` with this message, and with the reason and its context if the broker has told them.
pub(crate) fn nobody(what: &str, why: Option<&Error>) -> Error {
    let Some(why) = why else {
        return Error::new(Code::NotReady, what);
    };
    let error = Error::new(Code::NotReady, format!("{what}: {}", why.message()));
    match why.context() {
        Some(context) => error.with_context(context.clone()),
        None => error,
    }
}

/// Whether the broker's answer to `WhyAbsent` is a reason, and not a failure of the question itself.
pub(crate) fn is_known(why: &Error) -> bool {
    matches!(why.code(), Code::NotReady | Code::ProviderGone)
}
