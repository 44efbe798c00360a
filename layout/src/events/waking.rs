//! The words of the doorbell page on which listeners sleep until there are events, and senders until listeners have
//! handled some.
//!
//! ```text
//! doorbell page    4096 topic words     8 bytes for each of 8,192 sources
//!                         0 armed u32   1: a listener is about to sleep, or sleeps
//!                         4 room u32    added to when a listener has moved on and the sender starves; futex
//!                 69632 feed words      4 bytes for each of 1,024 cursors: added to when there are events; futex
//! ```
//!
//! They are written by the plugin and by linked peers, and carry no data. Topic words belong to the sender's page, feed words to the
//! listener's. Plugins that share a page share the feed words as well, which wakes one of them in vain now and then.
//!
//! **Sync point** ARMED-OR-PARKED. A listener says that it sleeps (its status page: parked; or its cursor: a waiter), fences,
//! arms each source where it is not armed, fences, and looks at the heads once more. The sender publishes, fences, and looks at
//! *armed*; where it is set, it takes that away, fences again, and looks at who sleeps. So either the listener sees the event, or the
//! sender sees it asleep. Without the sender's second fence it could take away an arming whose listener it then sees awake.
//!
//! **Sync point** CURSOR-OR-STARVING. The sender counts itself as starving, fences, looks at the cursors once more, and sleeps on
//! *room*. A listener stores its position, fences, and looks whether the sender starves; then it adds to *room* and wakes.

use crate::atomic::{Ordering, fence};
use crate::events::cursor::{CURSORS, Cursor};
#[cfg(not(callgate_loom))]
use crate::pages;
use crate::pages::{Doorbell, Status};

/// Topic words of a doorbell page.
#[cfg(not(callgate_loom))]
pub const TOPIC_WORDS: u16 = 8192;
/// Loom's pages have few.
#[cfg(callgate_loom)]
pub const TOPIC_WORDS: u16 = 2;

#[cfg(not(callgate_loom))]
const TOPICS: usize = 4096;
/// Loom's pages have three bells.
#[cfg(callgate_loom)]
const TOPICS: usize = 192;
const ROOM: usize = 4;
const FEEDS: usize = TOPICS + 8 * TOPIC_WORDS as usize;
/// Where the words end, and the page.
#[cfg(not(callgate_loom))]
const END: usize = FEEDS + 4 * CURSORS as usize;

// The byte table above, held against the code: whoever changes it changes the version.
#[cfg(not(callgate_loom))]
const _: () = {
    assert!(crate::control::VERSION == 12);
    assert!(TOPICS == 4096 && FEEDS == 69_632 && END == pages::DOORBELL_LEN);
};

/// Where a topic word lies; a number that is too large is wrapped.
fn topic(word: u16) -> usize {
    TOPICS + 8 * usize::from(word % TOPIC_WORDS)
}

fn feed(cursor: u16) -> usize {
    FEEDS + 4 * usize::from(cursor % CURSORS)
}

impl Status {
    /// A cursor of this page.
    #[inline]
    pub fn cursor(&self, index: u16) -> Cursor<'_> {
        Cursor::new(self.page(), index)
    }
}

/// Called by a listening thread that is about to sleep: after `set_waiter`, and before it arms the sources.
pub fn about_to_sleep() {
    // ARMED-OR-PARKED, the listener's first fence; of a dispatcher that of `Status::park`.
    fence(Ordering::SeqCst);
}

/// Called once all sources are armed; the listener looks at the heads after this.
pub fn all_armed() {
    // ARMED-OR-PARKED, the listener's second fence.
    fence(Ordering::SeqCst);
}

/// Whether a listener may be asleep; the sender asks after it has published events.
#[inline]
pub fn is_armed(bell: &Doorbell, word: u16) -> bool {
    // ARMED-OR-PARKED, the sender's first fence.
    fence(Ordering::SeqCst);
    let page = bell.page().as_read();
    page.load32(topic(word), Ordering::Relaxed) != 0
}

impl Doorbell {
    /// Sets *armed*: the sender that owns this page looks for sleepers after its next event of this source.
    pub fn arm(&self, word: u16) {
        let at = topic(word);
        // A store only if needed: a load alone leaves the line in the other cores' caches.
        if self.page().as_read().load32(at, Ordering::Relaxed) == 0 {
            self.page().store32(at, 1, Ordering::Relaxed);
        }
    }

    /// Clears *armed*. After this the sender looks which listeners sleep.
    pub fn disarm(&self, word: u16) {
        self.page().store32(topic(word), 0, Ordering::Relaxed);
        // ARMED-OR-PARKED, the sender's second fence.
        fence(Ordering::SeqCst);
    }

    /// The value of *room*, on which a sender that waits for cursors sleeps. It reads this before it counts itself as
    /// starving, whose fence orders this before its look at the cursors.
    pub fn room(&self, word: u16) -> u32 {
        let page = self.page().as_read();
        page.load32(topic(word) + ROOM, Ordering::Relaxed)
    }

    /// Changes *room*, so that no thread falls asleep on the old value. Release: a thread that reads the new value also sees
    /// the change for which it was rung.
    pub fn touch_room(&self, word: u16) {
        self.page().add32(topic(word) + ROOM, 1, Ordering::Release);
    }

    /// The value of a feed word; to be read before [`about_to_sleep`], whose fence orders it.
    pub fn feed_value(&self, cursor: u16) -> u32 {
        self.page()
            .as_read()
            .load32(feed(cursor), Ordering::Relaxed)
    }

    /// Changes a feed word, so that no thread falls asleep on the old value. Release: a thread that reads the new value also
    /// sees the change for which it was rung.
    pub fn touch_feed(&self, cursor: u16) {
        self.page().add32(feed(cursor), 1, Ordering::Release);
    }
}

#[cfg(not(callgate_loom))]
mod futexes {
    use super::{ROOM, feed, topic};
    use crate::pages::Doorbell;
    use crate::sys::futex::{self, Awaited};

    impl Doorbell {
        /// *Room* as a futex word for the sender: a wait for it ends as soon as it is not `seen` any more.
        pub fn awaited(&self, word: u16, seen: u32) -> Awaited<'_> {
            let page = self.page().as_read();
            Awaited::shared(page.futex(topic(word) + ROOM), seen)
        }

        /// Wakes the threads of the sender that wait for cursors. One system call.
        pub fn wake_room(&self, word: u16) {
            self.touch_room(word);
            futex::wake(self.page().as_read().futex(topic(word) + ROOM));
        }

        /// A feed word as a futex word: a wait for it ends as soon as it is not `seen` any more.
        pub fn feed_word(&self, cursor: u16, seen: u32) -> Awaited<'_> {
            Awaited::shared(self.page().as_read().futex(feed(cursor)), seen)
        }

        /// Wakes the thread that takes from a feed. One system call.
        pub fn ring_feed(&self, cursor: u16) {
            self.touch_feed(cursor);
            futex::wake(self.page().as_read().futex(feed(cursor)));
        }
    }
}
