//! Last words: what a plugin's peers are told once it has closed.

use callgate_layout::control::{MAX_TEXT, SessionToBroker};
use callgate_layout::text::cut;
use serde_json::{Value, json};

use super::{CLOSING, Plugin};
use crate::base::deadline::instant_after;

/// How many bytes of the message are kept, at least, when message and context together are too long for the record.
const MESSAGE: usize = 1024;

impl Plugin {
    /// Closes the plugin, as dropping it does, and leaves last words: calls that fail because it has gone
    /// ([`PROVIDER_GONE`](crate::Code::ProviderGone)) carry this message, with this context, in their error. Meant
    /// for programs whose plugin stands for something else, such as a child process, and that know how that has
    /// ended.
    ///
    /// Message and context together take 4 KiB at most. A context that leaves less than 1 KiB for the message is
    /// replaced by its length (`{"left_out": 70000}`); after that the message is cut. The broker has half a second
    /// to take the record; after that the last words are lost.
    pub fn close_with(self, message: &str, context: Value) {
        if !self.state.is_here() {
            return;
        }
        let farewell = farewell(message, &context).into();
        let connection = &self.state.membership().connection;
        match connection.send_until(&farewell, instant_after(CLOSING)) {
            Ok(()) => self.state.leave_the_end_to_the_broker(),
            Err(error) => {
                tracing::debug!(%error, plugin = self.name(), "last words are not told");
            }
        }
    }
}

fn farewell(message: &str, context: &Value) -> SessionToBroker {
    let mut text = context.to_string();
    if text.len() > MAX_TEXT - message.len().min(MESSAGE) {
        text = json!({ "left_out": text.len() }).to_string();
    }
    SessionToBroker::Farewell {
        message: cut(message.to_owned(), MAX_TEXT - text.len()),
        context: text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(message: &str, context: &Value) -> (String, Value) {
        let SessionToBroker::Farewell { message, context } = farewell(message, context) else {
            panic!("a farewell is one");
        };
        assert!(message.len() + context.len() <= MAX_TEXT);
        (message, serde_json::from_str(&context).unwrap())
    }

    #[test]
    fn last_words_fit_a_record_whatever_they_are() {
        let (long, exit) = ("é".repeat(40_000), json!({ "signal": 9 }));
        assert_eq!(made("killed", &exit), ("killed".to_owned(), exit.clone()));
        let (message, context) = made(&long, &exit);
        assert!(message.starts_with("ééé") && message.ends_with("bytes more)"));
        assert_eq!(context, exit);
        let left_out = json!({ "left_out": 80_002 });
        assert_eq!(
            made("killed", &json!(long)),
            ("killed".to_owned(), left_out.clone())
        );
        assert_eq!(made(&long, &json!(long)).1, left_out);
        // The message is cut before such a context is left out.
        let (message, context) = made(&long, &json!("x".repeat(3000)));
        assert!(message.len() > 1000 && context.is_string());
    }
}
