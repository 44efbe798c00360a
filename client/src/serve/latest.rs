//! Which indexes of a table changed last, so that who has a copy of it need not copy all of it again.

use std::collections::VecDeque;

/// Of so many changes is known which index they were of.
const MOST: usize = 256;

/// The latest changes of a table.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// How many there were.
    changes: u64,
    /// What changed, the latest last.
    indexes: VecDeque<u16>,
}

impl Latest {
    /// Takes note of a change.
    pub(super) fn note(&mut self, index: u16) {
        if self.indexes.len() == MOST {
            self.indexes.pop_front();
        }
        self.indexes.push_back(index);
        self.changes += 1;
    }

    /// How many changes there were.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// What has changed since there were so many changes; `None` where that is not known any more.
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
