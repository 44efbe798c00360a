//! An error as it travels in place of a reply.

use callgate_layout::Code;

use crate::{Error, gate_type};

/// How much of a message travels.
const MESSAGE_LIMIT: usize = 4096;
/// How much context travels; a larger one is left out, because half of it would not be JSON.
const CONTEXT_LIMIT: usize = 16 * 1024;

/// An [`Error`] as it travels in place of a reply. The gate is not in it: the caller knows it.
#[gate_type]
pub(crate) struct ErrorRecord {
    code: u16,
    message: String,
    context_json: Option<String>,
    may_have_run: bool,
}

impl From<&Error> for ErrorRecord {
    fn from(error: &Error) -> ErrorRecord {
        let context = error.context().map(serde_json::Value::to_string);
        ErrorRecord {
            code: error.code() as u16,
            message: clip(error.message()).to_owned(),
            context_json: context.filter(|json| json.len() <= CONTEXT_LIMIT),
            may_have_run: error.may_have_run(),
        }
    }
}

/// The longest beginning that keeps the limit and ends between two characters.
fn clip(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_LIMIT)]
}

impl From<ErrorRecord> for Error {
    /// What a peer says went wrong; a record that no correct peer writes is a protocol error.
    fn from(record: ErrorRecord) -> Error {
        let Some(code) = Code::from_u16(record.code) else {
            let message = format!(
                "the peer answered with the unknown error code {}",
                record.code
            );
            return Error::new(Code::Protocol, message).maybe_run();
        };
        let mut error = Error::new(code, clip(&record.message));
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
