//! The queue for the thread that works on the files of persistent shares.
//!
//! A file can have gigabytes, and any plugin that may read it can have it loaded again and again. So saving and removing goes before
//! loading, in the order in which it was asked for; a load then finds the file as it is by then. Loads are ordered by the plugins that wait
//! for them: the next one is for the plugin that has waited longest since its last load. A load that no plugin waits for any more is
//! skipped.

use std::collections::{HashMap, VecDeque};

use crate::id::PluginId;

/// Tasks that save or remove, and loads.
#[derive(Debug)]
pub(super) struct Queue<J, L> {
    jobs: VecDeque<J>,
    loads: VecDeque<L>,
    /// For each plugin, the turn in which something was last loaded for it.
    turns: HashMap<PluginId, u64>,
    turn: u64,
}

/// The next task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<J, L> {
    Job(J),
    Load(L),
    /// A load that no plugin waits for any more.
    Forgone(L),
}

impl<J, L> Queue<J, L> {
    pub(super) fn new() -> Queue<J, L> {
        Queue {
            jobs: VecDeque::new(),
            loads: VecDeque::new(),
            turns: HashMap::new(),
            turn: 0,
        }
    }

    pub(super) fn push(&mut self, job: J) {
        self.jobs.push_back(job);
    }

    pub(super) fn push_load(&mut self, load: L) {
        self.loads.push_back(load);
    }

    /// Takes out all tasks that save or remove.
    pub(super) fn take_jobs(&mut self) -> VecDeque<J> {
        std::mem::take(&mut self.jobs)
    }

    /// Takes out the next task. `waiting` returns the plugins that wait for a load.
    pub(super) fn next(&mut self, waiting: impl Fn(&L) -> Vec<PluginId>) -> Option<Next<J, L>> {
        if let Some(job) = self.jobs.pop_front() {
            return Some(Next::Job(job));
        }
        // For each load: the plugin, among those that wait for it, whose last load was longest ago.
        let first = |load: &L| {
            let plugins = waiting(load).into_iter();
            let plugins = plugins.map(|plugin| (self.turns.get(&plugin).copied(), plugin));
            plugins.min_by_key(|(turn, _)| *turn)
        };
        let firsts = self.loads.iter().map(first).enumerate();
        let (at, first) = firsts.min_by_key(|(_, first)| first.map(|(turn, _)| turn))?;
        let load = self.loads.remove(at)?;
        let Some((_, plugin)) = first else {
            return Some(Next::Forgone(load));
        };
        self.turn += 1;
        self.turns.insert(plugin, self.turn);
        Some(Next::Load(load))
    }

    /// Forgets the turns of plugins for which `is_there` is false.
    pub(super) fn keep(&mut self, is_there: impl Fn(PluginId) -> bool) {
        self.turns.retain(|plugin, _| is_there(*plugin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PluginId = PluginId(1);
    const B: PluginId = PluginId(2);

    fn drained(
        queue: &mut Queue<u32, u32>,
        waiting: impl Fn(&u32) -> Vec<PluginId>,
    ) -> Vec<Next<u32, u32>> {
        std::iter::from_fn(|| queue.next(&waiting)).collect()
    }

    /// A version was registered only after all files that a reader wanted had been copied.
    #[test]
    fn what_saves_goes_before_what_loads() {
        let mut queue = Queue::new();
        (0..3).for_each(|load| queue.push_load(load));
        queue.push(7);
        queue.push(8);
        let found: Vec<_> = (0..3).filter_map(|_| queue.next(|_| vec![A])).collect();
        assert_eq!(found, [Next::Job(7), Next::Job(8), Next::Load(0)]);
        queue.push(9);
        let found = drained(&mut queue, |_| vec![A]);
        assert_eq!(found, [Next::Job(9), Next::Load(1), Next::Load(2)]);
    }

    /// A plugin that wants many files must not make others wait for all of them.
    #[test]
    fn loads_go_by_the_plugins_that_wait_for_them() {
        let mut queue: Queue<u32, u32> = Queue::new();
        (0..6).for_each(|load| queue.push_load(load));
        // B wants the fourth, which A has wanted before, and the last one.
        let waiting = |load: &u32| match load {
            3 => vec![A, B],
            5 => vec![B],
            _ => vec![A],
        };
        let found = drained(&mut queue, waiting);
        assert_eq!(found, [0, 3, 1, 5, 2, 4].map(Next::Load));
        queue.keep(|plugin| plugin == B);
        assert_eq!(queue.turns.len(), 1);
    }

    /// A plugin that wants files and gives up its wishes must not have them copied for nobody.
    #[test]
    fn what_nobody_waits_for_is_not_loaded() {
        let mut queue: Queue<u32, u32> = Queue::new();
        (0..3).for_each(|load| queue.push_load(load));
        let waiting = |load: &u32| Vec::from_iter((*load == 1).then_some(A));
        let found = drained(&mut queue, waiting);
        assert_eq!(found, [Next::Forgone(0), Next::Forgone(2), Next::Load(1)]);
    }
}
