//! State that the parts of a bridge share.

use std::sync::Arc;
use std::time::Duration;

use super::bus::{Bus, Tell};
use super::counts::Counts;
use super::failures::Told;
use super::inbox::Inbox;
use super::session::Session;
use crate::frame::Overflow;
use crate::manifest::Capabilities;

/// The longest time limit for a request, so that adding it to the clock cannot overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Limits of one bridge.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Time limit for a request to the child, and for a service call of the child.
    pub(crate) request: Duration,
    /// The size of a subscription's queue in events, unless the child asks for another one.
    pub(crate) event_queue: u32,
    /// The policy for a full queue, unless the child asks for another one.
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

/// State that the parts of a bridge share.
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
    /// Counts and logs a refusal of a frame that has no id, so that the child cannot be told.
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
