//! Rounds: the plugins of waits that seem to stand still are asked whether they do, and then one wait of each circle is ended.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::suspects::Suspects;
use super::tasks::{Start, Task};
use super::{Decision, WaitId, Waits};

/// Waits that are asked together.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Each member, with whether it was confirmed.
    members: BTreeMap<WaitId, bool>,
    /// Looks that found waits which depend on this round; they are repeated when it is over.
    behind: BTreeSet<Start>,
}

impl Waits {
    /// Does the next task, if there is one. Returns how many waits were visited for it.
    pub(crate) fn work(&mut self) -> Option<usize> {
        match self.tasks.pop()? {
            Task::Look(start) => Some(self.look(start)),
            Task::Settle(round) => Some(self.settle(round)),
        }
    }

    /// Whether there are tasks.
    pub(crate) fn has_work(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// A plugin confirms that a wait stands. Returns whether it was asked for that in this round.
    pub(crate) fn confirm(&mut self, id: WaitId, round: u64) -> bool {
        let Some(standing) = self.waits.get_mut(&id) else {
            return false;
        };
        if standing.asked != Some(round) {
            return false;
        }
        standing.asked = None;
        if standing.is_left_out {
            self.take_into_account(id);
        } else if standing.round == Some(round)
            && let Some(asked) = self.rounds.get_mut(&round)
        {
            asked.members.insert(id, true);
            if asked.members.values().all(|confirmed| *confirmed) {
                self.tasks.push(Task::Settle(round));
            }
        }
        true
    }

    /// The time for the answers of a round is over: waits that were not confirmed do not count until their plugins answer.
    pub(crate) fn late(&mut self, round: u64) {
        let members = self.rounds.get(&round).map(|round| &round.members);
        let late = members.into_iter().flatten();
        let late = late.filter(|(_, confirmed)| !**confirmed);
        let late: Vec<WaitId> = late.map(|(id, _)| *id).collect();
        late.into_iter().for_each(|id| self.leave_out(id));
    }

    /// A member of a round is over, or counts no longer.
    pub(super) fn leave_round(&mut self, id: WaitId, round: u64) {
        if let Some(left) = self.rounds.get_mut(&round) {
            left.members.remove(&id);
            self.tasks.push(Task::Settle(round));
        }
    }

    /// The waits at which a look begins.
    pub(super) fn first(&self, start: &Start) -> Vec<WaitId> {
        match start {
            Start::Wait(id) => vec![*id],
            Start::Holders(resource) => {
                let holders = self.holders.get(resource).into_iter();
                holders.flat_map(|holders| holders.waits()).collect()
            }
        }
    }

    /// Looks at waits from the start of this task. If its first waits are blocked, begins a round with them and all that they depend on.
    /// Returns how many waits were visited.
    fn look(&mut self, start: Start) -> usize {
        if let Start::Wait(id) = &start
            && self.waits.get(id).is_none_or(|wait| wait.round.is_some())
        {
            return 0;
        }
        let suspects = Suspects::around(self, &start);
        let (members, cost) = (suspects.behind(self.first(&start)), suspects.cost);
        let rounds = members.iter().map(|id| self.waits.get(id)?.round);
        if let Some(under_way) = rounds.flatten().next() {
            if let Some(round) = self.rounds.get_mut(&under_way) {
                round.behind.insert(start);
            }
        } else if !members.is_empty() {
            self.begin_round(&members);
        }
        cost
    }

    fn begin_round(&mut self, members: &HashSet<WaitId>) {
        self.last_round += 1;
        let round = self.last_round;
        for wait in members.iter().copied() {
            if let Some(standing) = self.waits.get_mut(&wait) {
                (standing.round, standing.asked) = (Some(round), Some(round));
            }
            self.decisions.push_back(Decision::Ask { wait, round });
        }
        let begun = Round {
            members: members.iter().map(|id| (*id, false)).collect(),
            ..Round::default()
        };
        self.rounds.insert(round, begun);
        self.decisions.push_back(Decision::Await(round));
    }

    /// Removes the members of a round that are no longer blocked by others of it. If all that are left are confirmed, ends one wait of a
    /// circle. Returns how many waits were visited.
    fn settle(&mut self, number: u64) -> usize {
        let Some(round) = self.rounds.get(&number) else {
            return 0;
        };
        let before: HashSet<WaitId> = round.members.keys().copied().collect();
        let left: HashSet<WaitId> = Suspects::among(self, before.clone()).all().collect();
        for id in before.difference(&left) {
            if let Some(standing) = self.waits.get_mut(id) {
                standing.round = None;
            }
            if let Some(round) = self.rounds.get_mut(&number) {
                round.members.remove(id);
            }
        }
        let members = self.rounds.get(&number).map(|round| &round.members);
        if left.is_empty() {
            self.end_round(number);
        } else if members.is_some_and(|members| members.values().all(|stands| *stands)) {
            self.give_one_up(left);
            // [`Waits::give_one_up`] looks at them a second time.
            return 2 * before.len();
        }
        before.len()
    }

    /// Ends the youngest wait of a circle. That queues another task to settle what is left of the round.
    fn give_one_up(&mut self, members: HashSet<WaitId>) {
        let circle = Suspects::among(self, members).circle();
        let circle = circle.unwrap_or_default();
        if let Some(wait) = circle.first().copied() {
            let circle = circle.iter().filter_map(|id| self.stop(*id)).collect();
            self.decisions.push_back(Decision::GiveUp { wait, circle });
            self.end(wait);
        }
    }

    fn end_round(&mut self, number: u64) {
        let Some(round) = self.rounds.remove(&number) else {
            return;
        };
        let behind = round.behind.into_iter().map(Task::Look);
        behind.for_each(|look| self.tasks.push(look));
        self.decisions.push_back(Decision::Done(number));
    }
}
