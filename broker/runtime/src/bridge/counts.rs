//! Counters for one life of a child.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters for one life of a child, from its start to its end.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Requests written to the child.
    pub(crate) requests: Count,
    /// Answers that belong to no open request: the id is unknown, was answered before, or its request has timed out.
    pub(crate) stray_responses: Count,
    /// Service calls that the child made and was allowed to make.
    pub(crate) service_calls: Count,
    /// Frames without an id that were not allowed or failed, so that the child was not told.
    pub(crate) failed_unheard: Count,
    /// Events that the child sent.
    pub(crate) published: Count,
    /// Events written to the child.
    pub(crate) delivered: Count,
    /// Events that the child did not get because a queue was full, or because they were too large for a frame.
    pub(crate) dropped: Count,
    /// Events that were overwritten in the sender's ring before the runtime read them.
    pub(crate) lost: Count,
    /// Events that the child reported it could not handle.
    pub(crate) deliver_errors: Count,
    /// Frames of an unknown type.
    pub(crate) unknown: Count,
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
