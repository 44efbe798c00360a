//! What handlers leave to be done at the end of the round that they are run in.
//!
//! A dispatcher's thread runs the calls that are at hand in rounds, and looks for more in between: awake, and then asleep. What is left
//! is done before it looks. Elsewhere nobody would do it soon, so there it is done at once: on other threads, in pools, and in a handler
//! that runs on top of another one, which waits.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::base::chain;
use crate::base::thread::{contain, discard};

/// What is to be done.
pub(crate) type Work = Arc<dyn Fn() + Send + Sync>;

thread_local! {
    /// Whether this thread looks after each round what is left.
    static IS_LOOKING: Cell<bool> = const { Cell::new(false) };
    static HAS_LEFT: Cell<bool> = const { Cell::new(false) };
    static LEFT: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
}

/// This thread looks after each round from now on, or no more.
pub(super) fn look(is_looking: bool) {
    IS_LOOKING.set(is_looking);
}

/// Has something done at the end of the round, or at once.
pub(crate) fn at_end(work: &Work) {
    if !IS_LOOKING.get() || chain::nesting() != 1 {
        return work();
    }
    LEFT.with_borrow_mut(|left| left.push(work.clone()));
    HAS_LEFT.set(true);
}

/// Whether there is anything left to be done.
#[inline]
pub(crate) fn has_left() -> bool {
    HAS_LEFT.get()
}

/// Does what is left: the round is over, or its handler is about to wait.
#[cold]
pub(crate) fn end() {
    if !HAS_LEFT.replace(false) {
        return;
    }
    // Done while nothing is borrowed.
    let mut left = LEFT.take();
    for work in left.drain(..) {
        let text = "what was left for the end of a round panicked";
        contain(text, || work());
        discard(work);
    }
    LEFT.with_borrow_mut(|now| {
        // It may have left something itself. Otherwise the memory is kept.
        if now.is_empty() {
            *now = left;
        }
    });
}
