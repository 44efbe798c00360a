//! Hearing events without types: as archives, as JSON, or as whichever the sender writes.

use callgate_layout::{Encoding, Encodings, Signature};
use serde_json::Value;

use crate::api::events::pull::Events;
use crate::api::events::subscription::{Subscription, SubscriptionBuilder};
use crate::api::plugin::Plugin;
use crate::base::bytes::Bytes;
use crate::base::error::Result;
use crate::base::json;
use crate::events::handlers::{EventContext, OfBytes, OfValues, read_values};
use crate::handler::HandlerError;
use crate::session::wanted::anything;

/// Hears events of whatever types as JSON: one value for each parameter. The senders convert.
///
/// ```no_run
/// use callgate_client::{Plugin, dynamic};
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Log")?;
/// let all = plugin.subscription("weather.*");
/// let _weather = dynamic::subscribe_json(all, |event, values| {
///     println!("{} {}", event.topic(), serde_json::Value::Array(values));
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`Plugin::subscribe`].
pub fn subscribe_json(
    subscription: SubscriptionBuilder,
    handler: impl Fn(EventContext<'_>, Vec<Value>) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> Result<Subscription> {
    let handler = Box::new(OfValues(handler));
    subscription.with(&anything(None), Encodings::JSON, handler)
}

/// Hears events with the types of a signature, which are known at run time, in these encodings: the archive of the parameters,
/// into which nobody has looked, or the text of a JSON array, which has been checked to be one.
///
/// # Errors
///
/// As [`Plugin::subscribe`].
pub fn subscribe(
    subscription: SubscriptionBuilder,
    (signature, encodings): (&Signature, Encodings),
    handler: impl Fn(EventContext<'_>, Encoding, &[u8]) -> Result<(), HandlerError>
    + Send
    + Sync
    + 'static,
) -> Result<Subscription> {
    let handler = Box::new(OfBytes(handler));
    let signature = Signature {
        result: None,
        ..signature.clone()
    };
    subscription.with(&signature, encodings, handler)
}

/// Hears events of whatever types as JSON, to be taken one by one: one value for each parameter.
///
/// # Errors
///
/// As [`Plugin::subscribe`].
pub fn events_json(plugin: &Plugin, topic: &str) -> Result<Events<Vec<Value>>> {
    Events::new(
        plugin.state(),
        topic,
        (&anything(None), Encodings::JSON),
        read_values,
    )
}

/// Hears events with the types of a signature, which are known at run time, to be taken one by one: as archives, or as the texts of
/// JSON arrays.
///
/// # Errors
///
/// As [`Plugin::subscribe`].
pub fn events(
    plugin: &Plugin,
    topic: &str,
    (signature, encodings): (&Signature, Encodings),
) -> Result<Events<(Encoding, Bytes)>> {
    let signature = Signature {
        result: None,
        ..signature.clone()
    };
    Events::new(plugin.state(), topic, (&signature, encodings), read_bytes)
}

fn read_bytes(encoding: Encoding, event: &[u8]) -> Result<(Encoding, Bytes)> {
    if encoding == Encoding::Json {
        json::check_arguments(event)?;
    }
    Ok((encoding, Bytes::copy(event)))
}
