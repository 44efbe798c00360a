//! Counts the changes of what a plugin serves, so that threads which work on copies notice them.
//!
//! Private memory of one process. Gates, grants and links are changed under locks. A serving thread has copies
//! of them and the number from before it made the copies, and makes new ones when the number differs.
//!
//! **Sync point** GATES-CHANGED. Who changes something does so under its lock and counts afterwards; who
//! serves reads the number and then takes the lock. The number itself needs no order:
//!
//! * Who reads a number that was counted after a change finds the change under the lock. Were its own
//!   time under the lock before the change's, the lock would order its reading of the number before
//!   the counting, and it could not have read that number.
//! * Who learns of a change in another way (a peer acknowledged a grant, a call was made for it, the call
//!   was taken) has the counting before its own look, and reads that number or a later one.
//!
//! Where one thread serves several plugins, there is a number of them all besides: who changes something
//! counts in the plugin's own number first, and then in that. Who serves reads that one, and only where it
//! is another the plugins' own. No lock lies between the two numbers, so *this* pair has an order: counting
//! releases, and a fence after the reading acquires. Or a plugin's change would be taken for noted that was
//! not seen, and its calls be served from old copies.
//!
//! *Closing* is a bit of the same word, so that there is no moment in which a plugin is seen closing
//! and its number is as it was: a visitor compares the number alone ([`visits`](crate::visits)).

use crate::atomic::{AtomicU64, Ordering, fence};

/// The bit that says that the plugin closes.
const CLOSING: u64 = 1;
const ONE: u64 = 2;

/// The number of a plugin's changes.
#[derive(Debug)]
pub struct Version {
    word: AtomicU64,
}

impl Default for Version {
    fn default() -> Version {
        Version::new()
    }
}

impl Version {
    /// The number of a plugin that serves nothing yet; copies that were never made have 0.
    pub fn new() -> Version {
        Version {
            word: AtomicU64::new(ONE),
        }
    }

    /// Counts a change that was made under its lock. Afterwards the doorbell is rung.
    pub fn changed(&self) {
        // GATES-CHANGED, who changes.
        self.word.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Counts, in the number of several plugins, a change that was [counted](Version::changed) in that of
    /// one of them.
    pub fn one_changed(&self) {
        // GATES-CHANGED, of several plugins: release.
        self.word.fetch_add(ONE, Ordering::Release);
    }

    /// To be called between reading the number of several plugins and those of each.
    pub fn look_at_each(&self) {
        // GATES-CHANGED, of several plugins: acquire.
        fence(Ordering::Acquire);
    }

    /// Notes that the plugin closes, for good. True if this is the first call.
    pub fn close(&self) -> bool {
        // GATES-CHANGED, who closes.
        self.word.fetch_or(CLOSING, Ordering::Relaxed) & CLOSING == 0
    }

    /// The number now. A serving thread reads it before it makes its copies.
    #[inline]
    pub fn seen(&self) -> u64 {
        // GATES-CHANGED, who serves.
        self.word.load(Ordering::Relaxed)
    }

    /// The number, unless the plugin closes.
    pub fn seen_open(&self) -> Option<u64> {
        let seen = self.seen();
        (seen & CLOSING == 0).then_some(seen)
    }

    /// Whether the plugin closes.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.seen() & CLOSING != 0
    }
}
