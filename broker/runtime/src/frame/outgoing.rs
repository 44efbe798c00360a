//! The frames that the runtime sends to a child, and how they are written as lines.

use std::io;

use memchr::memchr2;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::Failure;
use super::request::Request;

#[cfg(test)]
mod tests;

/// An upper bound for the bytes of a frame apart from its texts.
const NAMES: usize = 160;

/// A frame to a child.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(crate) enum Outgoing<'a> {
    /// Written by [`request`](super::request), because it is the most frequent frame.
    #[serde(skip)]
    Request(Request<'a>),
    /// The answer to a service call.
    #[serde(rename = "response")]
    Response {
        id: &'a str,
        #[serde(flatten, serialize_with = "result_or_error")]
        outcome: Result<&'a RawValue, &'a Failure<'a>>,
    },
    /// The answer to a frame about events; contains the event's id if an event was sent.
    #[serde(rename = "event.ack")]
    Ack {
        id: &'a str,
        #[serde(flatten, serialize_with = "ok_or_error")]
        outcome: Result<Option<&'a str>, &'a Failure<'a>>,
    },
    #[serde(rename = "event.deliver")]
    Deliver {
        topic: &'a str,
        /// A number or a text; `None` for 1.
        #[serde(serialize_with = "or_one")]
        version: Option<&'a RawValue>,
        id: &'a str,
        /// When it was sent, in milliseconds since 1970.
        ts: u64,
        source_plugin: &'a str,
        payload: &'a RawValue,
        /// The topic or pattern of the subscription that this event is delivered for.
        subscription: &'a str,
    },
    #[serde(rename = "ping")]
    Ping { nonce: u64 },
    #[serde(rename = "file.uploaded", rename_all = "camelCase")]
    FileUploaded {
        filename: &'a str,
        path: &'a str,
        size: u64,
        mime_type: &'a str,
        uploaded_by: &'a str,
        /// A time in the format of the host.
        uploaded_at: &'a RawValue,
    },
    #[serde(rename = "core.plugin.config_changed")]
    ConfigChanged {
        key: &'a str,
        value: &'a RawValue,
        changed_by_user_id: Option<&'a str>,
        ts: u64,
    },
}

/// The frame is longer than the limit for frames to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame has more than {cap} bytes")]
pub(crate) struct TooLarge {
    pub(crate) cap: usize,
}

fn or_one<S: Serializer>(version: &Option<&RawValue>, serializer: S) -> Result<S::Ok, S::Error> {
    match version {
        Some(version) => version.serialize(serializer),
        None => serializer.serialize_u32(1),
    }
}

fn result_or_error<S: Serializer>(
    outcome: &Result<&RawValue, &Failure<'_>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    match outcome {
        Ok(result) => map.serialize_entry("result", result)?,
        Err(error) => map.serialize_entry("error", error)?,
    }
    map.end()
}

fn ok_or_error<S: Serializer>(
    outcome: &Result<Option<&str>, &Failure<'_>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("ok", &outcome.is_ok())?;
    match outcome {
        Ok(None) => {}
        Ok(Some(event)) => map.serialize_entry("event_id", event)?,
        Err(error) => map.serialize_entry("error", error)?,
    }
    map.end()
}

impl Outgoing<'_> {
    /// Writes the frame as one line, with the LF; `cap` limits the bytes before the LF.
    pub(crate) fn to_line(&self, cap: usize) -> Result<Vec<u8>, TooLarge> {
        let room = self.length().min(cap).saturating_add(1);
        let mut line = Capped {
            bytes: Vec::with_capacity(room),
            cap,
        };
        // Only the cap can make this fail: everything else is text, or was checked to be JSON.
        let written = match self {
            Outgoing::Request(request) => request.write(&mut line),
            other => serde_json::to_writer(&mut line, other).map_err(io::Error::from),
        };
        written.map_err(|_| TooLarge { cap })?;
        let mut bytes = line.bytes;
        join_lines(&mut bytes);
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// An estimate of the line's length: its texts and [`NAMES`]. It is too small only if texts need escapes.
    fn length(&self) -> usize {
        let failure = |error: &Failure<'_>| {
            error.code.len()
                + error.message.len()
                + error.context.map_or(0, |context| context.get().len())
        };
        let texts = match self {
            Outgoing::Request(request) => request.length(),
            Outgoing::Response {
                id,
                outcome: Ok(result),
            } => id.len() + result.get().len(),
            Outgoing::Response {
                id,
                outcome: Err(error),
            }
            | Outgoing::Ack {
                id,
                outcome: Err(error),
            } => id.len() + failure(error),
            Outgoing::Ack {
                id,
                outcome: Ok(event),
            } => id.len() + event.map_or(0, str::len),
            Outgoing::Deliver {
                topic,
                version,
                id,
                source_plugin,
                payload,
                subscription,
                ..
            } => {
                let version = version.map_or(1, |version| version.get().len());
                topic.len()
                    + version
                    + id.len()
                    + source_plugin.len()
                    + payload.get().len()
                    + subscription.len()
            }
            Outgoing::Ping { .. } => 0,
            Outgoing::FileUploaded {
                filename,
                path,
                mime_type,
                uploaded_by,
                uploaded_at,
                ..
            } => {
                filename.len()
                    + path.len()
                    + mime_type.len()
                    + uploaded_by.len()
                    + uploaded_at.get().len()
            }
            Outgoing::ConfigChanged {
                key,
                value,
                changed_by_user_id,
                ..
            } => key.len() + value.get().len() + changed_by_user_id.map_or(0, str::len),
        };
        texts + NAMES
    }
}

/// A buffer that fails instead of taking more than `cap` bytes.
struct Capped {
    bytes: Vec<u8>,
    cap: usize,
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.cap - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces line breaks by spaces. In JSON they occur only as white space between tokens: inside texts they are escaped.
fn join_lines(mut bytes: &mut [u8]) {
    while let Some(at) = memchr2(b'\n', b'\r', bytes) {
        bytes[at] = b' ';
        bytes = &mut bytes[at + 1..];
    }
}
