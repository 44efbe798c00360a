//! Which gates of one side of a link the other side may call, and by which index.
//!
//! ```text
//! state        what it means                                    next
//! waiting      wanted, but this side does not know its peer     sent, once it does
//! sent         `Grant` went, `GrantInstalled` has not come      installed
//! installed    calls are answered                               withdrawn, with the gate
//! withdrawn    the gate is gone; the index stays its own        sent, when the gate is back
//! replaced     the gate has another index, for other shapes     revoked
//! closed       the peer has the gate open no more               revoked, when no `Revoke` is out
//! revoked      `Revoke` went; forgotten once it and all grants  -
//!              are acknowledged
//! ```
//!
//! A gate that comes back with the shapes it had gets its index again, and `Grant` is sent and
//! acknowledged again; so it is when a half is added, and when a name is provided by another prefix. If a half has *another* shape, the gate gets
//! a new index: a call that was laid out for the old shape may still be on its way, and it names
//! the old index, under which the provider answers only what has the old shape.
//!
//! The provider holds an index from its `Grant` to its `Revoke`, whatever became of the gate
//! meanwhile: should the gate come back as it was, the index serves again. So no index is
//! forgotten here before it was revoked there.
//!
//! What is closed is revoked together, one record at a time: whoever opens and closes names all the time has a
//! provider sent no more than it acknowledges. Where that is stopped and acknowledges nothing, what is closed
//! stays out until it goes on. An index is given away again when the provider has acknowledged that it refuses
//! it, and of those that are free the one that was freed first.
//!
//! Acknowledgements are counted, because a gate can be withdrawn, provided and granted again
//! before the first one comes.

mod grant;
mod indexes;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Instant;

use crate::names::is_prefix;
use crate::shape::Prints;
use grant::Grant;
use indexes::Indexes;

pub(crate) use grant::Granted;

/// Withdrawn gates are forgotten when a side has this many grants, and twice as many as were left
/// the last time: else each new grant beyond these many would have all looked through.
const TIDY_AT: usize = 1024;

/// The grants of one side.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    grants: BTreeMap<u16, Grant>,
    current: BTreeMap<Arc<str>, u16>,
    due: BTreeMap<u16, Instant>,
    /// What the provider is to be told to refuse from now on.
    revoked: Vec<u16>,
    /// Indexes of gates that the peer has closed, which are to be revoked in their turn. They are still known.
    closed: BTreeSet<u16>,
    /// How many indexes were revoked and not acknowledged.
    revoking: usize,
    /// How many were left when withdrawn gates were forgotten last.
    left: usize,
    indexes: Indexes,
    peer_known: bool,
}

impl Grants {
    /// Asks for a gate to be callable; gives back the record that has to be sent for it, if
    /// any. `Err` when there is no index left.
    pub(crate) fn want(
        &mut self,
        (gate, by): (&Arc<str>, &Arc<str>),
        prints: Prints,
        due: Instant,
    ) -> Result<Option<Granted>, ()> {
        let known = self.current.get(gate).copied();
        let kept = known.filter(|index| {
            let grant = self.grants.get_mut(index);
            grant.is_some_and(|grant| grant.take_prints(prints))
        });
        let index = match kept {
            Some(index) => index,
            None => self.replace(known, gate, prints)?,
        };
        if let Some(grant) = self.grants.get_mut(&index) {
            grant.wanted = true;
            // What provides it now has not said whether it has a gate of this name.
            grant.sent &= grant.by == *by;
            grant.by = by.clone();
        }
        Ok(self.send(index, due))
    }

    fn replace(&mut self, old: Option<u16>, gate: &Arc<str>, prints: Prints) -> Result<u16, ()> {
        if let Some(old) = old {
            self.retire(old);
        }
        if self.in_use() >= TIDY_AT.max(2 * self.left) {
            self.tidy();
        }
        let index = self.indexes.take().ok_or(())?;
        self.grants.insert(index, Grant::new(gate, prints));
        self.current.insert(gate.clone(), index);
        Ok(index)
    }

    /// Forgets a grant, unless the provider still holds it or has to say something of it.
    fn forget(&mut self, index: u16) {
        if self.grants.get(&index).is_some_and(Grant::is_over) {
            self.grants.remove(&index);
            self.closed.remove(&index);
            self.indexes.give_back(index);
        }
    }

    /// The index is its gate's current one no more. What the provider holds, or still has to
    /// acknowledge, stays known.
    fn retire(&mut self, index: u16) {
        let Some(grant) = self.grants.get_mut(&index) else {
            return;
        };
        grant.wanted = false;
        if self.current.get(&grant.gate) == Some(&index) {
            self.current.remove(&grant.gate);
        }
        self.forget(index);
    }

    /// The provider is to refuse what comes under the index.
    fn take_back(&mut self, index: u16) {
        let grant = self.grants.get_mut(&index).filter(|grant| grant.held);
        if let Some(grant) = grant {
            (grant.held, grant.revoking) = (false, true);
            self.revoking += 1;
            self.revoked.push(index);
        }
        self.closed.remove(&index);
        self.retire(index);
    }

    /// The peer has a gate open no more: its index is to be free again.
    pub(crate) fn close(&mut self, gate: &str) {
        let Some(index) = self.current.get(gate).copied() else {
            return;
        };
        self.retire(index);
        if self.grants.contains_key(&index) {
            self.closed.insert(index);
        }
        self.take_back_closed();
    }

    /// Revokes what is closed, if nothing is being revoked.
    fn take_back_closed(&mut self) {
        if self.revoking > 0 {
            return;
        }
        for index in std::mem::take(&mut self.closed) {
            self.take_back(index);
        }
    }

    /// The provider refuses what comes under some indexes.
    pub(crate) fn refused(&mut self, indexes: &[u16]) {
        for index in indexes {
            let grant = self.grants.get_mut(index);
            if grant.is_some_and(|grant| std::mem::take(&mut grant.revoking)) {
                self.revoking -= 1;
                self.forget(*index);
            }
        }
        self.take_back_closed();
    }

    /// The indexes that the provider has to be told to refuse, each once.
    pub(crate) fn take_revoked(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.revoked)
    }

    fn tidy(&mut self) {
        let idle = |grant: &Grant| !grant.wanted && grant.unacknowledged == 0;
        let withdrawn = self.grants.iter().filter(|(_, grant)| idle(grant));
        let withdrawn = withdrawn.map(|(index, _)| *index);
        // What is closed has its turn.
        let withdrawn = withdrawn.filter(|index| !self.closed.contains(index));
        for index in withdrawn.collect::<Vec<u16>>() {
            self.take_back(index);
        }
        self.left = self.in_use();
    }

    /// How many are neither being revoked nor closed.
    fn in_use(&self) -> usize {
        self.grants.len() - self.revoking - self.closed.len()
    }

    fn send(&mut self, index: u16, due: Instant) -> Option<Granted> {
        let grant = self.grants.get_mut(&index)?;
        if !self.peer_known || !grant.wanted {
            return None;
        }
        if grant.sent {
            // Its deadline may have passed already, and somebody waits for it anew.
            if grant.unacknowledged > 0 {
                self.due.entry(index).or_insert(due);
            }
            return None;
        }
        grant.sent = true;
        grant.held = true;
        grant.unacknowledged += 1;
        self.due.entry(index).or_insert(due);
        Some(Granted {
            index,
            gate: grant.gate.clone(),
            prints: grant.prints,
        })
    }

    /// This side has been told of its peer: what waited is sent now.
    pub(crate) fn peer_known(&mut self, due: Instant) -> Vec<Granted> {
        self.peer_known = true;
        let waiting: Vec<u16> = self.grants.keys().copied().collect();
        let sent = waiting.into_iter();
        sent.filter_map(|index| self.send(index, due)).collect()
    }

    /// A gate or a prefix is no longer provided.
    pub(crate) fn withdraw(&mut self, gone: &str) {
        let exact = self.current.get(gone).into_iter();
        let longer = self.current.range::<str, _>((Excluded(gone), Unbounded));
        let below = longer.take_while(|(name, _)| is_prefix(gone) && name.starts_with(gone));
        for index in exact.chain(below.map(|(_, index)| index)) {
            let grant = self.grants.get_mut(index);
            if let Some(grant) = grant.filter(|grant| *grant.by == *gone) {
                grant.wanted = false;
                grant.sent = false;
            }
        }
    }

    /// The peer may not call some gates any more, under none of the indexes that they ever had;
    /// see [`Grants::take_revoked`]. A new grant gets another index, so that what is said of these
    /// stays true. Gives back those of these indexes that are being revoked already because they were unused.
    pub(crate) fn revoke(&mut self, is_forbidden: impl Fn(&str, &str) -> bool) -> Vec<u16> {
        let is_news = |(_, grant): &(_, &mut Grant)| {
            !grant.is_forbidden && is_forbidden(&grant.gate, &grant.by)
        };
        let forbidden = self.grants.iter_mut().filter(is_news);
        let forbidden = forbidden.map(|(index, grant)| {
            grant.is_forbidden = true;
            (*index, grant.revoking)
        });
        let (under_way, rest): (Vec<_>, Vec<_>) = forbidden.partition(|(_, revoking)| *revoking);
        for (index, _) in rest {
            self.take_back(index);
        }
        under_way.into_iter().map(|(index, _)| index).collect()
    }

    /// Counts an acknowledgement; gives back the gate that can be called now, if it was the
    /// last that was missing. `Err` when no such grant was sent.
    pub(crate) fn installed(&mut self, index: u16, due: Instant) -> Result<Option<Arc<str>>, ()> {
        let grant = self.grants.get_mut(&index).ok_or(())?;
        grant.unacknowledged = grant.unacknowledged.checked_sub(1).ok_or(())?;
        if grant.unacknowledged > 0 {
            self.due.insert(index, due);
            return Ok(None);
        }
        self.due.remove(&index);
        let gate = grant.gate.clone();
        if grant.is_installed() {
            return Ok(Some(gate));
        }
        if self.current.get(&gate) != Some(&index) {
            self.retire(index);
        }
        Ok(None)
    }

    /// Counts an acknowledgement that says that the provider has no such gate, and holds nothing under the
    /// index; gives back the gate. `Err` when no such grant was sent.
    pub(crate) fn not_provided(
        &mut self,
        index: u16,
        due: Instant,
    ) -> Result<Option<Arc<str>>, ()> {
        let grant = self.grants.get_mut(&index).ok_or(())?;
        grant.unacknowledged = grant.unacknowledged.checked_sub(1).ok_or(())?;
        if grant.unacknowledged > 0 {
            self.due.insert(index, due);
            return Ok(None);
        }
        self.due.remove(&index);
        grant.held = false;
        let gate = grant.gate.clone();
        let is_news = grant.is_installed();
        self.retire(index);
        Ok(is_news.then_some(gate))
    }

    /// Waits no longer for the acknowledgements that are due by now; gives back their gates. They
    /// are taken when they come after all.
    pub(crate) fn give_up(&mut self, now: Instant) -> Vec<Arc<str>> {
        let late: Vec<u16> = self
            .due
            .extract_if(.., |_, due| *due <= now)
            .map(|(index, _)| index)
            .collect();
        let grants = late.iter().filter_map(|index| self.grants.get(index));
        grants.map(|grant| grant.gate.clone()).collect()
    }

    /// The index by which a gate can be called now.
    pub(crate) fn index_of(&self, gate: &str) -> Option<u16> {
        let index = *self.current.get(gate)?;
        self.grants.get(&index)?.is_installed().then_some(index)
    }

    /// How many are known.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.grants.len()
    }

    /// Whether every grant that was sent is acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.due.is_empty()
    }

    /// When the first acknowledgement is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
#[cfg(test)]
mod tests_of_closing;
