//! Which cursors of a plugin's status page are in use.
//!
//! When a feed has ended, the broker gives its cursor to another feed. But the thread that takes from the ended feed
//! may be in the middle of an event, and writes its position afterwards. If the cursor were already the other feed's,
//! that feed's source would take it for a liar, or would neither wait for it nor wake it. So a cursor belongs to its
//! place until that is dropped. If the broker gives it out before, this plugin refuses it
//! ([`FollowFailed`](callgate_layout::control::FeedToBroker::FollowFailed)), and the feed is set up later. The broker
//! gives cursors out in the order in which they came back, so this hardly ever happens.

use std::sync::Arc;

use callgate_layout::events::cursor::CURSORS;
use parking_lot::Mutex;

const LINES: usize = CURSORS as usize;
const BITS: usize = u64::BITS as usize;

/// The cursors of a status page, with one bit for each that is in use.
#[derive(Debug)]
pub(crate) struct CursorLines(Mutex<[u64; LINES / BITS]>);

impl Default for CursorLines {
    fn default() -> CursorLines {
        CursorLines(Mutex::new([0; LINES / BITS]))
    }
}

impl CursorLines {
    /// Takes the cursor with this index for a place; `None` if another place still has it, or there is none.
    pub(crate) fn take(self: &Arc<Self>, index: u16) -> Option<CursorLine> {
        let mut taken = self.0.lock();
        let bits = taken.get_mut(usize::from(index) / BITS)?;
        let bit = 1 << (usize::from(index) % BITS);
        (*bits & bit == 0).then(|| {
            *bits |= bit;
            CursorLine {
                lines: self.clone(),
                index,
            }
        })
    }
}

/// A cursor that a place uses. It becomes free when this is dropped.
#[derive(Debug)]
pub(crate) struct CursorLine {
    lines: Arc<CursorLines>,
    index: u16,
}

impl CursorLine {
    /// Its index in the status page.
    #[inline]
    pub(crate) fn index(&self) -> u16 {
        self.index
    }
}

impl Drop for CursorLine {
    fn drop(&mut self) {
        let index = usize::from(self.index);
        self.lines.0.lock()[index / BITS] &= !(1 << (index % BITS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_places_until_that_is_dropped() {
        let lines = Arc::new(CursorLines::default());
        let all: Vec<_> = (0..CURSORS).map(|index| lines.take(index)).collect();
        assert!(all.iter().all(Option::is_some));
        assert!((0..=u16::MAX).all(|index| lines.take(index).is_none()));
        drop(all);
        assert!((0..CURSORS).all(|index| lines.take(index).is_some()));
    }
}
