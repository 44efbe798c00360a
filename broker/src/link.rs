//! One link between two plugins, as a state machine without I/O.
//!
//! Side 0 opened the first gate, side 1 provides it. Each stage has a deadline: the bus drops a link if one side does not answer in time.
//! Both plugins keep their sessions and their other links. A grant on a link that is up has a deadline, too, after which the bus refuses
//! only the opens that wait for this grant.
//!
//! How far a link is set up follows from the [stages](crate::stages) of its two outboxes. Each outbox is written by its own side and read
//! by the other one:
//!
//! ```text
//! outbox of 0     outbox of 1     steps then             left by
//! Writer, Sealing or Sealed       Make for both          both are sealed
//! Reader          Sealed          Peer and Grants to 1   Mapped of 1 for the outbox of 0
//! Ready           Sealed                                 every sent grant of 1 is installed
//! Ready           Reader          Peer and Grants to 0   Mapped of 0 for the outbox of 1
//! Ready           Ready           Up                     the end of the link
//! ```
//!
//! In any stage:
//!
//! ```text
//! event                       what happens
//! a gate is wanted            granted at once if its side knows its peer, otherwise together with Peer
//! its gate is withdrawn       nothing is sent; the grant's acknowledgement is still awaited, so
//!                             the link goes on being set up and is there when the gate is back
//! GrantInstalled              the gate can be called, once the link is up; so too when the
//!                             acknowledgement comes late
//! an acknowledgement that     the plugin has broken the protocol
//!   nothing asked for
//! ```
//!
//! A call can be made when the link is up *and* the gate's grant is installed. This holds in either direction, because both sides have
//! mapped each other's outbox by then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::control::{MAX_RECORD, Role};

use crate::grants::{Granted, Grants};
use crate::id::PluginId;
use crate::quota::Charge;
use crate::shape::Prints;
use crate::stages::{OutOfOrder, Stage};

/// How many indexes one record revokes: half of what fits.
const MOST_REVOKED: usize = MAX_RECORD / 4;

/// A step that the bus has to carry out. Steps are carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the outbox of a side and send it to that side.
    Make(u8),
    /// Tell a side of its peer, and send it the peer's outbox.
    Peer(u8),
    /// Tell a side to refuse what its peer calls under these indexes.
    Revoke(u8, Cause, Vec<u16>),
    /// A side was told to refuse these indexes because they were unused, and the policy now forbids them.
    Forbid(u8, Vec<u16>),
    /// Tell a side of a gate that its peer may call.
    Grant(u8, Granted),
    /// The link can be used.
    Up,
    /// A gate of this side can be called, once the link is up.
    Callable(u8, Arc<str>),
}

/// Why indexes are revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The policy forbids the gates that they stand for, which must not be called any more.
    Policy,
    /// Nobody has the gate open, or it was withdrawn: the indexes are to be free again.
    Unused,
}

/// A link, being set up or in use.
#[derive(Debug)]
pub(crate) struct Link {
    plugins: [PluginId; 2],
    /// The stage of the outbox that each side writes.
    outboxes: [Stage; 2],
    /// The deadline of the outbox stage that is awaited.
    stage_due: Option<Instant>,
    step: Duration,
    grants: [Grants; 2],
    _charges: Vec<Charge>,
}

impl Link {
    /// Creates a link from the plugin that opened a gate to the one that provides it.
    pub(crate) fn new(
        plugins: [PluginId; 2],
        step: Duration,
        charges: Vec<Charge>,
        now: Instant,
    ) -> (Link, Vec<Step>) {
        let link = Link {
            plugins,
            outboxes: [Stage::Writer; 2],
            stage_due: Some(now + step),
            step,
            grants: Default::default(),
            _charges: charges,
        };
        (link, vec![Step::Make(1), Step::Make(0)])
    }

    /// The plugin of a side.
    pub(crate) fn plugin(&self, side: u8) -> PluginId {
        self.plugins[usize::from(side & 1)]
    }

    /// The side whose gates are called, if this plugin provides them. A plugin that calls itself calls from side 0.
    pub(crate) fn side_of_provider(&self, provider: PluginId) -> u8 {
        u8::from(self.plugins[1] == provider)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.outboxes == [Stage::Ready; 2]
    }

    /// The outbox of a side was mapped, by that side (the writer) or by the other one (the reader).
    pub(crate) fn mapped(
        &mut self,
        side: u8,
        role: Role,
        now: Instant,
    ) -> Result<Vec<Step>, OutOfOrder> {
        self.outboxes[usize::from(side & 1)].mapped(role)?;
        Ok(match role {
            Role::Writer => Vec::new(),
            Role::Reader => self.reader_mapped(now),
        })
    }

    /// Fails unless the plugin of this role may say now that it cannot use the outbox of a side.
    pub(crate) fn may_fail(&self, side: u8, role: Role) -> Result<(), OutOfOrder> {
        self.outboxes[usize::from(side & 1)].may_fail(role)
    }

    /// The outbox of a side was sealed against further writers.
    pub(crate) fn sealed(&mut self, side: u8, now: Instant) -> Vec<Step> {
        let is_news = self.outboxes[usize::from(side & 1)].sealed();
        if !is_news || self.outboxes != [Stage::Sealed; 2] {
            return Vec::new();
        }
        self.introduce(1, now)
    }

    /// Tells a side of its peer, and sends it the peer's outbox.
    fn introduce(&mut self, side: u8, now: Instant) -> Vec<Step> {
        self.outboxes[usize::from(1 - (side & 1))].hand_over();
        let due = now + self.step;
        self.stage_due = Some(due);
        let grants = self.grants_mut(side).peer_known(due);
        let grants = grants.into_iter().map(|granted| Step::Grant(side, granted));
        std::iter::once(Step::Peer(side)).chain(grants).collect()
    }

    fn reader_mapped(&mut self, now: Instant) -> Vec<Step> {
        // Grants that are not acknowledged yet have deadlines of their own.
        self.stage_due = None;
        match self.is_up() {
            true => vec![Step::Up],
            false => self.provider_ready(now),
        }
    }

    /// Goes on with side 0, if nothing of side 1 is awaited any more.
    fn provider_ready(&mut self, now: Instant) -> Vec<Step> {
        let is_mapped = self.outboxes == [Stage::Ready, Stage::Sealed];
        if !is_mapped || !self.grants[1].is_settled() {
            return Vec::new();
        }
        self.introduce(0, now)
    }

    /// Grants a gate of one side to the other one, if it is not granted. The gate is named together with the gate or prefix that provides
    /// it. `None` if the side has no index left.
    pub(crate) fn want(
        &mut self,
        side: u8,
        names: (&Arc<str>, &Arc<str>),
        prints: Prints,
        now: Instant,
    ) -> Option<Vec<Step>> {
        let due = now + self.step;
        let granted = self.grants_mut(side).want(names, prints, due).ok()?;
        let mut steps = self.revoked(side, Cause::Unused);
        steps.extend(granted.map(|granted| Step::Grant(side, granted)));
        Some(steps)
    }

    /// The steps that tell a side to refuse what was revoked since the last time.
    fn revoked(&mut self, side: u8, cause: Cause) -> Vec<Step> {
        let revoked = self.grants_mut(side).take_revoked();
        let records = revoked.chunks(MOST_REVOKED);
        let steps = records.map(|indexes| Step::Revoke(side, cause, indexes.to_vec()));
        steps.collect()
    }

    /// A side acknowledges a grant.
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

    /// A side says that it has no gate of the name that it was asked to grant. Returns that name with the steps.
    pub(crate) fn not_provided(
        &mut self,
        side: u8,
        index: u16,
        now: Instant,
    ) -> Result<(Option<Arc<str>>, Vec<Step>), OutOfOrder> {
        let due = now + self.step;
        let said = self.grants_mut(side).not_provided(index, due);
        let gate = said.map_err(|()| OutOfOrder)?;
        Ok((gate, self.provider_ready(now)))
    }

    /// The other side has closed its last open of a gate.
    pub(crate) fn close(&mut self, side: u8, gate: &str) -> Vec<Step> {
        self.grants_mut(side).close(gate);
        self.revoked(side, Cause::Unused)
    }

    /// A side acknowledges that it refuses these indexes.
    pub(crate) fn refused(&mut self, side: u8, indexes: &[u16]) -> Vec<Step> {
        self.grants_mut(side).refused(indexes);
        self.revoked(side, Cause::Unused)
    }

    /// A side no longer provides a gate.
    pub(crate) fn withdraw(&mut self, side: u8, gate: &str) {
        self.grants_mut(side).withdraw(gate);
    }

    /// Revokes all grants of a side that the other one may not use any more.
    pub(crate) fn revoke(
        &mut self,
        side: u8,
        is_forbidden: impl Fn(&str, &str) -> bool,
    ) -> Vec<Step> {
        let under_way = self.grants_mut(side).revoke(is_forbidden);
        let mut steps = self.revoked(side, Cause::Policy);
        if !under_way.is_empty() {
            steps.push(Step::Forbid(side, under_way));
        }
        steps
    }

    /// The index by which a gate of one side can be called by the other one now.
    pub(crate) fn callable(&self, side: u8, gate: &str) -> Option<u16> {
        let index = self.grants[usize::from(side & 1)].index_of(gate);
        index.filter(|_| self.is_up())
    }

    /// The deadline that passes first.
    pub(crate) fn due(&self) -> Option<Instant> {
        let grants = self.grants.iter().filter_map(Grants::due);
        grants.chain(self.stage_due).min()
    }

    /// The sides that have let a deadline pass, each with what it did not do.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<(u8, &'static str)> {
        let mut late = Vec::new();
        if self.stage_due.is_some_and(|due| due <= now) {
            let outboxes = (0u8..).zip(self.outboxes);
            late.extend(outboxes.filter_map(|(side, stage)| match stage.awaited()? {
                Role::Writer => Some((side, "map its outbox")),
                Role::Reader => Some((1 - side, "map its peer's outbox")),
            }));
        }
        for side in 0..2u8 {
            let due = self.grants[usize::from(side)].due();
            if due.is_some_and(|due| due <= now) {
                late.push((side, "install a grant"));
            }
        }
        late
    }

    /// Stops waiting for the grants that a side should have installed by now. Returns their gates.
    pub(crate) fn give_up_grants(&mut self, side: u8, now: Instant) -> Vec<Arc<str>> {
        self.grants_mut(side).give_up(now)
    }

    /// The number of known grants of both sides.
    #[cfg(test)]
    pub(crate) fn grants_known(&self) -> usize {
        self.grants.iter().map(Grants::known).sum()
    }

    fn grants_mut(&mut self, side: u8) -> &mut Grants {
        &mut self.grants[usize::from(side & 1)]
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
