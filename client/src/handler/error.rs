//! What a handler says when it fails.

use core::any::Any;
use core::fmt::Write;

use callgate_layout::Code;
use serde_json::{Value, json};

use crate::base::error::{Error, HANDLER_CODE};

/// A handler's own failure: a code of its choice, a message and, if it likes, a JSON context.
///
/// Any error converts into one, so that `?` works in a handler; an error of the bus (of a call
/// that the handler made) keeps its code, also over several handlers. The caller gets an [`Error`] with
/// [`Code::HandlerError`], whose context bears the handler's code as `handler_code`.
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
            let code = match error
                .context()
                .and_then(|context| context.get(HANDLER_CODE))
            {
                Some(Value::String(code)) => code,
                _ => error.code().as_str(),
            };
            return HandlerError {
                code: code.to_owned(),
                message: error.message().to_owned(),
                context: error.context().cloned(),
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
        let context = match error.context {
            None => json!({ HANDLER_CODE: error.code }),
            Some(Value::Object(mut members)) => {
                members.insert(HANDLER_CODE.to_owned(), Value::String(error.code));
                Value::Object(members)
            }
            Some(other) => json!({ HANDLER_CODE: error.code, "context": other }),
        };
        // It ran: that is how it failed.
        Error::new(Code::HandlerError, error.message)
            .with_context(context)
            .maybe_run()
    }
}
