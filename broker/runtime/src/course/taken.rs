//! What a frame was, once its bridge has it.

use crate::bridge::Bridge;
use crate::frame::{DeliverError, Incoming, Malformed, parse};

/// The most bytes that are logged of what a child says of an event.
const MOST_OF_ERROR: usize = 1000;

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
    Malformed(Malformed),
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
            return Taken::Malformed(malformed);
        }
    };
    match &frame {
        Incoming::Ready => return Taken::Ready,
        Incoming::ServeReady => return Taken::ServeReady,
        Incoming::Pong { nonce } => {
            tracing::trace!(nonce, "pong");
            return Taken::Pong;
        }
        Incoming::Unknown { kind } => {
            tracing::debug!("a plugin sent a frame of the unknown type {kind:?}");
        }
        _ if !is_heard => return Taken::Other,
        _ => {}
    }
    match (bridge.on_frame(&frame), &frame) {
        (true, _) => Taken::Awaited,
        (false, Incoming::DeliverError(failed)) => Taken::CouldNotHandle(could_not_handle(failed)),
        (false, _) => Taken::Other,
    }
}

/// What is logged of an event that a child could not handle.
fn could_not_handle(failed: &DeliverError<'_>) -> String {
    let error = &failed.error[..failed.error.floor_char_boundary(MOST_OF_ERROR)];
    format!("it could not handle the event {}: {error}", failed.id)
}
