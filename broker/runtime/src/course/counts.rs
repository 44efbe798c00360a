//! What is counted of a plugin.

use crate::bridge;

/// What was counted of a plugin since the runtime was started, in all of its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Frames of its children, whatever they were.
    pub frames: u64,
    /// Frames that were no JSON object with a type, or whose fields were wrong; they are dropped.
    pub malformed_frames: u64,
    /// Frames of a type that nobody knows, and without an id; they are dropped.
    pub unknown_frames: u64,
    /// Requests that were written for it.
    pub requests: u64,
    /// Its answers to requests that were not open: of an unknown id, a second one, or one that came too late.
    pub stray_responses: u64,
    /// Its service calls, less those that were not allowed.
    pub service_calls: u64,
    /// Frames without an id that were not allowed, or failed: nobody was told.
    pub failed_unheard: u64,
    /// Events that it sent.
    pub published: u64,
    /// Events that were written for it.
    pub delivered: u64,
    /// Events that it did not get because its queue had no room, or because they fitted no frame.
    pub dropped: u64,
    /// Events that were overwritten before they could be put into its queue.
    pub lost: u64,
    /// Events that it could not handle, as it said.
    pub deliver_errors: u64,
}

impl Counts {
    /// Together with those of one life.
    pub(super) fn with(self, life: &bridge::Counts) -> Counts {
        Counts {
            unknown_frames: self.unknown_frames + life.unknown.get(),
            requests: self.requests + life.requests.get(),
            stray_responses: self.stray_responses + life.stray_responses.get(),
            service_calls: self.service_calls + life.service_calls.get(),
            failed_unheard: self.failed_unheard + life.failed_unheard.get(),
            published: self.published + life.published.get(),
            delivered: self.delivered + life.delivered.get(),
            dropped: self.dropped + life.dropped.get(),
            lost: self.lost + life.lost.get(),
            deliver_errors: self.deliver_errors + life.deliver_errors.get(),
            ..self
        }
    }
}
