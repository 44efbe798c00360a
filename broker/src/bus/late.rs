//! Plugins that do not acknowledge in time, and links that failed and are tried again.
//!
//! A plugin that is stopped, swapped out or too busy keeps its session and its links. What happens
//! when a deadline passes:
//!
//! ```text
//! what is late              what happens
//! hello, status page        the session ends: nothing depends on it yet
//! a step of a new link      the link is dropped, and opens that wait for it are refused (TIMEOUT)
//! a grant on a link in use  the opens that wait for the grant are refused; the link stays
//! a `Revoke` by a policy    the link is dropped as if it were new; see `revoked.rs`
//! one of unused indexes     nothing: they are not given again
//! a `Refuse`                it is logged: the link is an older broker's
//! an extent                 nothing: callers that wait for it have deadlines; see `extents.rs`
//! a step of a feed          nothing: its sender may send after a step's time, and plugins that subscribe
//!                           have a deadline; see `rings.rs`, `feeds.rs`
//! ```
//!
//! The acknowledgements of such a plugin may still come, and are taken then (`Bus::acknowledged`). Until its first sign that it goes on (an
//! acknowledgement, or that it reads from its full socket), no further link is begun with it: its gates are refused at once. So a plugin
//! that never acknowledges is sent nothing more that takes memory or descriptors of the broker, however often others open its gates;
//! records that were queued for it and not sent are dropped with their link. After that sign, what was refused is tried again, and plugins
//! that have its gates open are told how they stand.
//!
//! A link that failed for want of memory or descriptors, in the broker or in one of its plugins, is tried again after a second, then after
//! twice the time each, up to half a minute; and at once when one of the plugins opens a gate of the other anew.

use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{
    CellToBroker, Failure, FeedToBroker, LinkToBroker, MemoryToBroker, SourceToBroker, ToBroker,
};

use super::links::pair;
use super::{Awaited, Bus};
use crate::id::PluginId;

/// How long after its first failure a link is tried again.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest time between two attempts.
pub(super) const LAST_RETRY: Duration = Duration::from_secs(30);

impl Bus {
    /// A deadline of a link has passed: a new link is given up; on a link in use, the opens that wait for the late plugin are refused.
    pub(super) fn link_is_late(&mut self, id: u64, now: Instant) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (late, is_up, due) = (link.overdue(now), link.is_up(), link.due());
        let plugins = [link.plugin(0), link.plugin(1)];
        if late.is_empty() {
            // Some steps are due later; their deadline stays. One that is due now must not be set: [`Bus::expire`] would take it out again
            // at once, for ever.
            let due = due.filter(|due| *due > now);
            return self.deadlines.set(Awaited::Link(id), due);
        }
        let mut first = None;
        for (side, what) in late {
            let (plugin, peer) = match side {
                0 => (plugins[0], plugins[1]),
                _ => (plugins[1], plugins[0]),
            };
            let between = pair(plugin, peer);
            self.silent.entry(plugin).or_default().insert(between);
            let failure = self.did_not(plugin, what, peer);
            if is_up {
                self.refuse_grants(id, side, &failure, now);
            }
            first.get_or_insert(failure);
        }
        if let (Some(failure), false) = (first, is_up) {
            self.give_up(id, &failure);
        }
    }

    /// Refuses the opens that wait for grants which one side of a link in use should have installed by now. They become callable as soon as
    /// it has.
    fn refuse_grants(&mut self, id: u64, side: u8, failure: &Failure, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let caller = link.plugin(1 - (side & 1));
        let gates = link.give_up_grants(side, now);
        let due = link.due();
        self.deadlines.set(Awaited::Link(id), due);
        for gate in gates {
            let watchers = self.registry.watchers(&gate).into_iter();
            for (_, open) in watchers.filter(|(plugin, _)| *plugin == caller) {
                self.refuse_way(caller, open, failure);
            }
        }
    }

    pub(super) fn did_not(&self, plugin: PluginId, what: &str, peer: PluginId) -> Failure {
        let (plugin, peer, step) = (self.label_of(plugin), self.label_of(peer), self.step);
        let message = format!(
            "{plugin} does not answer: it did not {what} on its link with {peer} within {step:?}. \
             It may be stopped or too busy; the gate can be opened when it goes on"
        );
        Failure::new(Code::Timeout, message)
    }

    /// Refuses a new link with a plugin that has not answered since a deadline of it passed, and notes that the link is wanted when it
    /// answers.
    pub(super) fn check_answers(&mut self, a: PluginId, b: PluginId) -> Result<(), Failure> {
        let Some(plugin) = [a, b].into_iter().find(|id| self.silent.contains_key(id)) else {
            return Ok(());
        };
        if let Some(wanted) = self.silent.get_mut(&plugin) {
            wanted.insert(pair(a, b));
        }
        let plugin = self.label_of(plugin);
        let message = format!(
            "{plugin} does not answer since a link with it could not be set up in time. It may be \
             stopped or too busy; the gate can be opened when it goes on"
        );
        Err(Failure::new(Code::Timeout, message))
    }

    /// A plugin has given a sign that it reads what it is sent: what was refused because it did not is tried again.
    pub(crate) fn answers(&mut self, plugin: PluginId, now: Instant) {
        for (a, b) in self.silent.remove(&plugin).into_iter().flatten() {
            self.refresh_between([a, b], now);
        }
    }

    /// The shell has dropped so many records with descriptors before they were sent: they will not be acknowledged.
    pub(crate) fn unsent(&mut self, plugin: PluginId, records: u32) {
        if let Some(member) = self.members.get_mut(&plugin) {
            member.owed = member.owed.saturating_sub(records);
        }
    }

    /// Gives up a link for which there is no memory or no descriptor now, and tries again later.
    pub(crate) fn try_later(&mut self, id: u64, failure: &Failure, now: Instant) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let between = pair(link.plugin(0), link.plugin(1));
        let delay = self.retries.entry(between).or_insert(FIRST_RETRY);
        let until = now + *delay;
        *delay = LAST_RETRY.min(*delay * 2);
        self.put_off(id, failure, until);
    }

    /// Forgets what is noted here about a plugin that has ended.
    pub(super) fn forget_late(&mut self, plugin: PluginId) {
        let is_of = |(a, b): &(PluginId, PluginId)| *a == plugin || *b == plugin;
        self.silent.remove(&plugin);
        for wanted in self.silent.values_mut() {
            wanted.retain(|pair| !is_of(pair));
        }
        self.retries.retain(|pair, _| !is_of(pair));
    }
}

/// Whether only the control thread of a plugin sends this record: then the plugin has read what it was sent before.
pub(super) fn is_acknowledgement(record: &ToBroker) -> bool {
    match record {
        // A plugin that comes back sends this before it reads anything.
        ToBroker::Link(LinkToBroker::Standing { .. }) => false,
        ToBroker::Link(_) => true,
        ToBroker::Memory(MemoryToBroker::Mapped { .. } | MemoryToBroker::Failed { .. }) => true,
        ToBroker::Source(
            SourceToBroker::RingMade { .. }
            | SourceToBroker::RingFailed { .. }
            | SourceToBroker::Heard { .. }
            | SourceToBroker::ListenFailed { .. },
        ) => true,
        ToBroker::Feed(
            FeedToBroker::Take { .. }
            | FeedToBroker::Following { .. }
            | FeedToBroker::FollowFailed { .. },
        ) => true,
        ToBroker::Cell(CellToBroker::Written { .. }) => true,
        // A program may leave, fetch or share at any time, on any of its threads.
        ToBroker::Memory(_)
        | ToBroker::Session(_)
        | ToBroker::Gate(_)
        | ToBroker::Wait(_)
        | ToBroker::Schema(_)
        | ToBroker::Source(_)
        | ToBroker::Feed(_)
        | ToBroker::Share(_)
        | ToBroker::Cell(_) => false,
    }
}
