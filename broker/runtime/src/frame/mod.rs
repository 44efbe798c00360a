//! Frames: bytes of a child's streams to lines, lines to frames, frames to lines. Pure: no file, no clock, no lock.
//!
//! All that comes in is of a child that may lie, so each size has a limit: a line, a frame's depth, its fields, its texts. What is
//! passed on between plugins is `RawValue`: text that is known to be one JSON value, and that is not written anew.
//! `docs/stdio.md` has the protocol for those who write plugins.

mod depth;
mod fields;
mod incoming;
mod malformed;
mod outgoing;
mod parse;
mod source;
mod splitter;
#[cfg(test)]
mod testing;
pub(crate) mod told;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

pub(crate) use fields::Fields;
pub(crate) use incoming::{
    DeliverError, Incoming, Overflow, Publish, Response, Service, Subscribe, Unsubscribe,
};
pub(crate) use malformed::Malformed;
pub(crate) use outgoing::{Outgoing, TooLarge, User};
pub(crate) use parse::parse;
pub(crate) use splitter::{FrameTooLarge, Large, Limits, Line, Splitter, Stream};

/// The most bytes of a frame, both ways: neither what begins its line nor what ends it counts.
pub(crate) const FRAME_CAP: usize = 4 << 20;
/// The most bytes of a log line; what is longer is cut.
pub(crate) const LOG_LINE_CAP: usize = 64 << 10;
/// The most bytes of a frame's line that the loop itself reads: 100 µs' worth. What is longer another thread reads.
pub(crate) const LENT_CAP: usize = 64 << 10;
/// The most bytes of an `id` and of a `type`, without quotes and escapes.
pub(crate) const NAME_CAP: usize = 256;
/// How deep a frame may be nested; its own braces are the first level.
pub(crate) const DEEPEST: usize = 128;
/// The most fields of a frame, not counting those of values inside it.
pub(crate) const MOST_FIELDS: usize = 1024;

/// An error as frames have it, both ways.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure<'a> {
    pub(crate) code: Cow<'a, str>,
    pub(crate) message: Cow<'a, str>,
    /// `None` where a frame has `null`, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<&'a RawValue>,
}
