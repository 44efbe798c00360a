//! Open gates whose plugins have asked how they stand and wait for the answer, because the broker answers only a limited number a second.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use crate::id::PluginId;

/// Open gates that wait, each plugin in turn, and of one plugin each gate in turn: a plugin that asks often keeps neither others waiting
/// nor its own other gates.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    plugins: BTreeMap<PluginId, Gates>,
    /// The plugin that had its turn last.
    last: Option<PluginId>,
}

/// The gates of one plugin.
#[derive(Debug, Default)]
struct Gates {
    open: BTreeSet<u32>,
    /// The gate that had its turn last.
    last: Option<u32>,
}

impl Asked {
    pub(crate) fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }

    /// Adds an open gate.
    pub(crate) fn insert(&mut self, plugin: PluginId, open: u32) {
        self.plugins.entry(plugin).or_default().open.insert(open);
    }

    /// Removes an open gate, which need not wait any more.
    pub(crate) fn remove(&mut self, plugin: PluginId, open: u32) {
        if let Some(gates) = self.plugins.get_mut(&plugin) {
            gates.open.remove(&open);
            if gates.open.is_empty() {
                self.plugins.remove(&plugin);
            }
        }
    }

    /// Forgets a plugin that has ended.
    pub(crate) fn forget(&mut self, plugin: PluginId) {
        self.plugins.remove(&plugin);
    }

    /// Takes out the open gate whose turn it is.
    pub(crate) fn next(&mut self) -> Option<(PluginId, u32)> {
        let later = |last| self.plugins.range((Excluded(last), Unbounded)).next();
        let plugin = self.last.and_then(later).or(self.plugins.iter().next());
        let plugin = *plugin?.0;
        let gates = self.plugins.get_mut(&plugin)?;
        let later = |last| gates.open.range((Excluded(last), Unbounded)).next();
        let open = gates.last.and_then(later).or(gates.open.first());
        let open = *open?;
        (self.last, gates.last) = (Some(plugin), Some(open));
        self.remove(plugin, open);
        Some((plugin, open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PluginId = PluginId(1);
    const B: PluginId = PluginId(2);

    /// A plugin that has thousands of gates open and asks about all of them must not keep others waiting for all its answers.
    #[test]
    fn plugins_have_turns_and_so_have_their_gates() {
        let mut asked = Asked::default();
        for open in 0..100 {
            asked.insert(A, open);
        }
        assert_eq!(asked.next(), Some((A, 0)));
        asked.insert(B, 7);
        assert_eq!(asked.next(), Some((B, 7)));
        // Added again at once, the gate is behind the others.
        asked.insert(A, 0);
        asked.insert(B, 7);
        assert_eq!(asked.next(), Some((A, 1)));
        assert_eq!(asked.next(), Some((B, 7)));
        let rest: Vec<_> = std::iter::from_fn(|| asked.next()).collect();
        let expected = (2..100).chain([0]).map(|open| (A, open));
        assert_eq!(rest, Vec::from_iter(expected));
        assert!(asked.is_empty());
    }

    /// A gate that was answered for another reason, or was closed, is not answered again.
    #[test]
    fn what_is_removed_does_not_come() {
        let mut asked = Asked::default();
        for (plugin, open) in [(A, 1), (A, 2), (B, 1), (B, 2)] {
            asked.insert(plugin, open);
            asked.insert(plugin, open);
        }
        asked.remove(A, 1);
        asked.remove(A, 9);
        asked.forget(B);
        assert_eq!(asked.next(), Some((A, 2)));
        assert_eq!(asked.next(), None);
        assert!(asked.is_empty());
    }
}
