//! How a thread that takes from feeds is woken.

use std::sync::Arc;

use callgate_layout::bells::{Bells, KeptBell};
use callgate_layout::events::cursor::Waiter;
use callgate_layout::sys::futex::Awaited;

use crate::link::own_memory::OwnMemory;

/// Wakes the dispatcher or the program's thread that takes from feeds.
pub(crate) trait Wakes: Send + Sync {
    fn wake(&self);
}

/// Says how a thread is woken for the feed whose cursor has this index; `None` if there is no way.
pub(crate) type WaiterOf<'a> = dyn FnMut(&Arc<OwnMemory>, u16) -> Option<Waiter> + 'a;

/// On how many feed words one thread may sleep: the kernel allows 128 words in all.
const MOST_FEEDS: usize = 100;

/// The words on which one thread sleeps: one bell of each doorbell page, or, if all bells of a page are taken by
/// sleeping callers, one word for each feed.
#[derive(Default)]
pub(crate) struct Sleeps {
    bells: Vec<(Arc<Bells>, KeptBell, u32)>,
    feeds: Vec<(Arc<OwnMemory>, u16, u32)>,
}

impl Sleeps {
    /// Says how this thread is woken for a feed; `None` if there are too many feeds.
    pub(crate) fn of(&mut self, memory: &Arc<OwnMemory>, cursor: u16) -> Option<Waiter> {
        if let Some(bell) = self.bell(&memory.bells) {
            return Some(Waiter::Bell(bell));
        }
        (self.feeds.len() < MOST_FEEDS).then(|| {
            // Read before the caller looks at the feed, so that an event after the look ends the sleep.
            let seen = memory.bell.feed_value(cursor);
            self.feeds.push((memory.clone(), cursor, seen));
            Waiter::Feed
        })
    }

    fn bell(&mut self, bells: &Arc<Bells>) -> Option<u8> {
        let known = self.bells.iter().find(|(of, ..)| Arc::ptr_eq(of, bells));
        if let Some((_, kept, _)) = known {
            return Some(kept.number());
        }
        let kept = KeptBell::take(bells)?;
        // As above: read before the look.
        let (number, seen) = (kept.number(), kept.value());
        self.bells.push((bells.clone(), kept, seen));
        Some(number)
    }

    /// The words on which to sleep, with the values that were read.
    pub(crate) fn words(&self) -> impl Iterator<Item = Awaited<'_>> {
        let bells = self.bells.iter().map(|(_, kept, seen)| kept.word(*seen));
        let feeds = self.feeds.iter();
        bells.chain(feeds.map(|(memory, cursor, seen)| memory.bell.feed_word(*cursor, *seen)))
    }
}
