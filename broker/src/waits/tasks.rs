//! What is to be done about waits, in the order in which it came up.

use std::collections::{BTreeSet, VecDeque};

use super::{Resource, WaitId};

/// Where a look begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Start {
    /// At a wait, which is new or counts again.
    Wait(WaitId),
    /// At all who hold a resource that one holds no longer.
    Holders(Resource),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// Look for waits that stand still for ever.
    Look(Start),
    /// Settle what is left of a round.
    Settle(u64),
}

/// A queue in which each task is once. However many waits end before a resource's turn in it comes, one look
/// at those who hold that serves them all.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    queue: VecDeque<Task>,
    queued: BTreeSet<Task>,
}

impl Tasks {
    pub(super) fn push(&mut self, task: Task) {
        if self.queued.insert(task.clone()) {
            self.queue.push_back(task);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Task> {
        let task = self.queue.pop_front()?;
        self.queued.remove(&task);
        Some(task)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
