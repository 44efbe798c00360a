//! One grant of a gate under an index, and the record by which it is sent.

use std::sync::Arc;

use callgate_layout::control::{LinkEnd, LinkToPlugin};

use crate::shape::Prints;

/// A `Grant` record to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) index: u16,
    pub(crate) gate: Arc<str>,
    pub(crate) prints: Prints,
}

impl Granted {
    pub(crate) fn record(&self, end: LinkEnd) -> LinkToPlugin {
        let [function, action] = self.prints;
        LinkToPlugin::Grant {
            end,
            index: self.index,
            gate: self.gate.to_string(),
            function,
            action,
        }
    }
}

/// What one side lets the other call under an index.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) gate: Arc<str>,
    /// The gate or prefix that provided the name when the grant was last wanted.
    pub(super) by: Arc<str>,
    pub(super) prints: Prints,
    pub(super) wanted: bool,
    pub(super) sent: bool,
    /// Whether the provider keeps the grant: it was sent `Grant`, and no `Revoke` since.
    pub(super) held: bool,
    pub(super) unacknowledged: u32,
    /// Whether the provider was sent `Revoke` and has not acknowledged it.
    pub(super) revoking: bool,
    /// Whether the policy forbids the grant. If the policy allows the gate again, that gets another grant.
    pub(super) is_forbidden: bool,
}

impl Grant {
    /// Returns a grant that is not wanted yet.
    pub(super) fn new(gate: &Arc<str>, prints: Prints) -> Grant {
        Grant {
            gate: gate.clone(),
            by: gate.clone(),
            prints,
            wanted: false,
            sent: false,
            held: false,
            unacknowledged: 0,
            revoking: false,
            is_forbidden: false,
        }
    }

    /// Whether the grant's index can be kept for the shapes that are provided now: a half may come or go, but not change. Notes halves that
    /// have come; the grant is then sent again, because the provider serves under an index what it had when the grant came.
    pub(super) fn take_prints(&mut self, now: Prints) -> bool {
        let changed = |(known, now): (&Option<_>, &Option<_>)| {
            known.is_some() && now.is_some() && known != now
        };
        if self.prints.iter().zip(&now).any(changed) {
            return false;
        }
        for (known, now) in self.prints.iter_mut().zip(now) {
            if known.is_none() && now.is_some() {
                *known = now;
                self.sent = false;
            }
        }
        true
    }

    /// Whether the provider neither keeps the grant nor will acknowledge anything more about it.
    pub(super) fn is_over(&self) -> bool {
        !self.held && !self.revoking && self.unacknowledged == 0
    }

    pub(super) fn is_installed(&self) -> bool {
        self.wanted && self.sent && self.unacknowledged == 0
    }
}
