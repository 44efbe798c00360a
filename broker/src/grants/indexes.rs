//! Which indexes of a side are free.

use std::collections::VecDeque;

/// So many indexes are free, where there are more, before one is used again: a call that named it before may still be
/// on its way. No more, because a provider has tables as long as its highest index.
pub(super) const RESTING: usize = 1024;

/// The indexes of one side. Of those that are free the one that was freed first is used again first.
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
