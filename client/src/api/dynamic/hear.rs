//! Subscribing to events without types known at compile time: as archives, as JSON, or as the sender writes them.

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

/// Subscribes to events of any type as JSON, one value for each parameter. The senders convert.
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

/// Subscribes to events with the types of a signature that is known only at run time, in these encodings. The
/// handler gets the archive of the parameters, which was not checked, or the text of a JSON array, which was
/// checked to be one.
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

/// Subscribes to events of any type as JSON, one value for each parameter; the program takes them one by one.
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

/// Subscribes to events with the types of a signature that is known only at run time; the program takes them one by
/// one, as archives or as the texts of JSON arrays.
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
