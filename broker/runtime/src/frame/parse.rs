//! A frame's bytes to what it says.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::depth::is_deeper;
use super::fields::text;
use super::{
    DEEPEST, DeliverError, Failure, Fields, Incoming, Malformed, NAME_CAP, Overflow, Publish,
    Response, Service, Subscribe, Unsubscribe,
};

/// What begins the names of services that may be called without an id.
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

/// Reads one frame: what stands behind `IPC:` on its line.
pub(crate) fn parse(frame: &[u8]) -> Result<Incoming<'_>, Malformed> {
    let frame = str::from_utf8(frame)
        .map_err(|error| Malformed::new(format_args!("it is not UTF-8: {error}")))?;
    let frame = frame.trim_ascii();
    if !frame.starts_with('{') {
        let found = found(frame);
        return Err(Malformed::new(format_args!(
            "expected an object, found {found}"
        )));
    }
    if is_deeper(frame.as_bytes(), DEEPEST) {
        return Err(Malformed::new(format_args!(
            "it is nested deeper than {DEEPEST}"
        )));
    }
    let fields: Fields<'_> = serde_json::from_str(frame).map_err(Malformed::new)?;
    let source = Source { fields: &fields };
    let kind = source.name("type")?;
    let Some(kind) = kind else {
        return Err(Malformed::new("expected a field `type`, found none"));
    };
    match known(&source, &kind) {
        Ok(Some(incoming)) => Ok(incoming),
        Ok(None) => service(kind, fields),
        Err(malformed) => Err(malformed.of(&kind, source.name("id").ok().flatten())),
    }
}

/// A frame of one of our own types; `None` for others.
fn known<'a>(source: &Source<'a, '_>, kind: &str) -> Result<Option<Incoming<'a>>, Malformed> {
    Ok(Some(match kind {
        "ready" => Incoming::Ready,
        "serve_ready" => Incoming::ServeReady,
        "pong" => Incoming::Pong {
            nonce: source
                .get("nonce")
                .and_then(|nonce| nonce.get().parse().ok()),
        },
        "response" => Incoming::Response(Response {
            id: source.id()?,
            outcome: source.outcome()?,
        }),
        "event.deliver.error" => Incoming::DeliverError(DeliverError {
            id: source.id()?,
            error: source.text("error")?,
        }),
        "events.publish" => Incoming::Publish(Publish {
            id: source.name("id")?,
            topic: source.text("topic")?,
            payload: source.get("payload").unwrap_or(RawValue::NULL),
            version: source.version()?,
        }),
        "events.subscribe" => Incoming::Subscribe(Subscribe {
            id: source.name("id")?,
            topic: source.text("topic")?,
            overflow: source.overflow()?,
            queue_size: source.queue_size()?,
        }),
        "events.unsubscribe" => Incoming::Unsubscribe(Unsubscribe {
            id: source.name("id")?,
            topic: source.text("topic")?,
        }),
        _ => return Ok(None),
    }))
}

fn service<'a>(kind: Cow<'a, str>, fields: Fields<'a>) -> Result<Incoming<'a>, Malformed> {
    let id = Source { fields: &fields }.name("id");
    let id = id.map_err(|malformed| malformed.of(&kind, None))?;
    let is_service = id.is_some() || SERVICES.iter().any(|start| kind.starts_with(start));
    Ok(match is_service {
        true => Incoming::Service(Service { kind, id, fields }),
        false => Incoming::Unknown { kind },
    })
}

/// The fields of one object, with what is expected of them. A field that is `null` counts as not there.
struct Source<'a, 'f> {
    fields: &'f Fields<'a>,
}

impl<'a> Source<'a, '_> {
    fn get(&self, field: &str) -> Option<&'a RawValue> {
        self.fields.get(field).filter(|value| value.get() != "null")
    }

    /// A text of a limited length, where it is there.
    fn name(&self, field: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        match text(value) {
            Some(name) if name.len() <= NAME_CAP => Ok(Some(name)),
            Some(name) => Err(Malformed::new(format_args!(
                "`{field}`: expected a string of at most {NAME_CAP} bytes, found one of {}",
                name.len()
            ))),
            None => Err(wrong(field, "a string", Some(value))),
        }
    }

    fn id(&self) -> Result<Cow<'a, str>, Malformed> {
        self.name("id")?
            .ok_or_else(|| wrong("id", "a string", None))
    }

    fn text(&self, field: &str) -> Result<Cow<'a, str>, Malformed> {
        let value = self.get(field);
        let found = value.and_then(text);
        found.ok_or_else(|| wrong(field, "a string", value))
    }

    fn outcome(&self) -> Result<Result<&'a RawValue, Failure<'a>>, Malformed> {
        let Some(error) = self.get("error") else {
            return Ok(Ok(self.get("result").unwrap_or(RawValue::NULL)));
        };
        if !error.get().starts_with('{') {
            let expected = "an object with `code` and `message`";
            return Err(wrong("error", expected, Some(error)));
        }
        let fields = serde_json::from_str(error.get())
            .map_err(|error| Malformed::new(format_args!("`error`: {error}")))?;
        let source = Source { fields: &fields };
        let inside = |malformed: Malformed| Malformed {
            reason: format!("in `error`, {}", malformed.reason),
            ..malformed
        };
        Ok(Err(Failure {
            code: source.text("code").map_err(inside)?,
            message: source.text("message").map_err(inside)?,
            context: source.get("context"),
        }))
    }

    fn version(&self) -> Result<Option<&'a RawValue>, Malformed> {
        let version = self.get("version").filter(|value| value.get() != "1");
        match version {
            Some(value) if !matches!(kind(value.get()), Some(Kind::Number | Kind::String)) => {
                Err(wrong("version", "a number or a string", Some(value)))
            }
            version => Ok(version),
        }
    }

    fn overflow(&self) -> Result<Option<Overflow>, Malformed> {
        let Some(value) = self.get("overflow_policy") else {
            return Ok(None);
        };
        Ok(Some(match value.get() {
            "\"drop_oldest\"" => Overflow::DropOldest,
            "\"drop_newest\"" => Overflow::DropNewest,
            "\"mark_unhealthy\"" => Overflow::MarkUnhealthy,
            _ => {
                let allowed = "\"drop_oldest\", \"drop_newest\" or \"mark_unhealthy\"";
                return Err(wrong("overflow_policy", allowed, Some(value)));
            }
        }))
    }

    fn queue_size(&self) -> Result<Option<u32>, Malformed> {
        let Some(value) = self.get("queue_size") else {
            return Ok(None);
        };
        let size = value.get().parse().ok().filter(|size| *size > 0);
        let expected = "a whole number from 1 to 4294967295";
        size.map(Some)
            .ok_or_else(|| wrong("queue_size", expected, Some(value)))
    }
}

/// The kinds of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    List,
    String,
    Number,
    Bool,
    Null,
}

/// What kind a value's text is of; `None` where it is of none.
fn kind(value: &str) -> Option<Kind> {
    Some(match value.as_bytes().first()? {
        b'{' => Kind::Object,
        b'[' => Kind::List,
        b'"' => Kind::String,
        b'-' | b'0'..=b'9' => Kind::Number,
        b't' | b'f' => Kind::Bool,
        b'n' => Kind::Null,
        _ => return None,
    })
}

/// A value's text in words, for reasons.
fn found(value: &str) -> &'static str {
    match kind(value) {
        Some(Kind::Object) => "an object",
        Some(Kind::List) => "a list",
        Some(Kind::String) => "a string",
        Some(Kind::Number) => "a number",
        Some(Kind::Bool) => "a boolean",
        Some(Kind::Null) => "null",
        None if value.is_empty() => "nothing",
        None => "what is not JSON",
    }
}

fn wrong(field: &str, expected: &str, value: Option<&RawValue>) -> Malformed {
    let found = value.map_or("none", |value| found(value.get()));
    Malformed::new(format_args!(
        "`{field}`: expected {expected}, found {found}"
    ))
}
