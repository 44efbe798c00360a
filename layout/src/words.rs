//! How a caller without a bell ([`bells`](crate::bells)) sleeps: on its reply slot's own word, perhaps together with
//! others.
//!
//! **Sync point** REPLY-OR-WAITER. The caller says that it sleeps on the reply slot, fences, and looks at
//! the slot once more before it sleeps while the state is as it was read; the provider publishes,
//! fences, and looks at the flags.

use crate::atomic::{Ordering, fence};
use crate::flags::{self, Waiter};
use crate::geometry::Geometry;
use crate::life::{Life, Seen};
#[cfg(not(callgate_loom))]
use crate::sys::futex;
use crate::view::{ReadView, WriteView};
use crate::{closing, slot};

/// The words for which a caller without a bell waits: its reply slot's state, the link's life, and, once that says that
/// calls are closed, the peer's word about the last call it has taken.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    reply: u32,
    life: Seen,
    closing: u32,
}

/// A caller that is about to sleep on its reply slot. While this value lives, the flags of its call say so.
#[derive(Debug)]
pub struct WordSleeper<'a> {
    outbox: &'a WriteView,
    inbox: &'a ReadView,
    geometry: Geometry,
    slot: u8,
}

impl<'a> WordSleeper<'a> {
    /// Says in the call's flags that it sleeps on the reply slot. Afterwards the caller reads the
    /// [words](WordSleeper::seen), looks once more at everything that ends its wait, and may then
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

    /// The words now. The caller reads them before its last look.
    pub fn seen(&self, life: &Life) -> Words {
        Words {
            reply: slot::state(self.inbox, self.geometry, self.slot),
            life: life.seen(),
            closing: closing::seen(self.inbox, self.geometry),
        }
    }

    /// Looks and sleeps until `ended` gives something. `sleep` sleeps while the words are as it is told, and may
    /// return for no reason.
    pub fn wait<T>(
        &self,
        life: &Life,
        mut ended: impl FnMut() -> Option<T>,
        sleep: impl Fn(Words),
    ) -> T {
        loop {
            let seen = self.seen(life);
            if let Some(outcome) = ended() {
                return outcome;
            }
            sleep(seen);
        }
    }

    /// The futex words: a wait for them ends as soon as one differs from `seen`.
    #[cfg(not(callgate_loom))]
    pub fn words(&self, life: &'a Life, seen: Words) -> impl Iterator<Item = futex::Awaited<'a>> {
        let (inbox, geometry) = (self.inbox, self.geometry);
        let reply = slot::word(inbox, geometry, self.slot, seen.reply);
        let is_closed = seen.life.is_closed();
        let closing = is_closed.then(|| closing::word(inbox, geometry, seen.closing));
        [reply, life.word_seen(seen.life)]
            .into_iter()
            .chain(closing)
    }
}

impl Words {
    /// Whether a caller that sleeps while the words have these values goes on sleeping when they are `now`.
    pub fn are(self, now: Words) -> bool {
        let is_closing = self.life.is_closed() && self.closing != now.closing;
        (self.reply, self.life) == (now.reply, now.life) && !is_closing
    }
}

impl Drop for WordSleeper<'_> {
    fn drop(&mut self) {
        flags::set_waiter(self.outbox, self.geometry, self.slot, Waiter::Nobody);
    }
}
