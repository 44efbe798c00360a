//! One link between two plugins, as a state machine without I/O.
//!
//! Side 0 opened the link, side 1 provided its first gate. Each stage has a deadline; the bus
//! drops a link one side of which does not answer in time. Both keep their sessions and their
//! other links. A grant on a link that is up has a deadline, too, after which the bus refuses
//! only what waits for this grant.
//!
//! How far a link is set up, the [stages](crate::stages) of its two outboxes say, each of which is
//! written by its own side and read by the other:
//!
//! ```text
//! outbox of 0     outbox of 1     steps then             left by
//! Writer, Sealing or Sealed       Make for both          both are sealed
//! Reader          Sealed          Peer and Grants to 1   Mapped of 1 for the outbox of 0
//! Ready           Sealed                                 every sent grant of 1 is installed
//! Ready           Reader          Peer and Grants to 0   Mapped of 0 for the outbox of 1
//! Ready           Ready           Up                     the link's end
//! ```
//!
//! In any stage:
//!
//! ```text
//! event                       what happens
//! a gate is wanted            granted at once if its side knows its peer, else with its Peer
//! its gate is withdrawn       nothing is sent; the grant's acknowledgement is still awaited, so
//!                             the link goes on being set up and is there when the gate is back
//! GrantInstalled              the gate can be called if the link is up; else when it is; so too
//!                             when it comes late
//! an acknowledgement that     the plugin broke the protocol
//!   nothing asked for
//! ```
//!
//! A call can be made when the link is up *and* the gate's grant is installed: in either
//! direction, since both sides have mapped each other by then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::control::{MAX_RECORD, Role};

use crate::grants::{Granted, Grants};
use crate::id::PluginId;
use crate::quota::Charge;
use crate::shape::Prints;
use crate::stages::{OutOfOrder, Stage};

/// Indexes that one record takes back: half of what fits.
const MOST_REVOKED: usize = MAX_RECORD / 4;

/// What the shell has to do next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a side's outbox and send it.
    Make(u8),
    /// Tell a side of its peer, and hand the peer's outbox over to it.
    Peer(u8),
    /// Tell a side to refuse what its peer calls under some indexes.
    Revoke(u8, Cause, Vec<u16>),
    /// A side was told to refuse these indexes because they were unused, and now the policy forbids them.
    Forbid(u8, Vec<u16>),
    /// Tell a side of a gate that its peer may call.
    Grant(u8, Granted),
    /// The link can be used.
    Up,
    /// A gate of this side can be called, as soon as the link is up.
    Callable(u8, Arc<str>),
}

/// Why indexes are taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The policy forbids what they stand for: that must not be called any more.
    Policy,
    /// Nobody has it open, or it was withdrawn: they are to be free again.
    Unused,
}

/// A link, being set up or in use.
#[derive(Debug)]
pub(crate) struct Link {
    plugins: [PluginId; 2],
    /// Of the outbox that each side writes.
    outboxes: [Stage; 2],
    /// When an outbox that is awaited is due.
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

    /// The side from which a plugin's gates are called by another. A plugin that calls itself
    /// does so from side 0.
    pub(crate) fn side_of_provider(&self, provider: PluginId) -> u8 {
        u8::from(self.plugins[1] == provider)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.outboxes == [Stage::Ready; 2]
    }

    /// The outbox that a side writes is mapped, by that side or by its reader.
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

    /// Whether the outbox that a side writes may fail now, for who has this role.
    pub(crate) fn may_fail(&self, side: u8, role: Role) -> Result<(), OutOfOrder> {
        self.outboxes[usize::from(side & 1)].may_fail(role)
    }

    /// The outbox that a side writes is closed to further writers.
    pub(crate) fn sealed(&mut self, side: u8, now: Instant) -> Vec<Step> {
        let is_news = self.outboxes[usize::from(side & 1)].sealed();
        if !is_news || self.outboxes != [Stage::Sealed; 2] {
            return Vec::new();
        }
        self.introduce(1, now)
    }

    /// Tells a side of its peer, whose outbox is handed over to it.
    fn introduce(&mut self, side: u8, now: Instant) -> Vec<Step> {
        self.outboxes[usize::from(1 - (side & 1))].hand_over();
        let due = now + self.step;
        self.stage_due = Some(due);
        let grants = self.grants_mut(side).peer_known(due);
        let grants = grants.into_iter().map(|granted| Step::Grant(side, granted));
        std::iter::once(Step::Peer(side)).chain(grants).collect()
    }

    fn reader_mapped(&mut self, now: Instant) -> Vec<Step> {
        // Grants that are still awaited have deadlines of their own.
        self.stage_due = None;
        match self.is_up() {
            true => vec![Step::Up],
            false => self.provider_ready(now),
        }
    }

    /// Goes on to the caller if nothing of the provider is missing.
    fn provider_ready(&mut self, now: Instant) -> Vec<Step> {
        let is_mapped = self.outboxes == [Stage::Ready, Stage::Sealed];
        if !is_mapped || !self.grants[1].is_settled() {
            return Vec::new();
        }
        self.introduce(0, now)
    }

    /// Makes a gate of one side callable for the other, if it is not; named with what provides it. `None`
    /// when the side has no index left.
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

    /// What a side is to be told to refuse from now on.
    fn revoked(&mut self, side: u8, cause: Cause) -> Vec<Step> {
        let revoked = self.grants_mut(side).take_revoked();
        let records = revoked.chunks(MOST_REVOKED);
        let steps = records.map(|indexes| Step::Revoke(side, cause, indexes.to_vec()));
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

    /// A side says that it has no gate of the name that it was granted; gives back that name with the steps.
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

    /// The other side has a gate of this one open no more.
    pub(crate) fn close(&mut self, side: u8, gate: &str) -> Vec<Step> {
        self.grants_mut(side).close(gate);
        self.revoked(side, Cause::Unused)
    }

    /// A side refuses what it was told to refuse.
    pub(crate) fn refused(&mut self, side: u8, indexes: &[u16]) -> Vec<Step> {
        self.grants_mut(side).refused(indexes);
        self.revoked(side, Cause::Unused)
    }

    /// A gate of one side is no longer provided.
    pub(crate) fn withdraw(&mut self, side: u8, gate: &str) {
        self.grants_mut(side).withdraw(gate);
    }

    /// Takes back from the other side all grants of gates that it may not call any more.
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

    /// Waits no longer for the grants that a side should have installed by now; gives back their
    /// gates.
    pub(crate) fn give_up_grants(&mut self, side: u8, now: Instant) -> Vec<Arc<str>> {
        self.grants_mut(side).give_up(now)
    }

    /// How many grants are known, of both sides.
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
