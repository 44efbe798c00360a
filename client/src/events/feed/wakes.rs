//! How whoever takes from feeds is woken.

use std::sync::Arc;

use callgate_layout::bells::{Bells, KeptBell};
use callgate_layout::sys::futex::Awaited;

use crate::link::own_memory::OwnMemory;

/// Has whoever takes from feeds look again.
pub(crate) trait Wakes: Send + Sync {
    fn wake(&self);
}

/// Which bell of a plugin's page is rung for a thread; `None` where all are in use.
pub(crate) type BellOf<'a> = dyn FnMut(&OwnMemory) -> Option<u8> + 'a;

/// The bells on which one thread sleeps.
#[derive(Default)]
pub(crate) struct SleepBells {
    all: Vec<(Arc<Bells>, KeptBell, u32)>,
}

impl SleepBells {
    /// The bell of a page that is rung for this thread; `None` where all are in use.
    pub(crate) fn of(&mut self, bells: &Arc<Bells>) -> Option<u8> {
        let known = self.all.iter().find(|(of, ..)| Arc::ptr_eq(of, bells));
        if let Some((_, kept, _)) = known {
            return Some(kept.number());
        }
        let kept = KeptBell::take(bells)?;
        // Read before the look that comes after this.
        let (number, seen) = (kept.number(), kept.value());
        self.all.push((bells.clone(), kept, seen));
        Some(number)
    }

    /// The bells as words to wait for.
    pub(crate) fn words(&self) -> impl Iterator<Item = Awaited<'_>> {
        self.all.iter().map(|(_, kept, seen)| kept.word(*seen))
    }
}
