//! The tasks of looking at waits, in the order in which they came up.

use std::collections::{BTreeSet, VecDeque};

use super::{Resource, WaitId};

/// The waits at which a look begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Start {
    /// One wait, which is new or counts again.
    Wait(WaitId),
    /// All waits that hold a resource of which another wait holds nothing any more.
    Holders(Resource),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// Look for waits that stand still.
    Look(Start),
    /// Settle what is left of a round.
    Settle(u64),
}

/// A queue that has each task only once. However many waits that held a resource end before the task for it is done, one look at those who
/// still hold it serves for all of them.
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
