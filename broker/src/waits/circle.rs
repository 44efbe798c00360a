//! Which of the blocked waits form a circle, and which are asked together.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use super::suspects::Suspects;
use super::{Wait, WaitId};

/// What is reached from a wait, going from each to those who block it.
struct Reached {
    /// Each with the one from which it was reached first; not the first one.
    by: HashMap<WaitId, WaitId>,
    /// From which the first one was reached again.
    back: Option<WaitId>,
}

impl Suspects<'_> {
    /// The blocked ones of some waits, and all that these depend on.
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

    /// A circle, from the wait on that is to be ended: the youngest of those whose call nobody has begun to
    /// handle, in the whole circle and, if there is such a circle, of all. Where it has waits for events to be handled, it is
    /// the youngest of these: that undoes less than to end a call.
    ///
    /// Each circle has such a wait: along those that are served, a chain only gets deeper. To end it undoes
    /// the least, and its thread has back at once what it lent to the rest of its chain.
    pub(super) fn circle(&self) -> Option<Vec<WaitId>> {
        let youngest = self.all().max_by_key(|id| self.claim(*id))?;
        let through = self.circle_through(youngest);
        let mut circle = through.unwrap_or_else(|| self.circle_behind(youngest));
        let claims = circle.iter().map(|id| self.claim(*id));
        let (at, _) = claims.enumerate().max_by_key(|(_, claim)| *claim)?;
        circle.rotate_left(at);
        Some(circle)
    }

    /// The wait of which this is largest is to be ended.
    fn claim(&self, id: WaitId) -> (bool, bool, u64) {
        let wait = self.waits.get(id);
        let is_for_events = wait.is_some_and(Wait::is_for_events);
        (!self.is_served(id), is_for_events, self.waits.age(id))
    }

    /// Goes, breadth first, to all on whom a wait depends.
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

    /// The shortest circle that a wait is in.
    fn circle_through(&self, first: WaitId) -> Option<Vec<WaitId>> {
        let Reached { by, back } = self.reach(first);
        let mut circle = vec![back?];
        while let Some(before) = circle.last().and_then(|id| by.get(id)) {
            circle.push(*before);
        }
        circle.reverse();
        Some(circle)
    }

    /// Some circle that a wait depends on: each is blocked by another, so going on comes back.
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
