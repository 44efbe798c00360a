//! Parses a frame, passes it to the bridge, and reports what it was.

use crate::bridge::Bridge;
use crate::frame::{DeliverError, Incoming, Malformed, parse, plain_response};

/// The most bytes that are logged of a child's report that it could not handle an event.
const MOST_OF_ERROR: usize = 1000;
/// The most bytes that are logged of a malformed frame.
const MOST_OF_FRAME: usize = 160;

/// The result for one frame.
#[derive(Debug)]
pub(super) enum Taken {
    Ready,
    ServeReady,
    Pong,
    /// An answer that a caller waits for.
    Awaited,
    /// The child reports that it could not handle an event; the text for the log.
    CouldNotHandle(String),
    /// A malformed frame, with its first bytes for the log.
    Malformed(Malformed, String),
    /// A frame of an unknown type.
    Unknown(String),
    /// Any other frame; the bridge has handled it.
    Other,
}

/// Parses a frame, and passes it to the bridge unless `is_heard` is false. Runs on the loop, or on the thread for long frames while the
/// loop does not use this child and its bridge.
pub(super) fn take_in(bridge: &Bridge, frame: &[u8], is_heard: bool) -> Taken {
    if is_heard
        && let Some((id, result)) = plain_response(frame)
        && bridge.on_plain_response(id, result)
    {
        return Taken::Awaited;
    }
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

/// The text that is logged for an event that a child could not handle.
fn could_not_handle(failed: &DeliverError<'_>) -> String {
    let error = &failed.error[..failed.error.floor_char_boundary(MOST_OF_ERROR)];
    format!("it could not handle the event {}: {error}", failed.id)
}

/// The first bytes of a frame, with control characters escaped for the log.
fn beginning(frame: &[u8]) -> String {
    let (first, rest) = frame.split_at(frame.len().min(MOST_OF_FRAME));
    let cut = if rest.is_empty() { "" } else { " […]" };
    let first = String::from_utf8_lossy(first);
    // Quotes and backslashes stay as they are, because JSON is full of them.
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

    /// The log said where in a frame the error was, but not which frame it was.
    #[test]
    fn a_malformed_frame_is_known_by_its_beginning() {
        assert_eq!(beginning(br#"{"a": 'b\n'}"#), r#"{"a": 'b\n'}"#);
        assert_eq!(beginning(b"\x1b[2J\xff"), "\\u{1b}[2J\u{fffd}");
        let long = "é".repeat(MOST_OF_FRAME);
        let told = beginning(long.as_bytes());
        assert_eq!(told, format!("{} […]", "é".repeat(MOST_OF_FRAME / 2)));
    }
}
