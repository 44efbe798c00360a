//! Topics whose events the program hands over as bytes or as JSON values.

use std::time::Duration;

use callgate_layout::{Code, Encoding, Encodings, Signature};
use serde_json::Value;

use crate::api::events::options::TopicOptions;
use crate::api::events::topic::{Handle, TopicState};
use crate::api::plugin::Plugin;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::events::source::event::{Values, Written};

/// Offers a topic whose events are sent as archives of the signature's parameters; a result in the signature is
/// ignored.
///
/// # Errors
///
/// As [`Plugin::topic_with`].
pub fn topic(
    plugin: &Plugin,
    name: &str,
    signature: &Signature,
    options: &TopicOptions,
) -> Result<Topic> {
    offer(plugin, name, signature, (options, Encoding::Archive))
}

/// Offers a topic whose events are sent as JSON arrays, one element for each parameter.
///
/// Listeners whose types differ from the signature convert; those that take only archives cannot hear it.
///
/// ```no_run
/// use callgate_client::{Plugin, TopicOptions, dynamic, signature_of};
/// use serde_json::json;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Script")?;
/// let signature = signature_of::<(u32, String), ()>();
/// let changed = dynamic::topic_json(&plugin, "Script.Changed", &signature, &TopicOptions::new())?;
/// changed.send_values(&[json!(21), json!("mild")])?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// As [`Plugin::topic_with`].
pub fn topic_json(
    plugin: &Plugin,
    name: &str,
    signature: &Signature,
    options: &TopicOptions,
) -> Result<Topic> {
    offer(plugin, name, signature, (options, Encoding::Json))
}

fn offer(
    plugin: &Plugin,
    name: &str,
    signature: &Signature,
    (options, encoding): (&TopicOptions, Encoding),
) -> Result<Topic> {
    let signature = Signature {
        result: None,
        ..signature.clone()
    };
    let encodings = match encoding {
        Encoding::Archive => Encodings::ARCHIVE,
        Encoding::Json => Encodings::JSON,
    };
    let handle = plugin.offer_topic(name, (&signature, encodings), (options, None))?;
    Ok(Topic {
        handle,
        encoding,
        params: signature.params.map(|params| params.len()),
    })
}

/// A topic whose events the program hands over as archives or as JSON; otherwise as [`Topic`](crate::Topic).
#[must_use = "dropping a topic ends it at once"]
pub struct Topic {
    handle: Handle,
    encoding: Encoding,
    /// The number of an event's parameters.
    params: Option<usize>,
}

impl Topic {
    /// The topic's name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Sends an event: an archive of its parameters, whose bytes are not checked here, or the text of a JSON array
    /// of them.
    ///
    /// # Errors
    ///
    /// As [`Topic::send`](crate::Topic::send); `INVALID_ARGUMENT` for a text that is not JSON; `LENGTH_MISMATCH` if
    /// its number of parameters differs from the signature's.
    pub fn send(&self, event: &[u8]) -> Result<()> {
        let written = match self.encoding {
            Encoding::Archive => Written::Archive(event),
            Encoding::Json => {
                let checked = json::check_arguments(event);
                let (_, given) = checked.map_err(|error| self.at(own_fault(error)))?;
                self.check_number(given)?;
                Written::Json(event)
            }
        };
        let sent = self.handle.offered.source.send(&written);
        sent.map_err(|error| self.at(error))
    }
}

impl Topic {
    /// As [`Topic::send`], with values, for a topic that was offered for JSON.
    ///
    /// # Errors
    ///
    /// As [`Topic::send`]; `INVALID_ARGUMENT` for a topic of archives, `TYPE_MISMATCH` for values nested more than 64 deep.
    pub fn send_values(&self, values: &[Value]) -> Result<()> {
        if self.encoding == Encoding::Archive {
            let text = "the topic was offered to be sent on with archives, not with JSON";
            return Err(self.at(Error::new(Code::InvalidArgument, text)));
        }
        self.check_number(values.len())?;
        let sent = self.handle.offered.source.send(&Values(values));
        sent.map_err(|error| self.at(error))
    }

    fn check_number(&self, given: usize) -> Result<()> {
        match self.params {
            Some(expected) if expected != given => {
                let text = format!(
                    "the topic's events have {expected} parameters, and this one has {given}"
                );
                Err(self.at(Error::new(Code::LengthMismatch, text)))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn at(&self, error: Error) -> Error {
        error.at_gate(self.handle.offered.source.name().clone())
    }

    /// How many subscriptions hear this topic now.
    pub fn subscription_count(&self) -> usize {
        self.handle.offered.source.listeners()
    }

    /// Waits until every plugin that listens now has handled what was sent before; see
    /// [`Topic::flush`](crate::Topic::flush).
    ///
    /// # Errors
    ///
    /// As [`Topic::flush`](crate::Topic::flush).
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        self.handle.flush(timeout)
    }

    /// The state of the topic.
    pub fn state(&self) -> TopicState {
        self.handle.state()
    }
}

/// Makes a fault of the caller's own of an error in its JSON, which would otherwise blame a peer.
fn own_fault(error: Error) -> Error {
    match error.code() {
        Code::Protocol => Error::new(Code::InvalidArgument, error.message()),
        _ => error,
    }
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
