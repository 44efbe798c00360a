//! The waits that hold a resource.

use std::collections::BTreeMap;

use super::{MOST, Resource, WaitId};

/// The waits that hold a resource.
#[derive(Debug, Default)]
pub(super) struct Holders {
    waits: BTreeMap<WaitId, Holder>,
    /// How many of these waits each chain has.
    chains: BTreeMap<u64, usize>,
    /// For each number that holders say there is of the resource: how many of them say it.
    said: BTreeMap<u32, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    chain: u64,
    of: u32,
}

impl Holders {
    /// Adds a wait, unless there are more already than any look visits.
    pub(super) fn add(&mut self, id: WaitId, chain: u64, of: u32) {
        if self.waits.len() <= MOST && self.waits.insert(id, Holder { chain, of }).is_none() {
            *self.chains.entry(chain).or_default() += 1;
            *self.said.entry(of).or_default() += 1;
        }
    }

    /// Removes a wait. Returns whether it was there.
    pub(super) fn take(&mut self, id: WaitId) -> bool {
        let Some(Holder { chain, of }) = self.waits.remove(&id) else {
            return false;
        };
        take_one(&mut self.chains, chain);
        take_one(&mut self.said, of);
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    pub(super) fn has(&self, id: WaitId) -> bool {
        self.waits.contains_key(&id)
    }

    pub(super) fn waits(&self) -> impl Iterator<Item = WaitId> {
        self.waits.keys().copied()
    }

    pub(super) fn has_chain(&self, chain: u64) -> bool {
        self.chains.contains_key(&chain)
    }

    /// How many holders it takes until nothing of the resource is left; `None` if there is no such number. The holders say how much there
    /// is; the greatest number counts.
    pub(super) fn capacity(&self) -> Option<usize> {
        if self.said.contains_key(&0) {
            return None;
        }
        self.said.keys().last().map(|of| *of as usize)
    }

    /// Whether nothing of the resource would be left if all its holders were blocked.
    pub(super) fn hold_all(&self, of: &Resource) -> bool {
        let count = match of {
            Resource::Turn(_) => self.waits.len(),
            Resource::Permit(..) => self.chains.len(),
        };
        self.capacity().is_some_and(|capacity| count >= capacity)
    }

    /// Counts how much of the resource the holders have for which `is_meant` is true.
    pub(super) fn count(&self, of: &Resource, is_meant: impl Fn(WaitId) -> bool) -> Count {
        let mut count = Count::new(of);
        for (_, holder) in self.waits.iter().filter(|(id, _)| is_meant(**id)) {
            count.add(holder.chain);
        }
        count
    }
}

/// How much of a resource is held.
#[derive(Debug)]
pub(super) enum Count {
    /// Turns and threads: each wait holds one.
    Threads(usize),
    /// Permits of a gate: each chain holds one. With the number of the chain's waits.
    Chains(BTreeMap<u64, usize>),
}

impl Count {
    fn new(of: &Resource) -> Count {
        match of {
            Resource::Turn(_) => Count::Threads(0),
            Resource::Permit(..) => Count::Chains(BTreeMap::new()),
        }
    }

    fn add(&mut self, chain: u64) {
        match self {
            Count::Threads(count) => *count += 1,
            Count::Chains(chains) => *chains.entry(chain).or_default() += 1,
        }
    }

    /// Subtracts what a wait of this chain holds.
    pub(super) fn take(&mut self, chain: u64) {
        match self {
            Count::Threads(count) => *count = count.saturating_sub(1),
            Count::Chains(chains) => take_one(chains, chain),
        }
    }

    pub(super) fn get(&self) -> usize {
        match self {
            Count::Threads(count) => *count,
            Count::Chains(chains) => chains.len(),
        }
    }
}

/// Decrements a count, and removes it at 0.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
