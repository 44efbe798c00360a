//! The one error type of the client.

use core::fmt;
use std::fmt::Write;
use std::sync::Arc;

use callgate_layout::{Blame, Code};

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What went wrong: a [`Code`] for programs, a message for people, the gate at which it happened and, if a handler
/// gave one, a JSON context.
///
/// ```
/// use callgate_client::{Code, Error};
/// let error = Error::new(Code::NotReady, "nobody provides it").at_gate("Rack.Filter");
/// assert_eq!(error.code(), Code::NotReady);
/// assert_eq!(error.to_string(), "NOT_READY: nobody provides it (gate Rack.Filter)");
/// ```
#[derive(Clone)]
pub struct Error {
    // One pointer wide, so that a Result on the hot path stays small.
    inner: Box<Inner>,
}

/// The member of an error's context that has the handler's own code.
pub(crate) const HANDLER_CODE: &str = "handler_code";
/// The member of an error's context that has the gate of the call that failed in a handler, if the handler passed
/// the error on.
pub(crate) const INNER_GATE: &str = "inner_gate";

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    message: String,
    gate: Option<Arc<str>>,
    context: Option<serde_json::Value>,
    may_have_run: bool,
    again: Again,
}

/// Whether a failed call may be repeated once the broker has told how its gate stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Again {
    Never,
    /// Yes, with its whole time.
    InTime,
    /// Yes, with this deadline, in nanoseconds of the monotonic clock.
    By(u64),
}

impl Error {
    /// Makes an error with a code and a message for people.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error {
            inner: Box::new(Inner {
                code,
                message: message.into(),
                gate: None,
                context: None,
                may_have_run: false,
                again: Again::Never,
            }),
        }
    }

    /// Adds the gate at which it happened.
    #[must_use]
    pub fn at_gate(mut self, gate: impl Into<Arc<str>>) -> Error {
        self.inner.gate = Some(gate.into());
        self
    }

    /// Adds facts for programs, beyond the message.
    #[must_use]
    pub fn with_context(mut self, context: serde_json::Value) -> Error {
        self.inner.context = Some(context);
        self
    }

    /// Marks that the handler may have run before the error came; see [`Error::may_have_run`].
    #[must_use]
    pub fn maybe_run(mut self) -> Error {
        self.inner.may_have_run = true;
        self
    }

    /// Whether a call certainly did not run because its provider does not serve it: another provider may, or the
    /// same one later.
    pub(crate) fn is_refusal(&self) -> bool {
        let refusals = [Code::NotReady, Code::PermissionDenied, Code::ProviderGone];
        !self.may_have_run() && refusals.contains(&self.code())
    }

    /// Marks that the call may be repeated. The mark is part of the error, so that the outcome of a call has its
    /// final form from the start and is not moved.
    pub(crate) fn with_again(mut self, again: Again) -> Error {
        self.inner.again = again;
        self
    }

    /// Whether the call may be repeated.
    pub(crate) fn again(&self) -> Again {
        self.inner.again
    }

    /// Chooses the error to report for a call that failed with `first` and then found no way. That its provider has
    /// gone says more than that there is no other.
    pub(crate) fn after(self, first: Error) -> Error {
        match (first.code(), self.code()) {
            (Code::ProviderGone, Code::NotReady) => first,
            _ => self,
        }
    }

    /// The code, for programs.
    pub fn code(&self) -> Code {
        self.inner.code
    }

    /// The message for people, without code and gate.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The gate at which it happened, if any.
    pub fn gate(&self) -> Option<&str> {
        self.inner.gate.as_deref()
    }

    /// The handler's context, if it gave one.
    pub fn context(&self) -> Option<&serde_json::Value> {
        self.inner.context.as_ref()
    }

    /// Who is usually at fault for an error with this code.
    pub fn blame(&self) -> Blame {
        self.inner.code.blame()
    }

    /// Whether the handler may have run although no answer came. If this is `false` for a failed call, the handler
    /// certainly did not run, and calling again is safe.
    pub fn may_have_run(&self) -> bool {
        self.inner.may_have_run
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.inner.code, self.inner.message)?;
        match &self.inner.gate {
            Some(gate) => write!(f, " (gate {})", OneLine(gate)),
            None => Ok(()),
        }
    }
}

/// Writes a name that a program has passed in, which may be invalid: control characters are escaped.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_default()),
            false => f.write_char(c),
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            code,
            message,
            gate,
            context,
            may_have_run,
            again: _,
        } = &*self.inner;
        f.debug_struct("Error")
            .field("code", code)
            .field("message", message)
            .field("gate", gate)
            .field("context", context)
            .field("may_have_run", may_have_run)
            .finish()
    }
}

impl std::error::Error for Error {}

/// The error for a handle that is used in a forked child.
#[cold]
pub(crate) fn forked() -> Error {
    Error::new(
        Code::Closed,
        "this handle was made before a fork, in the parent process: connect anew in the child",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of one line for each error had two.
    #[test]
    fn a_name_that_is_none_stays_on_its_line() {
        let error = Error::new(Code::InvalidArgument, "no").at_gate("a\n\u{1b}ü \"b\"");
        let text = "INVALID_ARGUMENT: no (gate a\\n\\u{1b}ü \"b\")";
        assert_eq!(error.to_string(), text);
    }

    /// A `main` that returned one ended with `Error: Inner { … }`.
    #[test]
    fn a_program_that_ends_with_one_names_it() {
        let error = Error::new(Code::NotReady, "nobody provides it").at_gate("A.B");
        let text = format!("{error:?}");
        assert!(text.starts_with("Error { code: NotReady, "), "{text}");
    }
}
