//! What is counted of a plugin.

use crate::bridge;

/// What was counted of a plugin on pipes since the runtime was started, through all of its restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Its frames, whatever they were.
    pub frames: u64,
    /// Frames that were no JSON object with a type, or whose fields were wrong; they are dropped.
    pub malformed_frames: u64,
    /// Frames of a type that nobody knows, and without an id; they are dropped.
    pub unknown_frames: u64,
    /// Requests that were written for it.
    pub requests: u64,
    /// Answers to requests that were not open: of an unknown id, a second one, or one that came too late.
    pub stray_responses: u64,
    /// Its service calls, those that were refused included.
    pub service_calls: u64,
    /// Frames without an id that were not allowed, or failed: it was not told.
    pub failed_unheard: u64,
    /// Events that it sent.
    pub published: u64,
    /// Events that were written for it.
    pub delivered: u64,
    /// Events that it did not get because its queue had no room, or they were too large for a frame.
    pub dropped_events: u64,
    /// Events that were overwritten before the runtime took them for it.
    pub lost_events: u64,
    /// Events that it could not handle, as it says.
    pub deliver_errors: u64,
    /// How often its output was not read for a while, because what nobody had asked it for took more of the runtime's time than
    /// [`Limits::unasked_percent`](crate::Limits::unasked_percent).
    pub pauses: u64,
}

impl Counts {
    /// The same with what one life's bridge has counted.
    pub(super) fn with(mut self, life: &bridge::Counts) -> Counts {
        self.unknown_frames += life.unknown.get();
        self.requests += life.requests.get();
        self.stray_responses += life.stray_responses.get();
        self.service_calls += life.service_calls.get();
        self.failed_unheard += life.failed_unheard.get();
        self.published += life.published.get();
        self.delivered += life.delivered.get();
        self.dropped_events += life.dropped.get();
        self.lost_events += life.lost.get();
        self.deliver_errors += life.deliver_errors.get();
        self
    }
}
