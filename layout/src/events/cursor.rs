//! Cursors: a listener's position in each of its feeds, in lines of its status page.
//!
//! ```text
//! status page      0 position u64   events before here are handled
//! + CURSORS        8 next u64       number of the next event that the feed expects
//! + 64 × index    16 waiter u32     how a thread that sleeps on this feed is woken: 0 there is none, 1 by the feed
//!                                   word, 2 to 64 by bell 1 to 63
//!                 20 left u32       1: the feed has ended on this side
//!                 24 lost u64       events that it lost
//!                 32 times u64      how often it found that
//! ```
//!
//! The sender keeps the largest position that it has seen, so that a position which goes back changes nothing, and drops
//! a listener whose position lies beyond the last event.
//!
//! **Sync point** EVENT-HANDLED. The listener stores `position` (release) after the handlers have run, and `left` likewise;
//! a thread that reads them (acquire), as a `flush` does, sees what the handlers did.

use crate::atomic::Ordering;
use crate::geometry::LINE_LEN;
use crate::pages::STATUS_LEN;
use crate::stats;
use crate::view::{ReadView, WriteView};

/// Cursors of a status page.
pub const CURSORS: u16 = 1024;
/// Where they begin in a status page.
#[cfg(not(callgate_loom))]
const BEGIN: usize = stats::END;
/// Loom's pages have no gates.
#[cfg(callgate_loom)]
const BEGIN: usize = 192;
/// Where they end.
const END: usize = stats::END + CURSORS as usize * LINE_LEN;

const POSITION: usize = 0;
const NEXT: usize = 8;
const WAITER: usize = 16;
const LEFT: usize = 20;
const LOST: usize = 24;
const TIMES: usize = 32;

// The byte table above, held against the code: whoever changes it changes the version.
const _: () = {
    assert!(crate::control::VERSION == 12);
    assert!(stats::END == 69_632 && END == 135_168 && END == STATUS_LEN && LINE_LEN == 64);
};

/// The thread to wake for a pulled feed, from which a separate thread takes the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// Nobody sleeps.
    Nobody,
    /// The thread that sleeps on the feed word.
    Feed,
    /// The thread that sleeps on this one of the callers' bells, 1 to 63.
    Bell(u8),
}

/// The content of a cursor, as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events before here are handled.
    pub position: u64,
    /// The number of the next event that it expects.
    pub next: u64,
    /// Whether the feed has ended on its side.
    pub has_left: bool,
    /// Events that it lost.
    pub lost: u64,
    /// How often it found that.
    pub times: u64,
}

/// Where the line of a cursor begins; an index that is too large is wrapped.
fn line(index: u16) -> usize {
    BEGIN + LINE_LEN * usize::from(index % CURSORS)
}

/// A listener's own cursor.
#[derive(Debug)]
pub struct Cursor<'a> {
    status: &'a WriteView,
    line: usize,
}

impl<'a> Cursor<'a> {
    /// The cursor of this index, in the listener's own status page.
    pub(crate) fn new(status: &'a WriteView, index: u16) -> Cursor<'a> {
        Cursor {
            status,
            line: line(index),
        }
    }

    /// Resets the cursor for a new feed. The listener does this before it tells the broker `Following`.
    pub fn clear(&self) {
        for at in [POSITION, NEXT, LOST, TIMES] {
            self.status.store64(self.line + at, 0, Ordering::Relaxed);
        }
        for at in [WAITER, LEFT] {
            self.status.store32(self.line + at, 0, Ordering::Relaxed);
        }
    }

    /// Events before this position are handled; the next one has this number.
    #[inline]
    pub fn handled(&self, position: u64, next: u64) {
        self.status
            .store64(self.line + NEXT, next, Ordering::Relaxed);
        // EVENT-HANDLED, release. CURSOR-OR-STARVING: a fence follows before the listener turns to something else.
        self.status
            .store64(self.line + POSITION, position, Ordering::Release);
    }

    /// Counts events that were lost.
    pub fn count_lost(&self, lost: u64) {
        let at = self.line + LOST;
        let before = self.status.as_read().load64(at, Ordering::Relaxed);
        self.status
            .store64(at, before.saturating_add(lost), Ordering::Relaxed);
        self.status.count(self.line + TIMES, false);
    }

    /// Notes that the feed takes no more events. Afterwards the listener looks whether the sender
    /// [starves](super::RingReader::is_starving), as it does after an event.
    pub fn leave(&self) {
        // EVENT-HANDLED, release.
        self.status.store32(self.line + LEFT, 1, Ordering::Release);
    }

    /// Tells the sender how to wake the thread that is about to sleep on this feed, or that no thread sleeps.
    pub fn set_waiter(&self, waiter: Waiter) {
        let value = match waiter {
            Waiter::Nobody => 0,
            Waiter::Feed => 1,
            Waiter::Bell(bell) => 1 + u32::from(bell),
        };
        self.status
            .store32(self.line + WAITER, value, Ordering::Relaxed);
    }
}

/// Reads a cursor of a listener's status page.
pub fn read(status: &ReadView, index: u16) -> Seen {
    let line = line(index);
    Seen {
        // EVENT-HANDLED, acquire: the number is no older than this.
        position: status.load64(line + POSITION, Ordering::Acquire),
        next: status.load64(line + NEXT, Ordering::Relaxed),
        // EVENT-HANDLED, acquire.
        has_left: status.load32(line + LEFT, Ordering::Acquire) != 0,
        lost: status.load64(line + LOST, Ordering::Relaxed),
        times: status.load64(line + TIMES, Ordering::Relaxed),
    }
}

/// The thread to wake for a pulled feed. A value that no listener writes counts as the feed word: a needless wake-up does
/// no harm.
pub fn waiter(status: &ReadView, index: u16) -> Waiter {
    match status.load32(line(index) + WAITER, Ordering::Relaxed) {
        0 => Waiter::Nobody,
        value @ 2..=64 => Waiter::Bell(value as u8 - 1),
        _ => Waiter::Feed,
    }
}
