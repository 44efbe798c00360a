//! Which waits are blocked: all that are looked at are taken for it, and those that are not are taken out.

use std::collections::{HashMap, HashSet};

use super::holders::{Count, Holders};
use super::tasks::Start;
use super::{MOST, Resource, Wait, WaitId, Waits};

/// So many times cheaper than to go to a wait is it to find that nobody needs what it holds.
const CHEAPER: usize = 8;

/// Waits of which each is blocked by others of them.
#[derive(Debug)]
pub(super) struct Suspects<'a> {
    pub(super) waits: &'a Waits,
    blocked: HashSet<WaitId>,
    loads: HashMap<&'a Resource, Load<'a>>,
    /// Who waits for calls that are served, by who serves them.
    served: HashMap<WaitId, Vec<WaitId>>,
    /// How much was looked at for it.
    pub(super) cost: usize,
}

/// A resource that some of them need.
#[derive(Debug)]
struct Load<'a> {
    holders: &'a Holders,
    capacity: Option<usize>,
    /// How much of it blocked waits hold.
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
    /// Of those that the first waits may depend on, and themselves. None where there are too many of them.
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

    /// Takes out those that are not blocked, and then those that were blocked by these.
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

    /// The resources that a wait needs and does not get.
    fn full(&self, wait: &'a Wait) -> impl Iterator<Item = &'a Resource> {
        let needs = wait.needs.iter();
        needs.filter(|resource| {
            let load = self.loads.get(resource);
            load.is_some_and(Load::is_full) && self.waits.blocking(wait, resource).is_some()
        })
    }

    /// Whether a thread has the handler of the call on its stack for which somebody waits.
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

    /// By whom a wait is blocked. Holders of a resource that is among those `seen` are left out.
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

    /// One of those by whom a wait is blocked.
    pub(super) fn blocker(&self, id: WaitId) -> Option<WaitId> {
        let wait = self.waits.get(id)?;
        let server = self.waits.server(id, wait);
        server.or_else(|| {
            let mut full = self.full(wait);
            full.find_map(|resource| self.holders(resource).next())
        })
    }

    /// The blocked ones of those who hold a resource.
    fn holders(&self, resource: &Resource) -> impl Iterator<Item = WaitId> {
        let load = self.loads.get(resource).into_iter();
        let holders = load.flat_map(|load| load.holders.waits());
        holders.filter(|id| self.blocked.contains(id))
    }
}

impl Waits {
    /// Who holds a resource that a wait needs, unless it is served on top of one of them.
    fn blocking(&self, wait: &Wait, resource: &Resource) -> Option<&Holders> {
        let holders = self.holders.get(resource)?;
        (wait.is_sent || !holders.has_chain(wait.chain)).then_some(holders)
    }
}
