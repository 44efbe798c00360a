//! The errors of handlers.

use core::any::Any;
use core::fmt::Write;

use callgate_layout::Code;
use serde_json::{Value, json};

use crate::base::error::{Error, HANDLER_CODE, INNER_GATE};

/// A handler's own failure: a code of its choice, a message and optionally a JSON context.
///
/// Any error converts into one, so that `?` works in a handler. The caller gets an [`Error`] with
/// [`Code::HandlerError`], whose context has the handler's code as `handler_code`.
///
/// If a handler passes an [`Error`] of this library on with `?` (of a call that it made, for instance), that
/// error's code becomes the `handler_code`, and its gate becomes `inner_gate` in the context; the message names
/// both. If several handlers pass it on, both stay those of the call that failed first. The code that the caller
/// sees is always `HANDLER_ERROR`, whose blame is [`Peer`](crate::Blame::Peer), even if the inner one was a
/// `DEADLOCK`, for which nobody is blamed.
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

    /// Adds facts for programs, beyond the code.
    #[must_use]
    pub fn with_context(mut self, context: Value) -> HandlerError {
        self.context = Some(context);
        self
    }

    /// Adds the name of the gate whose call failed. The caller's error itself names the gate that the handler
    /// serves.
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

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The context, if there is one.
    pub fn context(&self) -> Option<&Value> {
        self.context.as_ref()
    }
}

// HandlerError does not implement std::error::Error, because this impl would collide with `From<T> for T`.
impl<E: std::error::Error + 'static> From<E> for HandlerError {
    fn from(error: E) -> HandlerError {
        if let Some(error) = (&error as &dyn Any).downcast_ref::<Error>() {
            // The first handler's code is kept, however many handlers have passed the error on.
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
        // The handler did run, because it has failed itself.
        Error::new(Code::HandlerError, error.message)
            .with_context(context)
            .maybe_run()
    }
}

/// A member of an error's context, if it is a text.
fn member<'a>(error: &'a Error, name: &str) -> Option<&'a str> {
    error.context()?.get(name)?.as_str()
}

/// Adds a member to a context. A context that is no object becomes the member `context` of a new one.
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
