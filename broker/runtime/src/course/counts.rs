//! Counters of a plugin.

use crate::bridge;

/// Counters of a plugin on pipes since the runtime was started, summed up over all restarts of the plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All frames that the plugin sent.
    pub frames: u64,
    /// Frames that were not a JSON object with a type, or had wrong fields. The runtime drops them.
    pub malformed_frames: u64,
    /// Frames of an unknown type without an id. The runtime drops them.
    pub unknown_frames: u64,
    /// Requests written to the plugin.
    pub requests: u64,
    /// Answers that belong to no open request: the id is unknown, was answered before, or its request has timed out.
    pub stray_responses: u64,
    /// Service calls of the plugin, including those that were refused.
    pub service_calls: u64,
    /// Frames without an id that were not allowed or failed, so that the plugin was not told.
    pub failed_unheard: u64,
    /// Events that the plugin sent.
    pub published: u64,
    /// Events written to the plugin.
    pub delivered: u64,
    /// Events that the plugin did not get because a queue was full, or because they were too large for a frame.
    pub dropped_events: u64,
    /// Events that were overwritten before the runtime read them.
    pub lost_events: u64,
    /// Events that the plugin reported it could not handle.
    pub deliver_errors: u64,
    /// How often the runtime stopped reading the plugin's output for a while, because output that nobody asked for took more of the
    /// runtime's time than [`Limits::unasked_percent`](crate::Limits::unasked_percent).
    pub pauses: u64,
}

impl Counts {
    /// These counts plus those of the bridge of one life.
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
