//! How a caller sleeps on its reply slot's own word, perhaps among others: where it has no bell
//! ([`bells`](crate::bells)).
//!
//! **Sync point** REPLY-OR-WAITER. The caller says that it sleeps on the reply slot, fences, and looks at
//! the slot once more before it sleeps while the state is as it was read; the provider publishes,
//! fences, and looks at the flags.

use crate::atomic::{Ordering, fence};
use crate::flags::{self, Waiter};
use crate::geometry::Geometry;
use crate::life::{Life, Seen};
use crate::slot;
#[cfg(not(callgate_loom))]
use crate::sys::futex;
use crate::view::{ReadView, WriteView};

/// A caller that is about to sleep on its reply slot. While this lives, its flags say so.
#[derive(Debug)]
pub struct WordSleeper<'a> {
    outbox: &'a WriteView,
    inbox: &'a ReadView,
    geometry: Geometry,
    slot: u8,
}

impl<'a> WordSleeper<'a> {
    /// Says in the call's flags that it sleeps on the reply slot. Afterwards the caller reads the
    /// [state](WordSleeper::seen), looks once more at everything that ends its wait, and may then
    /// sleep while the state is as it was.
    pub fn announce(
        outbox: &'a WriteView,
        inbox: &'a ReadView,
        geometry: Geometry,
        slot: u8,
    ) -> WordSleeper<'a> {
        flags::set_waiter(outbox, geometry, slot, Waiter::Reply);
        // REPLY-OR-WAITER, the caller's side.
        fence(Ordering::SeqCst);
        WordSleeper {
            outbox,
            inbox,
            geometry,
            slot,
        }
    }

    /// The state now; to be read before the look.
    pub fn seen(&self) -> u32 {
        slot::state(self.inbox, self.geometry, self.slot)
    }

    /// Looks and sleeps until `ended` gives something. `sleep` sleeps while the slot and the link's life are as it
    /// is told, and may return for no reason.
    pub fn wait<T>(
        &self,
        life: &Life,
        mut ended: impl FnMut() -> Option<T>,
        sleep: impl Fn(u32, Seen),
    ) -> T {
        loop {
            let (seen, life_seen) = (self.seen(), life.seen());
            if let Some(outcome) = ended() {
                return outcome;
            }
            sleep(seen, life_seen);
        }
    }

    /// The state as a word to wait for: while it is as it was `seen`.
    #[cfg(not(callgate_loom))]
    pub fn word(&self, seen: u32) -> futex::Awaited<'a> {
        slot::word(self.inbox, self.geometry, self.slot, seen)
    }
}

impl Drop for WordSleeper<'_> {
    fn drop(&mut self) {
        flags::set_waiter(self.outbox, self.geometry, self.slot, Waiter::Nobody);
    }
}
