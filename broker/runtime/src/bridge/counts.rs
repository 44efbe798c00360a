//! What is counted of one life of a child.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted of one life of a child.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Requests that were written for it.
    pub(crate) requests: Count,
    /// Answers to requests that are not open: of an unknown id, a second one, or one that came too late.
    pub(crate) stray_responses: Count,
    /// Service calls of the child, less those that were not allowed.
    pub(crate) service_calls: Count,
    /// Frames without an id that were not allowed, or failed: nobody was told.
    pub(crate) failed_unheard: Count,
    /// Events that it sent.
    pub(crate) published: Count,
    /// Events that were written for it.
    pub(crate) delivered: Count,
    /// Events that it did not get because its queue had no room, or they were too large for a frame.
    pub(crate) dropped: Count,
    /// Events that were overwritten before they were taken.
    pub(crate) lost: Count,
    /// Events that it could not handle, as it says.
    pub(crate) deliver_errors: Count,
    /// Frames of a type that nobody knows.
    pub(crate) unknown: Count,
}

/// A number that grows.
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
