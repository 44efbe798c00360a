//! Which indexes of a side are free.

use std::collections::VecDeque;

/// So many indexes rest before the first of them is used again, because a call that named one before may still be on its way. Not more,
/// because a provider has tables as long as its highest index.
pub(super) const RESTING: usize = 1024;

/// The indexes of one side. Of the free ones, the one that was freed first is used first.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    /// The first index that was never given.
    fresh: u32,
    /// The free ones that were given before, in the order in which they were freed.
    freed: VecDeque<u16>,
}

impl Indexes {
    /// Takes an index; `None` if all are in use.
    pub(super) fn take(&mut self) -> Option<u16> {
        match u16::try_from(self.fresh) {
            Ok(index) if self.freed.len() < RESTING => {
                self.fresh += 1;
                Some(index)
            }
            _ => self.freed.pop_front(),
        }
    }

    pub(super) fn give_back(&mut self, index: u16) {
        self.freed.push_back(index);
    }
}
