//! Which cursors of a plugin's status page are free.

use std::collections::BTreeSet;

/// How many cursors a status page has.
pub(crate) const MOST: u16 = 1024;

/// The cursors of one plugin. The lowest that is free is given first, so that few lines of the page are touched.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    /// Those below `fresh` that are free.
    free: BTreeSet<u16>,
    /// The first one that was never given.
    fresh: u16,
}

impl Cursors {
    pub(super) fn take(&mut self) -> Option<u16> {
        if let Some(cursor) = self.free.pop_first() {
            return Some(cursor);
        }
        let cursor = self.fresh;
        (cursor < MOST).then(|| {
            self.fresh += 1;
            cursor
        })
    }

    /// Says whether none is in use any more.
    pub(super) fn give_back(&mut self, cursor: u16) -> bool {
        self.free.insert(cursor);
        self.free.len() == usize::from(self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two feeds with one cursor would each take the other's events for handled.
    #[test]
    fn each_is_given_once_until_it_is_given_back() {
        let mut cursors = Cursors::default();
        let all: Vec<u16> = std::iter::from_fn(|| cursors.take()).collect();
        assert_eq!(all, Vec::from_iter(0..MOST));
        assert!(!cursors.give_back(700) && !cursors.give_back(3));
        assert_eq!([cursors.take(), cursors.take()], [Some(3), Some(700)]);
        assert_eq!(cursors.take(), None);
        let ends: Vec<bool> = all.into_iter().map(|one| cursors.give_back(one)).collect();
        assert_eq!(ends.iter().position(|last| *last), Some(1023));
    }
}
