//! Converts errors between the bus and a child.
//!
//! | from | to | what |
//! |---|---|---|
//! | a child's `error {code, message, context}` | a caller | `HANDLER_ERROR`, with that code as `handler_code` in its context |
//! | `HANDLER_ERROR` of a gate | a child | the handler's own code; the context has `callgate_code` beside it |
//! | any other error of the library | a child | the library's code |

use callgate_client::{Code, Error, HandlerError};
use callgate_layout::text::cut;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::frame::Failure;

/// The most bytes of a child's code, message and context that are passed on: the limits of the bus, where the code is part of the context.
const CODE: usize = 256;
const MESSAGE: usize = 4 << 10;
const CONTEXT: usize = 16 << 10;

/// An error for a child.
#[derive(Debug)]
pub(crate) struct Told {
    code: String,
    message: String,
    context: Option<Box<RawValue>>,
}

impl Told {
    /// Converts an error of the library; if it passes on an error of a handler, that handler's code and context are used.
    pub(crate) fn of(error: &Error) -> Told {
        let (code, context) = match error.code() {
            Code::HandlerError => of_handler(error.context()),
            code => (code.as_str().to_owned(), error.context().cloned()),
        };
        let message = match error.gate() {
            // The gate is named because otherwise a plugin that the child passes the error on to would take it for an error of its own
            // call.
            Some(gate) if error.code() == Code::NotReady => {
                format!("{} (gate {gate})", error.message())
            }
            _ => error.message().to_owned(),
        };
        Told {
            code,
            message,
            // Writing a JSON value cannot fail.
            context: context.and_then(|context| to_raw_value(&context).ok()),
        }
    }

    /// An error of the runtime itself.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Told {
        Told {
            code: code.to_owned(),
            message: message.into(),
            context: None,
        }
    }

    /// The same error with a context.
    pub(crate) fn with(self, context: &Value) -> Told {
        Told {
            context: to_raw_value(context).ok(),
            ..self
        }
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn as_failure(&self) -> Failure<'_> {
        Failure {
            code: self.code.as_str().into(),
            message: self.message.as_str().into(),
            context: self.context.as_deref(),
        }
    }
}

/// The code and context of a handler's error.
fn of_handler(context: Option<&Value>) -> (String, Option<Value>) {
    let ours = Code::HandlerError.as_str();
    let mut members = match context {
        Some(Value::Object(members)) => members.clone(),
        Some(other) => [("context".to_owned(), other.clone())]
            .into_iter()
            .collect(),
        None => serde_json::Map::new(),
    };
    let code = match members.remove("handler_code") {
        Some(Value::String(code)) => code,
        _ => ours.to_owned(),
    };
    members.insert("callgate_code".to_owned(), ours.into());
    (code, Some(Value::Object(members)))
}

/// Converts an error from a child into an error of a handler.
pub(crate) fn of_child(failure: &Failure<'_>) -> HandlerError {
    let code = cut(failure.code.to_string(), CODE);
    let message = cut(failure.message.to_string(), MESSAGE);
    let error = HandlerError::new(code, message);
    let Some(context) = failure.context.map(RawValue::get) else {
        return error;
    };
    let omitted = || json!({ "omitted_bytes": context.len() });
    let context = match context.len() <= CONTEXT {
        true => serde_json::from_str(context).unwrap_or_else(|_| omitted()),
        false => omitted(),
    };
    error.with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn failure<'a>(code: &'a str, context: Option<&'a RawValue>) -> Failure<'a> {
        Failure {
            code: code.into(),
            message: "no such row".into(),
            context,
        }
    }

    /// The code of one child's error reached another child only as text in the message.
    #[test]
    fn a_child_s_error_reaches_another_child_as_it_was() {
        let context = raw(r#"{"table":"users"}"#);
        let handler = of_child(&failure("NO_ROW", Some(&context)));
        let told = Told::of(&Error::from(handler));
        let failure = told.as_failure();
        assert_eq!(
            (&*failure.code, &*failure.message),
            ("NO_ROW", "no such row")
        );
        let context: Value = serde_json::from_str(failure.context.unwrap().get()).unwrap();
        let expected = json!({ "table": "users", "callgate_code": "HANDLER_ERROR" });
        assert_eq!(context, expected);
    }

    #[test]
    fn an_error_of_the_library_keeps_its_code_and_context() {
        let error = Error::new(Code::ProviderGone, "it was killed");
        let told = Told::of(&error.with_context(json!({ "signal": 9 })));
        let failure = told.as_failure();
        assert_eq!(
            (&*failure.code, &*failure.message),
            ("PROVIDER_GONE", "it was killed")
        );
        assert_eq!(failure.context.unwrap().get(), r#"{"signal":9}"#);
        assert!(
            Told::new("DUPLICATE_ID", "it is open")
                .as_failure()
                .context
                .is_none()
        );
    }

    #[test]
    fn a_child_cannot_make_others_keep_long_errors() {
        let long = "x".repeat(4 << 20);
        let context = raw(&format!("\"{long}\""));
        let error = of_child(&Failure {
            code: long.as_str().into(),
            message: long.as_str().into(),
            context: Some(&context),
        });
        assert!(error.code().len() <= CODE && error.message().len() <= MESSAGE);
        assert_eq!(
            error.context(),
            Some(&json!({ "omitted_bytes": long.len() + 2 }))
        );
        // Nested deeper than serde_json reads values.
        let deep = raw(&format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)));
        let error = of_child(&failure("DEEP", Some(&deep)));
        assert_eq!(error.context(), Some(&json!({ "omitted_bytes": 10_000 })));
    }
}
