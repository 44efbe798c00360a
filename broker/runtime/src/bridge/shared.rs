//! What the parts of a bridge have in common.

use std::sync::Arc;
use std::time::Duration;

use super::bus::{Bus, Tell};
use super::counts::Counts;
use super::failures::Told;
use super::inbox::Inbox;
use super::session::Session;
use crate::frame::Overflow;
use crate::manifest::Capabilities;

/// The longest time that a request can have: long before the clock ends.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Limits of one bridge.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// How long a request may take, both ways.
    pub(crate) request: Duration,
    /// Events that a subscription's queue holds, unless the child says otherwise.
    pub(crate) event_queue: u32,
    /// What is done with an event for which that has no room.
    pub(crate) overflow: Overflow,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request: Duration::from_secs(30),
            event_queue: 1024,
            overflow: Overflow::DropOldest,
        }
    }
}

/// What the parts of a bridge have in common.
pub(super) struct Shared {
    /// The plugin's name.
    pub(super) name: String,
    pub(super) rights: Capabilities,
    pub(super) limits: Limits,
    pub(super) bus: Arc<Bus>,
    pub(super) session: Arc<Session>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) counts: Arc<Counts>,
    pub(super) tell: Arc<dyn Tell>,
}

impl Shared {
    /// Takes note of something that a child asked for without an id, so that it cannot be told what became of it.
    pub(super) fn unheard(&self, what: &str, why: &Told) {
        self.counts.failed_unheard.add(1);
        tracing::debug!(
            plugin = self.name,
            what,
            "a frame without an id failed: {}",
            why.message()
        );
        self.tell.complain(&|| {
            let (code, message) = (why.code(), why.message());
            format!("a frame about {what}, which has no id, failed: {code}: {message}")
        });
    }
}
