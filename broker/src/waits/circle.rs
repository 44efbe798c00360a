//! Which blocked waits form a circle, and which are asked together in a round.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use super::suspects::Suspects;
use super::{Wait, WaitId};

/// What is reached from one wait by going from each wait to those that block it.
struct Reached {
    /// For each wait but the first: the wait from which it was reached first.
    by: HashMap<WaitId, WaitId>,
    /// The wait from which the first wait was reached again.
    back: Option<WaitId>,
}

impl Suspects<'_> {
    /// The blocked ones among `first`, and all waits that these depend on.
    pub(super) fn behind(&self, first: Vec<WaitId>) -> HashSet<WaitId> {
        let (mut seen, mut found) = (HashSet::new(), HashSet::new());
        let mut next = first;
        next.retain(|id| self.has(*id));
        while let Some(id) = next.pop() {
            if found.insert(id) {
                next.extend(self.blockers(id, &mut seen));
            }
        }
        found
    }

    /// Returns a circle that begins with the wait that is to be ended. That is the youngest wait of the circle whose call no handler has
    /// begun, and if the youngest of all such waits is in a circle, it is that one. If there are waits for events to be handled, it is the
    /// youngest of these, because ending one undoes less than ending a call.
    ///
    /// Each circle has a wait whose call no handler has begun: along served calls a chain only gets deeper, so it does not come back.
    /// Ending that wait undoes the least, and its thread has back at once what it lent to the rest of its chain.
    pub(super) fn circle(&self) -> Option<Vec<WaitId>> {
        let youngest = self.all().max_by_key(|id| self.claim(*id))?;
        let through = self.circle_through(youngest);
        let mut circle = through.unwrap_or_else(|| self.circle_behind(youngest));
        let claims = circle.iter().map(|id| self.claim(*id));
        let (at, _) = claims.enumerate().max_by_key(|(_, claim)| *claim)?;
        circle.rotate_left(at);
        Some(circle)
    }

    /// The wait for which this value is greatest is to be ended.
    fn claim(&self, id: WaitId) -> (bool, bool, u64) {
        let wait = self.waits.get(id);
        let is_for_events = wait.is_some_and(Wait::is_for_events);
        (!self.is_served(id), is_for_events, self.waits.age(id))
    }

    /// Goes, breadth first, to all waits on which a wait depends.
    fn reach(&self, first: WaitId) -> Reached {
        let (mut seen, mut next) = (HashSet::new(), VecDeque::from([first]));
        let (mut by, mut back) = (HashMap::new(), None);
        while let Some(id) = next.pop_front() {
            for blocker in self.blockers(id, &mut seen) {
                if blocker == first {
                    back.get_or_insert(id);
                } else if let Entry::Vacant(place) = by.entry(blocker) {
                    place.insert(id);
                    next.push_back(blocker);
                }
            }
        }
        Reached { by, back }
    }

    /// The shortest circle through a wait, if there is one.
    fn circle_through(&self, first: WaitId) -> Option<Vec<WaitId>> {
        let Reached { by, back } = self.reach(first);
        let mut circle = vec![back?];
        while let Some(before) = circle.last().and_then(|id| by.get(id)) {
            circle.push(*before);
        }
        circle.reverse();
        Some(circle)
    }

    /// Some circle that a wait depends on. Each wait here is blocked by another, so going on comes back to one that was passed.
    fn circle_behind(&self, first: WaitId) -> Vec<WaitId> {
        let (mut path, mut places) = (Vec::new(), HashMap::new());
        let mut at = Some(first);
        while let Some(id) = at {
            if let Some(place) = places.insert(id, path.len()) {
                return path.split_off(place);
            }
            path.push(id);
            at = self.blocker(id);
        }
        Vec::new()
    }
}
