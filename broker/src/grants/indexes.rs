//! Which indexes of a side are free.

use std::collections::VecDeque;

/// Each index rests as long as it can before it is used again: a call that named it before may still be on its
/// way.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    /// The first one that was never given.
    fresh: u32,
    /// Those that were given and are free again, in that order.
    freed: VecDeque<u16>,
}

impl Indexes {
    /// Takes one; `None` where all are in use.
    pub(super) fn take(&mut self) -> Option<u16> {
        match u16::try_from(self.fresh) {
            Ok(index) => {
                self.fresh += 1;
                Some(index)
            }
            Err(_) => self.freed.pop_front(),
        }
    }

    pub(super) fn give_back(&mut self, index: u16) {
        self.freed.push_back(index);
    }
}
