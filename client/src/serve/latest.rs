//! Which indexes of a table have changed last, so that copies of it can be renewed in part.

use std::collections::VecDeque;

/// For how many of the latest changes the index is kept.
const MOST: usize = 256;

/// The latest changes of a table.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// The number of all changes.
    changes: u64,
    /// The indexes that have changed, the newest last.
    indexes: VecDeque<u16>,
}

impl Latest {
    /// Notes a change.
    pub(super) fn note(&mut self, index: u16) {
        if self.indexes.len() == MOST {
            self.indexes.pop_front();
        }
        self.indexes.push_back(index);
        self.changes += 1;
    }

    /// The number of all changes.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// The indexes that have changed since the given number of changes; `None` if that is not known any more.
    pub(super) fn since(&self, changes: u64) -> Option<impl Iterator<Item = u16>> {
        let missed = usize::try_from(self.changes.checked_sub(changes)?).ok()?;
        let start = self.indexes.len().checked_sub(missed)?;
        Some(self.indexes.range(start..).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_known_for_a_while() {
        let mut latest = Latest::default();
        for index in [3, 5, 3] {
            latest.note(index);
        }
        let since = |latest: &Latest, changes| latest.since(changes).map(Vec::from_iter);
        assert_eq!(latest.changes(), 3);
        assert_eq!(since(&latest, 3), Some(vec![]));
        assert_eq!(since(&latest, 1), Some(vec![5, 3]));
        assert_eq!(since(&latest, 4), None, "of another table");
        for index in 0..MOST as u16 {
            latest.note(index);
        }
        assert_eq!(since(&latest, 2), None);
        assert_eq!(since(&latest, 3).map(|all| all.len()), Some(MOST));
    }
}
