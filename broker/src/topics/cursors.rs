//! Which cursors of a plugin's status page are free.

use std::collections::BTreeSet;

use callgate_layout::events::cursor::CURSORS;

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
        (cursor < CURSORS).then(|| {
            self.fresh += 1;
            cursor
        })
    }

    pub(super) fn give_back(&mut self, cursor: u16) {
        self.free.insert(cursor);
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
        assert_eq!(all, Vec::from_iter(0..CURSORS));
        for cursor in [700, 3] {
            cursors.give_back(cursor);
        }
        assert_eq!([cursors.take(), cursors.take()], [Some(3), Some(700)]);
        assert_eq!(cursors.take(), None);
    }
}
