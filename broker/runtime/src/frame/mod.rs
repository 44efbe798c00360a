//! Frames of the stdio protocol: splits a child's streams into lines, parses lines, and writes lines. Pure: no file, no clock, no lock.
//!
//! The input comes from a child that is not trusted, so each size has a limit: a line, a frame's depth, its fields, its texts. Values that
//! are passed on between plugins are `RawValue`: text that was checked to be one JSON value, and is passed on without being written anew.
//! `docs/stdio.md` describes the protocol for authors of plugins.

mod depth;
mod fields;
mod incoming;
mod malformed;
mod outgoing;
mod parse;
mod plain;
mod request;
mod source;
mod splitter;
#[cfg(test)]
mod testing;
pub(crate) mod told;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

pub(crate) use depth::after_text;
pub(crate) use fields::Fields;
pub(crate) use incoming::{
    DeliverError, Incoming, Overflow, Publish, Response, Service, Subscribe, Unsubscribe,
};
pub(crate) use malformed::Malformed;
pub(crate) use outgoing::{Outgoing, TooLarge};
pub(crate) use parse::parse;
pub(crate) use plain::plain_response;
pub(crate) use request::{Request, User};
pub(crate) use splitter::{FrameTooLarge, Large, Limits, Line, Splitter, Stream};

/// The most bytes of a frame in either direction, without the mark at the beginning of its line and the line break.
pub(crate) const FRAME_CAP: usize = 4 << 20;
/// The most bytes of a log line; what is longer is cut.
pub(crate) const LOG_LINE_CAP: usize = 64 << 10;
/// The longest line of a frame that the loop parses itself, which takes 100 µs. Longer frames are parsed by another thread.
pub(crate) const LENT_CAP: usize = 64 << 10;
/// The most bytes of an `id` and of a `type`, without quotes and escapes.
pub(crate) const NAME_CAP: usize = 256;
/// How deep a frame may be nested; its own braces are the first level.
pub(crate) const DEEPEST: usize = 128;
/// The most fields of a frame; fields of values inside it do not count.
pub(crate) const MOST_FIELDS: usize = 1024;

/// An error in a frame, in either direction.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure<'a> {
    pub(crate) code: Cow<'a, str>,
    pub(crate) message: Cow<'a, str>,
    /// `None` also if the frame has `null` there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<&'a RawValue>,
}
