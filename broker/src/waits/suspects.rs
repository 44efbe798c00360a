//! Which waits are blocked. At first all are taken for blocked, then those that are not are removed.

use std::collections::{HashMap, HashSet};

use super::holders::{Count, Holders};
use super::tasks::Start;
use super::{MOST, Resource, Wait, WaitId, Waits};

/// Finding that nobody needs a resource which a wait holds is so many times cheaper than visiting a wait.
const CHEAPER: usize = 8;

/// Waits that are each blocked by others of them.
#[derive(Debug)]
pub(super) struct Suspects<'a> {
    pub(super) waits: &'a Waits,
    blocked: HashSet<WaitId>,
    loads: HashMap<&'a Resource, Load<'a>>,
    /// The waits whose calls are served, by the wait of the thread that serves them.
    served: HashMap<WaitId, Vec<WaitId>>,
    /// How many waits were visited for this.
    pub(super) cost: usize,
}

/// A resource that some of the waits need.
#[derive(Debug)]
struct Load<'a> {
    holders: &'a Holders,
    capacity: Option<usize>,
    /// How much of it the blocked waits hold.
    count: Count,
    needed_by: Vec<WaitId>,
}

impl Load<'_> {
    fn is_full(&self) -> bool {
        self.capacity
            .is_some_and(|capacity| self.count.get() >= capacity)
    }
}

impl<'a> Suspects<'a> {
    /// The blocked ones among the first waits of a look and all waits that they may depend on. None if that would be too many to visit.
    pub(super) fn around(waits: &'a Waits, start: &Start) -> Suspects<'a> {
        let (mut found, mut resources) = (HashSet::new(), HashSet::new());
        if let Start::Holders(resource) = start {
            resources.insert(resource);
        }
        let mut next = waits.first(start);
        let mut visits = next.len();
        while let Some(id) = next.pop() {
            let Some(wait) = waits.get(id) else {
                continue;
            };
            if !found.insert(id) {
                continue;
            }
            let before = next.len();
            if let Some(server) = waits.server(id, wait) {
                next.push(server);
            } else {
                for resource in &wait.needs {
                    if let Some(holders) = waits.blocking(wait, resource)
                        && resources.insert(resource)
                    {
                        next.extend(holders.waits());
                    }
                }
            }
            visits += next.len() - before + wait.holds.len() / CHEAPER;
            if visits > MOST {
                found.clear();
                break;
            }
        }
        Suspects {
            cost: visits,
            ..Suspects::among(waits, found)
        }
    }

    /// Those of some waits that block one another.
    pub(super) fn among(waits: &'a Waits, blocked: HashSet<WaitId>) -> Suspects<'a> {
        let mut suspects = Suspects {
            waits,
            cost: blocked.len(),
            blocked,
            loads: HashMap::new(),
            served: HashMap::new(),
        };
        let all: Vec<WaitId> = suspects.blocked.iter().copied().collect();
        for id in &all {
            suspects.note(*id);
        }
        suspects.take_out(all);
        suspects
    }

    /// Notes what a wait depends on.
    fn note(&mut self, id: WaitId) {
        let waits = self.waits;
        let Some(wait) = waits.get(id) else {
            return;
        };
        if let Some(server) = waits.server(id, wait) {
            return self.served.entry(server).or_default().push(id);
        }
        for resource in &wait.needs {
            if let Some(holders) = waits.blocking(wait, resource) {
                let blocked = &self.blocked;
                let load = self.loads.entry(resource).or_insert_with(|| Load {
                    holders,
                    capacity: holders.capacity(),
                    count: holders.count(resource, |id| blocked.contains(&id)),
                    needed_by: Vec::new(),
                });
                load.needed_by.push(id);
            }
        }
    }

    /// Removes waits that are not blocked, and then those that were blocked only by these.
    fn take_out(&mut self, mut to_check: Vec<WaitId>) {
        while let Some(id) = to_check.pop() {
            if !self.blocked.contains(&id) || self.is_blocked(id) {
                continue;
            }
            self.blocked.remove(&id);
            to_check.extend(self.served.get(&id).into_iter().flatten());
            let Some(wait) = self.waits.get(id) else {
                continue;
            };
            for hold in &wait.holds {
                if let Some(load) = self.loads.get_mut(&hold.what)
                    && load.holders.has(id)
                {
                    let was_full = load.is_full();
                    load.count.take(wait.chain);
                    if was_full && !load.is_full() {
                        to_check.extend(&load.needed_by);
                    }
                }
            }
        }
    }

    fn is_blocked(&self, id: WaitId) -> bool {
        let Some(wait) = self.waits.get(id) else {
            return false;
        };
        match self.waits.server(id, wait) {
            Some(server) => self.blocked.contains(&server),
            None => self.full(wait).next().is_some(),
        }
    }

    /// The resources that a wait needs and that are held by blocked waits.
    fn full(&self, wait: &'a Wait) -> impl Iterator<Item = &'a Resource> {
        let needs = wait.needs.iter();
        needs.filter(|resource| {
            let load = self.loads.get(resource);
            load.is_some_and(Load::is_full) && self.waits.blocking(wait, resource).is_some()
        })
    }

    /// Whether the call that a wait is for is served by a thread that waits, too.
    pub(super) fn is_served(&self, id: WaitId) -> bool {
        let wait = self.waits.get(id);
        wait.is_some_and(|wait| self.waits.server(id, wait).is_some())
    }

    pub(super) fn has(&self, id: WaitId) -> bool {
        self.blocked.contains(&id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = WaitId> {
        self.blocked.iter().copied()
    }

    /// The waits that block a wait. Resources in `seen` are skipped, and the others are added to it.
    pub(super) fn blockers(&self, id: WaitId, seen: &mut HashSet<&'a Resource>) -> Vec<WaitId> {
        let Some(wait) = self.waits.get(id) else {
            return Vec::new();
        };
        if let Some(server) = self.waits.server(id, wait) {
            return vec![server];
        }
        let news = self.full(wait).filter(|resource| seen.insert(resource));
        news.flat_map(|resource| self.holders(resource)).collect()
    }

    /// One of the waits that block a wait.
    pub(super) fn blocker(&self, id: WaitId) -> Option<WaitId> {
        let wait = self.waits.get(id)?;
        let server = self.waits.server(id, wait);
        server.or_else(|| {
            let mut full = self.full(wait);
            full.find_map(|resource| self.holders(resource).next())
        })
    }

    /// The blocked waits that hold a resource.
    fn holders(&self, resource: &Resource) -> impl Iterator<Item = WaitId> {
        let load = self.loads.get(resource).into_iter();
        let holders = load.flat_map(|load| load.holders.waits());
        holders.filter(|id| self.blocked.contains(id))
    }
}

impl Waits {
    /// The holders of a resource that a wait needs; `None` if one of them is of the same chain, because the call is then served on top of
    /// it.
    fn blocking(&self, wait: &Wait, resource: &Resource) -> Option<&Holders> {
        let holders = self.holders.get(resource)?;
        (wait.is_sent || !holders.has_chain(wait.chain)).then_some(holders)
    }
}
