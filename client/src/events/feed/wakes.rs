//! How whoever takes from feeds is woken.

use std::sync::Arc;

use callgate_layout::bells::{Bells, KeptBell};
use callgate_layout::events::cursor::Waiter;
use callgate_layout::sys::futex::Awaited;

use crate::link::own_memory::OwnMemory;

/// Has whoever takes from feeds look again.
pub(crate) trait Wakes: Send + Sync {
    fn wake(&self);
}

/// How a thread is woken for the feed that has a cursor of a plugin's; `None` where it cannot be.
pub(crate) type WaiterOf<'a> = dyn FnMut(&Arc<OwnMemory>, u16) -> Option<Waiter> + 'a;

/// Feed words on which one thread sleeps at most: the kernel takes 128 words.
const MOST_FEEDS: usize = 100;

/// What one thread sleeps on: a bell of each page, and where all bells of one are in use, by callers that sleep, a word of each feed.
#[derive(Default)]
pub(crate) struct Sleeps {
    bells: Vec<(Arc<Bells>, KeptBell, u32)>,
    feeds: Vec<(Arc<OwnMemory>, u16, u32)>,
}

impl Sleeps {
    /// How this thread is woken for a feed; `None` for one too many.
    pub(crate) fn of(&mut self, memory: &Arc<OwnMemory>, cursor: u16) -> Option<Waiter> {
        if let Some(bell) = self.bell(&memory.bells) {
            return Some(Waiter::Bell(bell));
        }
        (self.feeds.len() < MOST_FEEDS).then(|| {
            // Read before the look that comes after this.
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
        // The same.
        let (number, seen) = (kept.number(), kept.value());
        self.bells.push((bells.clone(), kept, seen));
        Some(number)
    }

    /// The words to wait for.
    pub(crate) fn words(&self) -> impl Iterator<Item = Awaited<'_>> {
        let bells = self.bells.iter().map(|(_, kept, seen)| kept.word(*seen));
        let feeds = self.feeds.iter();
        bells.chain(feeds.map(|(memory, cursor, seen)| memory.bell.feed_word(*cursor, *seen)))
    }
}
