//! Which gates of one side of a link the other side may call, and by which index.
//!
//! ```text
//! state        what it means                                    next
//! waiting      wanted, but this side does not know its peer     sent, once it does
//! sent         `Grant` went, `GrantInstalled` has not come      installed
//! installed    calls are answered                               withdrawn, with the gate
//! withdrawn    the gate is gone; the index stays its own        sent, when the gate is back
//! replaced     the gate has another index, for other shapes     revoked
//! revoked      `Revoke` went; forgotten once nothing is to be   -
//!              acknowledged any more
//! ```
//!
//! A gate that comes back with the shapes it had gets its index again, and `Grant` is sent and
//! acknowledged again; so it is when a half is added. If a half has *another* shape, the gate gets
//! a new index: a call that was laid out for the old shape may still be on its way, and it names
//! the old index, under which the provider answers only what has the old shape.
//!
//! The provider holds an index from its `Grant` to its `Revoke`, whatever became of the gate
//! meanwhile: should the gate come back as it was, the index serves again. So no index is
//! forgotten here before it was revoked there.
//!
//! Acknowledgements are counted, because a gate can be withdrawn, provided and granted again
//! before the first one comes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::{LinkEnd, LinkToPlugin};

use crate::shape::Prints;

/// Withdrawn gates are forgotten when a side has this many grants, and twice as many as were left
/// the last time: else each new grant beyond these many would have all looked through.
const TIDY_AT: usize = 1024;

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

#[derive(Debug)]
struct Grant {
    gate: Arc<str>,
    prints: Prints,
    wanted: bool,
    sent: bool,
    /// Whether the provider was sent it, and nothing since that takes it back.
    held: bool,
    unacknowledged: u32,
}

impl Grant {
    /// Whether shapes that are provided now can go by the index of those before: a half may come
    /// or go, but not change. Notes the ones that came, for which the grant is sent again: the
    /// provider serves under it what it had when the grant came.
    fn take_prints(&mut self, now: Prints) -> bool {
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

    fn is_installed(&self) -> bool {
        self.wanted && self.sent && self.unacknowledged == 0
    }
}

/// The grants of one side.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    grants: BTreeMap<u16, Grant>,
    current: HashMap<Arc<str>, u16>,
    due: BTreeMap<u16, Instant>,
    /// What the provider is to be told to refuse from now on.
    revoked: Vec<u16>,
    /// How many were left when withdrawn gates were forgotten last.
    left: usize,
    next: u16,
    peer_known: bool,
}

impl Grants {
    /// Asks for a gate to be callable; gives back the record that has to be sent for it, if
    /// any. `Err` when there is no index left.
    pub(crate) fn want(
        &mut self,
        gate: &Arc<str>,
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
        }
        Ok(self.send(index, due))
    }

    fn replace(&mut self, old: Option<u16>, gate: &Arc<str>, prints: Prints) -> Result<u16, ()> {
        if let Some(old) = old {
            self.retire(old);
        }
        if self.grants.len() >= TIDY_AT.max(2 * self.left) {
            self.tidy();
        }
        let index = self.free_index().ok_or(())?;
        let grant = Grant {
            gate: gate.clone(),
            prints,
            wanted: false,
            sent: false,
            held: false,
            unacknowledged: 0,
        };
        self.grants.insert(index, grant);
        self.current.insert(gate.clone(), index);
        Ok(index)
    }

    /// An index rests as long as it can before it is used again.
    fn free_index(&mut self) -> Option<u16> {
        for _ in 0..=u16::MAX {
            let index = self.next;
            self.next = self.next.wrapping_add(1);
            if !self.grants.contains_key(&index) {
                return Some(index);
            }
        }
        None
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
        if !grant.held && grant.unacknowledged == 0 {
            self.grants.remove(&index);
        }
    }

    /// The provider is to refuse what comes under the index.
    fn take_back(&mut self, index: u16) {
        let grant = self.grants.get_mut(&index);
        if grant.is_some_and(|grant| std::mem::take(&mut grant.held)) {
            self.revoked.push(index);
        }
        self.retire(index);
    }

    /// The indexes that the provider has to be told to refuse, each once.
    pub(crate) fn take_revoked(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.revoked)
    }

    fn tidy(&mut self) {
        let idle = |grant: &Grant| !grant.wanted && grant.unacknowledged == 0;
        let withdrawn = self.grants.iter().filter(|(_, grant)| idle(grant));
        let withdrawn: Vec<u16> = withdrawn.map(|(index, _)| *index).collect();
        for index in withdrawn {
            self.take_back(index);
        }
        self.left = self.grants.len();
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

    /// The gate is no longer provided.
    pub(crate) fn withdraw(&mut self, gate: &str) {
        let index = self.current.get(gate);
        if let Some(grant) = index.and_then(|index| self.grants.get_mut(index)) {
            grant.wanted = false;
            grant.sent = false;
        }
    }

    /// The peer may not call some gates any more, under none of the indexes that they ever had;
    /// see [`Grants::take_revoked`]. A new grant gets another index, so that what is said of these
    /// stays true.
    pub(crate) fn revoke(&mut self, is_forbidden: impl Fn(&str) -> bool) {
        let forbidden = |(_, grant): &(_, &Grant)| is_forbidden(&grant.gate);
        let forbidden = self.grants.iter().filter(forbidden);
        let indexes: Vec<u16> = forbidden.map(|(index, _)| *index).collect();
        for index in indexes {
            self.take_back(index);
        }
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
