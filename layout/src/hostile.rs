//! For tests that play a hostile peer, which writes words that Callgate's own code never writes.

use crate::atomic::Ordering;
use crate::view::WriteView;

/// Stores any word anywhere in the writer's own memory; `at` is a multiple of 8.
pub fn poke(view: &WriteView, at: usize, word: u64) {
    view.store64(at, word, Ordering::Release);
}
