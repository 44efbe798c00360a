//! Parses the bytes of a frame.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::depth::is_deeper;
use super::source::{Source, kind_of};
use super::{
    DEEPEST, DeliverError, Fields, Incoming, Malformed, Publish, Response, Service, Subscribe,
    Unsubscribe,
};

#[cfg(test)]
mod tests;

/// Prefixes of the services that a child may call without an id.
const SERVICES: [&str; 10] = [
    "data.",
    "schedule.",
    "http.",
    "storage.",
    "broadcast.",
    "presence.",
    "permissions.",
    "resources.",
    "voice.",
    "core.",
];

/// Parses one frame: the bytes after `IPC:` on its line.
pub(crate) fn parse(frame: &[u8]) -> Result<Incoming<'_>, Malformed> {
    let frame = str::from_utf8(frame)
        .map_err(|error| Malformed::new(format_args!("it is not UTF-8: {error}")))?;
    // Only the characters that JSON counts as white space; `str::trim` would remove more.
    let frame = frame.trim_matches([' ', '\t', '\n', '\r']);
    if !frame.starts_with('{') {
        let found = kind_of(frame);
        return Err(Malformed::new(format_args!(
            "expected an object, found {found}"
        )));
    }
    // Checked first, because parsing JSON recurses as deep as it is nested.
    if is_deeper(frame.as_bytes(), DEEPEST) {
        return Err(Malformed::new(format_args!(
            "it is nested deeper than {DEEPEST}"
        )));
    }
    let fields: Fields<'_> = serde_json::from_str(frame).map_err(Malformed::new)?;
    let source = Source(&fields);
    let kind = source.name("type")?;
    match known(source, &kind) {
        Ok(Some(incoming)) => Ok(incoming),
        Ok(None) => service(kind, fields),
        Err(malformed) => Err(malformed.of(&kind, source.id().ok().flatten())),
    }
}

/// Parses a frame of one of the runtime's own types; returns `None` for other types.
fn known<'a>(source: Source<'a, '_>, kind: &str) -> Result<Option<Incoming<'a>>, Malformed> {
    Ok(Some(match kind {
        "ready" => Incoming::Ready,
        "serve_ready" => Incoming::ServeReady,
        "pong" => Incoming::Pong {
            nonce: source
                .get("nonce")
                .and_then(|nonce| nonce.get().parse().ok()),
        },
        "response" => Incoming::Response(Response {
            id: source.name("id")?,
            outcome: source.outcome()?,
        }),
        "event.deliver.error" => Incoming::DeliverError(DeliverError {
            id: source.name("id")?,
            error: source.text("error")?,
        }),
        "events.publish" => Incoming::Publish(Publish {
            id: source.id()?,
            topic: source.text("topic")?,
            payload: source.get("payload").unwrap_or(RawValue::NULL),
            version: source.version()?,
        }),
        "events.subscribe" => Incoming::Subscribe(Subscribe {
            id: source.id()?,
            topic: source.text("topic")?,
            overflow: source.overflow()?,
            queue_size: source.queue_size()?,
        }),
        "events.unsubscribe" => Incoming::Unsubscribe(Unsubscribe {
            id: source.id()?,
            topic: source.text("topic")?,
        }),
        _ => return Ok(None),
    }))
}

fn service<'a>(kind: Cow<'a, str>, fields: Fields<'a>) -> Result<Incoming<'a>, Malformed> {
    let id = Source(&fields).id();
    let id = id.map_err(|malformed| malformed.of(&kind, None))?;
    let is_service = id.is_some() || SERVICES.iter().any(|start| kind.starts_with(start));
    Ok(match is_service {
        true => Incoming::Service(Service { kind, id, fields }),
        false => Incoming::Unknown { kind },
    })
}
