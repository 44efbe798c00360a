//! What a handler says when it fails.

use core::any::Any;
use core::fmt::Write;

use callgate_layout::Code;
use serde_json::{Value, json};

use crate::base::error::{Error, HANDLER_CODE, INNER_GATE};

/// A handler's own failure: a code of its choice, a message and, if it likes, a JSON context.
///
/// Any error converts into one, so that `?` works in a handler. The caller gets an [`Error`] with
/// [`Code::HandlerError`], whose context bears the handler's code as `handler_code`.
///
/// An [`Error`] of this library that a handler passes on with `?` (of a call that it made, for instance) keeps its
/// code as the `handler_code`, and its gate as `inner_gate`; the message names both. Where several handlers pass it on,
/// both stay those of the call that failed first. The code that the caller sees is `HANDLER_ERROR` in each case,
/// whose blame is [`Peer`](crate::Blame::Peer), also where the inner one was a `DEADLOCK`, for which nobody is blamed.
///
/// ```
/// use callgate_client::HandlerError;
/// use serde_json::json;
///
/// fn load(slot: u32) -> Result<String, HandlerError> {
///     if slot > 7 {
///         let error = HandlerError::new("NO_SUCH_SLOT", format!("there is no slot {slot}"));
///         return Err(error.with_context(json!({ "highest": 7 })));
///     }
///     Ok(std::fs::read_to_string("/proc/version")?)
/// }
/// assert_eq!(load(8).unwrap_err().code(), "NO_SUCH_SLOT");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HandlerError {
    code: String,
    message: String,
    context: Option<Value>,
}

impl HandlerError {
    /// A failure with a code for programs and a message for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> HandlerError {
        HandlerError {
            code: code.into(),
            message: message.into(),
            context: None,
        }
    }

    /// Adds what programs want to know beyond the code.
    #[must_use]
    pub fn with_context(mut self, context: Value) -> HandlerError {
        self.context = Some(context);
        self
    }

    /// Names the gate at which it happened: the caller's error names the one that the handler serves.
    fn of_gate(self, gate: &str) -> HandlerError {
        let HandlerError {
            code,
            message,
            context,
        } = self;
        HandlerError {
            message: format!("a handler's use of gate `{gate}` failed: {code}: {message}"),
            context: Some(with_member(context, INNER_GATE, gate.into())),
            code,
        }
    }

    /// The handler's own code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The context, if there is one.
    pub fn context(&self) -> Option<&Value> {
        self.context.as_ref()
    }
}

// HandlerError is no std::error::Error itself, or this would collide with `From<T> for T`.
impl<E: std::error::Error + 'static> From<E> for HandlerError {
    fn from(error: E) -> HandlerError {
        if let Some(error) = (&error as &dyn Any).downcast_ref::<Error>() {
            // What a handler further on failed with stays what it is, however long the way back.
            let code = member(error, HANDLER_CODE).unwrap_or(error.code().as_str());
            let passed_on = HandlerError {
                code: code.to_owned(),
                message: error.message().to_owned(),
                context: error.context().cloned(),
            };
            return match (member(error, INNER_GATE), error.gate()) {
                (None, Some(gate)) => passed_on.of_gate(gate),
                _ => passed_on,
            };
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // Writing to a String cannot fail.
            let _ = write!(message, ": {cause}");
            source = cause.source();
        }
        HandlerError::new(Code::HandlerError.as_str(), message)
    }
}

impl From<HandlerError> for Error {
    fn from(error: HandlerError) -> Error {
        let context = with_member(error.context, HANDLER_CODE, error.code.into());
        // It ran: that is how it failed.
        Error::new(Code::HandlerError, error.message)
            .with_context(context)
            .maybe_run()
    }
}

/// A member of an error's context, where that is a text.
fn member<'a>(error: &'a Error, name: &str) -> Option<&'a str> {
    error.context()?.get(name)?.as_str()
}

/// A context with a member more; one that has no members becomes one of them.
fn with_member(context: Option<Value>, name: &str, value: Value) -> Value {
    match context {
        None => json!({ name: value }),
        Some(Value::Object(mut members)) => {
            members.insert(name.to_owned(), value);
            Value::Object(members)
        }
        Some(other) => json!({ name: value, "context": other }),
    }
}
