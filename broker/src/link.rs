//! One link between two plugins, as a state machine without I/O.
//!
//! Side 0 opened the link, side 1 provided its first gate. Each stage has a deadline; the bus
//! drops a link one side of which does not answer in time. Both keep their sessions and their
//! other links. A grant on a link that is `Up` has a deadline, too, after which the bus refuses
//! only what waits for this grant.
//!
//! ```text
//! stage      entered by                          steps then            left by
//! Outboxes   the link's creation                 NewOutbox to both     both mapped and sealed
//! Provider   OutboxMapped and sealed, both       Peer and Grants to 1  PeerMapped of 1, and every
//!                                                                      sent grant of 1 installed
//! Caller     the provider is ready               Peer and Grants to 0  PeerMapped of 0
//! Up         PeerMapped of 0                     Up                    the link's end
//! ```
//!
//! In any stage:
//!
//! ```text
//! event                       what happens
//! a gate is wanted            granted at once if its side knows its peer, else with its Peer
//! its gate is withdrawn       nothing is sent; the grant's acknowledgement is still awaited, so
//!                             the link goes on being set up and is there when the gate is back
//! GrantInstalled              the gate can be called if the link is Up; else when it is; so too
//!                             when it comes late
//! an acknowledgement that     the plugin broke the protocol
//!   nothing asked for
//! ```
//!
//! A call can be made when the link is `Up` *and* the gate's grant is installed: in either
//! direction, since both sides have mapped each other by then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::control::MAX_RECORD;

use crate::grants::{Granted, Grants};
use crate::quota::Charge;
use crate::registry::PluginId;
use crate::shape::Shapes;

/// Indexes that one record takes back: half of what fits.
const MOST_REVOKED: usize = MAX_RECORD / 4;

/// What the shell has to do next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a side's outbox and send it.
    NewOutbox(u8),
    /// Close a side's outbox to further writers.
    Seal(u8),
    /// Tell a side of its peer.
    Peer(u8),
    /// Tell a side to refuse what its peer calls under some indexes.
    Revoke(u8, Vec<u16>),
    /// Tell a side of a gate that its peer may call.
    Grant(u8, Granted),
    /// The link can be used; the outboxes' descriptors are needed no more.
    Up,
    /// A gate of this side can be called, as soon as the link is up.
    Callable(u8, Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Outboxes {
        mapped: [bool; 2],
        sealed: [bool; 2],
    },
    Provider {
        mapped: bool,
    },
    Caller,
    Up,
}

/// A plugin acknowledged what nobody asked it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

/// A link in some stage.
#[derive(Debug)]
pub(crate) struct Link {
    plugins: [PluginId; 2],
    stage: Stage,
    stage_due: Option<Instant>,
    step: Duration,
    grants: [Grants; 2],
    _charges: Vec<Charge>,
}

impl Link {
    /// A link from the plugin that opened a gate to the one that provides it.
    pub(crate) fn new(
        plugins: [PluginId; 2],
        step: Duration,
        charges: Vec<Charge>,
        now: Instant,
    ) -> (Link, Vec<Step>) {
        let link = Link {
            plugins,
            stage: Stage::Outboxes {
                mapped: [false; 2],
                sealed: [false; 2],
            },
            stage_due: Some(now + step),
            step,
            grants: Default::default(),
            _charges: charges,
        };
        (link, vec![Step::NewOutbox(1), Step::NewOutbox(0)])
    }

    /// The plugin of a side.
    pub(crate) fn plugin(&self, side: u8) -> PluginId {
        self.plugins[usize::from(side & 1)]
    }

    /// The side from which a plugin's gates are called by another. A plugin that calls itself
    /// does so from side 0.
    pub(crate) fn side_of_provider(&self, provider: PluginId) -> u8 {
        u8::from(self.plugins[1] == provider)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// A side says that it has mapped its outbox.
    pub(crate) fn outbox_mapped(&mut self, side: u8) -> Result<Vec<Step>, OutOfOrder> {
        let Stage::Outboxes { mapped, .. } = &mut self.stage else {
            return Err(OutOfOrder);
        };
        let mapped = &mut mapped[usize::from(side & 1)];
        if std::mem::replace(mapped, true) {
            return Err(OutOfOrder);
        }
        Ok(vec![Step::Seal(side)])
    }

    /// A side's outbox is closed to further writers.
    pub(crate) fn sealed(&mut self, side: u8, now: Instant) -> Vec<Step> {
        let Stage::Outboxes { sealed, .. } = &mut self.stage else {
            return Vec::new();
        };
        sealed[usize::from(side & 1)] = true;
        if *sealed != [true; 2] {
            return Vec::new();
        }
        self.stage = Stage::Provider { mapped: false };
        self.introduce(1, now)
    }

    fn introduce(&mut self, side: u8, now: Instant) -> Vec<Step> {
        let due = now + self.step;
        self.stage_due = Some(due);
        let grants = self.grants_mut(side).peer_known(due);
        let grants = grants.into_iter().map(|granted| Step::Grant(side, granted));
        std::iter::once(Step::Peer(side)).chain(grants).collect()
    }

    /// A side says that it has mapped its peer's outbox.
    pub(crate) fn peer_mapped(&mut self, side: u8, now: Instant) -> Result<Vec<Step>, OutOfOrder> {
        match (&mut self.stage, side) {
            (Stage::Provider { mapped }, 1) if !*mapped => {
                *mapped = true;
                // Grants that are still awaited have deadlines of their own.
                self.stage_due = None;
                Ok(self.provider_ready(now))
            }
            (Stage::Caller, 0) => {
                self.stage = Stage::Up;
                self.stage_due = None;
                Ok(vec![Step::Up])
            }
            _ => Err(OutOfOrder),
        }
    }

    /// Goes on to the caller if nothing of the provider is missing.
    fn provider_ready(&mut self, now: Instant) -> Vec<Step> {
        let mapped = self.stage == Stage::Provider { mapped: true };
        if !mapped || !self.grants[1].is_settled() {
            return Vec::new();
        }
        self.stage = Stage::Caller;
        self.introduce(0, now)
    }

    /// Makes a gate of one side callable for the other, if it is not. `None` when the side has
    /// no index left.
    pub(crate) fn want(
        &mut self,
        side: u8,
        gate: &Arc<str>,
        shapes: Shapes,
        now: Instant,
    ) -> Option<Vec<Step>> {
        let due = now + self.step;
        let granted = self.grants_mut(side).want(gate, shapes, due).ok()?;
        let mut steps = self.revoked(side);
        steps.extend(granted.map(|granted| Step::Grant(side, granted)));
        Some(steps)
    }

    /// What a side is to be told to refuse from now on.
    fn revoked(&mut self, side: u8) -> Vec<Step> {
        let revoked = self.grants_mut(side).take_revoked();
        let records = revoked.chunks(MOST_REVOKED);
        let steps = records.map(|indexes| Step::Revoke(side, indexes.to_vec()));
        steps.collect()
    }

    /// A side says that a grant is in force.
    pub(crate) fn grant_installed(
        &mut self,
        side: u8,
        index: u16,
        now: Instant,
    ) -> Result<Vec<Step>, OutOfOrder> {
        let due = now + self.step;
        let installed = self.grants_mut(side).installed(index, due);
        let callable = installed.map_err(|()| OutOfOrder)?;
        let mut steps = self.provider_ready(now);
        steps.extend(callable.map(|gate| Step::Callable(side, gate)));
        Ok(steps)
    }

    /// A gate of one side is no longer provided.
    pub(crate) fn withdraw(&mut self, side: u8, gate: &str) {
        self.grants_mut(side).withdraw(gate);
    }

    /// Takes back from the other side all grants of gates that it may not call any more.
    pub(crate) fn revoke(&mut self, side: u8, is_forbidden: impl Fn(&str) -> bool) -> Vec<Step> {
        self.grants_mut(side).revoke(is_forbidden);
        self.revoked(side)
    }

    /// The index by which a gate of one side can be called by the other now.
    pub(crate) fn callable(&self, side: u8, gate: &str) -> Option<u16> {
        let index = self.grants[usize::from(side & 1)].index_of(gate);
        index.filter(|_| self.is_up())
    }

    /// When the first of all that is awaited is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let grants = self.grants.iter().filter_map(Grants::due);
        grants.chain(self.stage_due).min()
    }

    /// The sides whose time is over, each with what it did not do.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<(u8, &'static str)> {
        let mut late = Vec::new();
        if self.stage_due.is_some_and(|due| due <= now) {
            match self.stage {
                Stage::Outboxes { mapped, .. } => {
                    let unmapped = (0..2u8).filter(|side| !mapped[usize::from(*side)]);
                    late.extend(unmapped.map(|side| (side, "map its outbox")));
                }
                Stage::Provider { mapped: false } => late.push((1, "map its peer's outbox")),
                Stage::Caller => late.push((0, "map its peer's outbox")),
                Stage::Provider { mapped: true } | Stage::Up => {}
            }
        }
        for side in 0..2u8 {
            let due = self.grants[usize::from(side)].due();
            if due.is_some_and(|due| due <= now) {
                late.push((side, "install a grant"));
            }
        }
        late
    }

    /// Waits no longer for the grants that a side should have installed by now; gives back their
    /// gates.
    pub(crate) fn give_up_grants(&mut self, side: u8, now: Instant) -> Vec<Arc<str>> {
        self.grants_mut(side).give_up(now)
    }

    fn grants_mut(&mut self, side: u8) -> &mut Grants {
        &mut self.grants[usize::from(side & 1)]
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
