//! Which cursors on a plugin's status page are free.

use std::collections::VecDeque;

use callgate_layout::events::cursor::CURSORS;

/// The cursors of one plugin. A cursor that comes back is given again only after all others, because the plugin may not have heard yet that
/// its feed has ended, or may have a thread that still writes to the cursor; it would then refuse to use it for another feed.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    /// Free cursors that were given before, in the order in which they came back.
    free: VecDeque<u16>,
    /// The first cursor that was never given.
    fresh: u16,
}

impl Cursors {
    pub(super) fn take(&mut self) -> Option<u16> {
        if self.fresh < CURSORS {
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        self.free.pop_front()
    }

    pub(super) fn give_back(&mut self, cursor: u16) {
        self.free.push_back(cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If two feeds had one cursor, each would mark the other's events as handled.
    #[test]
    fn each_is_given_once_until_it_is_given_back() {
        let mut cursors = Cursors::default();
        let all: Vec<u16> = std::iter::from_fn(|| cursors.take()).collect();
        assert_eq!(all, Vec::from_iter(0..CURSORS));
        for cursor in [700, 3] {
            cursors.give_back(cursor);
        }
        assert_eq!([cursors.take(), cursors.take()], [Some(700), Some(3)]);
        assert_eq!(cursors.take(), None);
    }

    /// The cursor of a plugin that had not heard of its feed's end yet was given to the next feed at once.
    #[test]
    fn one_that_came_back_is_the_last_to_be_given_again() {
        let mut cursors = Cursors::default();
        for cursor in 0..3 * CURSORS {
            assert_eq!(cursors.take(), Some(cursor % CURSORS));
            cursors.give_back(cursor % CURSORS);
        }
    }
}
