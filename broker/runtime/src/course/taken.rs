//! What a frame was, once its bridge has it.

use crate::bridge::Bridge;
use crate::frame::{DeliverError, Incoming, Malformed, parse};

/// The most bytes that are logged of what a child says of an event.
const MOST_OF_ERROR: usize = 1000;
/// The most bytes that are logged of a malformed frame.
const MOST_OF_FRAME: usize = 160;

/// What a frame was, for the course.
#[derive(Debug)]
pub(super) enum Taken {
    Ready,
    ServeReady,
    Pong,
    /// An answer that somebody waits for.
    Awaited,
    /// What was said of an event.
    CouldNotHandle(String),
    /// With how it begins.
    Malformed(Malformed, String),
    /// Of a type that nobody knows.
    Unknown(String),
    /// Anything else: the bridge has seen to it.
    Other,
}

/// Reads a frame, and gives it to the bridge unless that is to hear nothing more. On the loop, or on the thread for long frames while the
/// loop leaves this child and its bridge alone.
pub(super) fn take_in(bridge: &Bridge, frame: &[u8], is_heard: bool) -> Taken {
    let frame = match parse(frame) {
        Ok(frame) => frame,
        Err(malformed) => {
            bridge.on_malformed(&malformed);
            return Taken::Malformed(malformed, beginning(frame));
        }
    };
    match &frame {
        Incoming::Ready => return Taken::Ready,
        Incoming::ServeReady => return Taken::ServeReady,
        Incoming::Pong { nonce } => {
            tracing::trace!(nonce, "pong");
            return Taken::Pong;
        }
        Incoming::Unknown { .. } => {}
        _ if !is_heard => return Taken::Other,
        _ => {}
    }
    match (bridge.on_frame(&frame), &frame) {
        (true, _) => Taken::Awaited,
        (false, Incoming::DeliverError(failed)) => Taken::CouldNotHandle(could_not_handle(failed)),
        (false, Incoming::Unknown { kind }) => Taken::Unknown(kind.to_string()),
        (false, _) => Taken::Other,
    }
}

/// What is logged of an event that a child could not handle.
fn could_not_handle(failed: &DeliverError<'_>) -> String {
    let error = &failed.error[..failed.error.floor_char_boundary(MOST_OF_ERROR)];
    format!("it could not handle the event {}: {error}", failed.id)
}

/// The first bytes of a frame, with what a terminal would obey written out.
fn beginning(frame: &[u8]) -> String {
    let (first, rest) = frame.split_at(frame.len().min(MOST_OF_FRAME));
    let cut = if rest.is_empty() { "" } else { " […]" };
    let first = String::from_utf8_lossy(first);
    // Not those that JSON is full of.
    let escape = |symbol: char| match symbol {
        '"' | '\'' | '\\' => symbol.to_string(),
        _ => symbol.escape_debug().to_string(),
    };
    let first: String = first.chars().map(escape).collect();
    format!("{first}{cut}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of the log said where a frame was wrong, and not which one it was.
    #[test]
    fn a_malformed_frame_is_known_by_its_beginning() {
        assert_eq!(beginning(br#"{"a": 'b\n'}"#), r#"{"a": 'b\n'}"#);
        assert_eq!(beginning(b"\x1b[2J\xff"), "\\u{1b}[2J\u{fffd}");
        let long = "é".repeat(MOST_OF_FRAME);
        let told = beginning(long.as_bytes());
        assert_eq!(told, format!("{} […]", "é".repeat(MOST_OF_FRAME / 2)));
    }
}
