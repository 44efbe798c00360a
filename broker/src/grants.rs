//! Which gates of one side of a link the other side may call, and by which index.
//!
//! ```text
//! state        what it means                                    next
//! waiting      wanted, but this side does not know its peer     sent, once it does
//! sent         `Grant` went, `GrantInstalled` has not come      installed
//! installed    calls are answered                               withdrawn, with the gate
//! withdrawn    the gate is gone; its index is kept for it       sent, when the gate is back
//! replaced     the gate has a new index, for other shapes       revoked
//! closed       the peer has closed the gate                     revoked, when no `Revoke` is out
//! revoked      `Revoke` went; forgotten once it and all         -
//!              grants are acknowledged
//! ```
//!
//! A gate that comes back with the shapes that it had gets its index again, and `Grant` is sent and acknowledged again. The same happens
//! when a half is added, and when the name is provided by another prefix. If a half has *another* shape, the gate gets a new index: a call
//! that was laid out for the old shape may still be on its way, and it names the old index, under which the provider answers only calls of
//! the old shape.
//!
//! The provider keeps an index from its `Grant` to its `Revoke`, whatever happens to the gate meanwhile: if the gate comes back as it was,
//! the index serves again. So no index is forgotten here before it was revoked there.
//!
//! Closed grants are revoked together, one record at a time: a plugin that opens and closes names all the time makes the broker send a
//! provider no more than the provider acknowledges. If the provider is stopped and acknowledges nothing, closed indexes are not used until
//! it goes on. An index is given again only after the provider has acknowledged that it refuses it; of the free ones, the one that was
//! freed first.
//!
//! Acknowledgements are counted, because a gate can be withdrawn, provided and granted again before the first acknowledgement comes.

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

/// Withdrawn gates are forgotten when a side has at least this many grants, and twice as many as were left the last time. Otherwise each
/// new grant beyond this number would look through all of them.
const TIDY_AT: usize = 1024;

/// The grants of one side.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    grants: BTreeMap<u16, Grant>,
    current: BTreeMap<Arc<str>, u16>,
    due: BTreeMap<u16, Instant>,
    /// Indexes that the provider has to be told to refuse.
    revoked: Vec<u16>,
    /// Indexes of gates that the peer has closed and that are not revoked yet.
    closed: BTreeSet<u16>,
    /// How many indexes were revoked and are not acknowledged.
    revoking: usize,
    /// How many grants were left when withdrawn gates were last forgotten.
    left: usize,
    indexes: Indexes,
    peer_known: bool,
}

impl Grants {
    /// Asks for a gate to be callable. Returns the record that has to be sent for it, if any. `Err` if there is no index left.
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
            // The gate or prefix that provides the name now has not said whether it has a gate of this name.
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

    /// Forgets a grant, unless the provider still keeps it or has to acknowledge something about it.
    fn forget(&mut self, index: u16) {
        if self.grants.get(&index).is_some_and(Grant::is_over) {
            self.grants.remove(&index);
            self.closed.remove(&index);
            self.indexes.give_back(index);
        }
    }

    /// The index is no longer the current one of its gate. It stays known while the provider keeps it or has to acknowledge something about
    /// it.
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

    /// Revokes an index: the provider is to refuse calls under it.
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

    /// The peer has closed its last open of a gate: its index will be revoked.
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

    /// Revokes the closed indexes, unless revocations are out.
    fn take_back_closed(&mut self) {
        if self.revoking > 0 {
            return;
        }
        for index in std::mem::take(&mut self.closed) {
            self.take_back(index);
        }
    }

    /// The provider acknowledges that it refuses these indexes.
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

    /// Takes out the indexes that the provider has to be told to refuse. Each is returned once.
    pub(crate) fn take_revoked(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.revoked)
    }

    fn tidy(&mut self) {
        let idle = |grant: &Grant| !grant.wanted && grant.unacknowledged == 0;
        let withdrawn = self.grants.iter().filter(|(_, grant)| idle(grant));
        let withdrawn = withdrawn.map(|(index, _)| *index);
        // Closed indexes are revoked in their turn.
        let withdrawn = withdrawn.filter(|index| !self.closed.contains(index));
        for index in withdrawn.collect::<Vec<u16>>() {
            self.take_back(index);
        }
        self.left = self.in_use();
    }

    /// How many grants are neither revoked nor closed.
    fn in_use(&self) -> usize {
        self.grants.len() - self.revoking - self.closed.len()
    }

    fn send(&mut self, index: u16, due: Instant) -> Option<Granted> {
        let grant = self.grants.get_mut(&index)?;
        if !self.peer_known || !grant.wanted {
            return None;
        }
        if grant.sent {
            // Its deadline may have passed, and a plugin now waits for it again.
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

    /// This side was told of its peer: returns the grants that waited for that.
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

    /// Revokes all grants that the policy forbids, under every index that their gates ever had; see [`Grants::take_revoked`]. If the policy
    /// allows a gate again later, it gets another index, so that the acknowledgements of these stay true. Returns those that are being
    /// revoked already because they were unused.
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

    /// Counts an acknowledgement. Returns the gate if it can be called now, because this was the last one missing. `Err` if no such grant
    /// was sent.
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

    /// Counts an acknowledgement by which the provider says that it has no such gate and keeps nothing under the index. Returns the gate.
    /// `Err` if no such grant was sent.
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

    /// Stops waiting for the acknowledgements that are due by now, and returns their gates. If an acknowledgement comes after all, it
    /// counts.
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

    /// The number of known grants.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.grants.len()
    }

    /// Whether every grant that was sent is acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.due.is_empty()
    }

    /// The deadline that passes first.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
#[cfg(test)]
mod tests_of_closing;
