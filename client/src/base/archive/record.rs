//! The record of an error that is sent in place of a reply.

use callgate_layout::Code;
use callgate_layout::text::cut;
use serde_json::{Value, json};

use crate::base::error::{Error, HANDLER_CODE, INNER_GATE};
use crate::gate_type;

/// How many bytes of a message are sent.
const MESSAGE_LIMIT: usize = 4096;
/// How many bytes of context are sent. Of a larger one only the handler's code and the inner gate are sent, because
/// a part of it would not be JSON.
const CONTEXT_LIMIT: usize = 16 * 1024;
/// The member that replaces a context that was left out; its value is the context's length in bytes.
const OMITTED: &str = "omitted_bytes";

/// An [`Error`] that is sent in place of a reply. It does not name the gate, which the caller knows.
#[gate_type]
pub(crate) struct ErrorRecord {
    code: u16,
    message: String,
    context_json: Option<String>,
    may_have_run: bool,
}

impl From<&Error> for ErrorRecord {
    fn from(error: &Error) -> ErrorRecord {
        ErrorRecord {
            code: error.code() as u16,
            message: cut(error.message().to_owned(), MESSAGE_LIMIT),
            context_json: error.context().map(clip),
            may_have_run: error.may_have_run(),
        }
    }
}

/// The context as JSON. If it is too long, what there is room for, and how many bytes were left out.
fn clip(context: &Value) -> String {
    let json = context.to_string();
    if json.len() <= CONTEXT_LIMIT {
        return json;
    }
    let mut rest = json!({ OMITTED: json.len() });
    for name in [HANDLER_CODE, INNER_GATE] {
        if let Some(Value::String(text)) = context.get(name) {
            rest[name] = cut(text.clone(), MESSAGE_LIMIT).into();
        }
    }
    rest.to_string()
}

impl From<ErrorRecord> for Error {
    /// Makes an error of a peer's record. A record that no correct peer writes is a protocol error.
    fn from(record: ErrorRecord) -> Error {
        let Some(code) = Code::from_u16(record.code) else {
            let message = format!(
                "the peer answered with the unknown error code {}",
                record.code
            );
            return Error::new(Code::Protocol, message).maybe_run();
        };
        let mut error = Error::new(code, cut(record.message, MESSAGE_LIMIT));
        if record.may_have_run {
            error = error.maybe_run();
        }
        match record.context_json.map(|json| serde_json::from_str(&json)) {
            None => error,
            Some(Ok(context)) => error.with_context(context),
            Some(Err(_)) => {
                let message = "the peer answered with an error whose context is not JSON";
                Error::new(Code::Protocol, message).maybe_run()
            }
        }
    }
}
