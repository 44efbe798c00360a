//! Work that handlers leave for the end of the round in which they run.
//!
//! A dispatcher's thread runs the calls that are there in rounds. Between rounds it looks for more calls, first
//! awake and then asleep. The work that was left is done before it looks. On other threads, in pools, in a handler
//! that runs inside another handler's wait, and while such work is done, no round would end soon, so there the work
//! is done at once.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::base::chain;
use crate::base::thread::{contain, discard};

/// Work for the end of a round.
pub(crate) type Work = Arc<dyn Fn() + Send + Sync>;

thread_local! {
    /// Whether this thread does the work that was left, at the end of each round.
    static IS_LOOKING: Cell<bool> = const { Cell::new(false) };
    static HAS_LEFT: Cell<bool> = const { Cell::new(false) };
    static LEFT: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
}

/// Sets whether this thread does the work that was left, at the end of each round.
pub(super) fn look(is_looking: bool) {
    IS_LOOKING.set(is_looking);
}

/// Does the work at the end of the current round, or at once.
pub(crate) fn at_end(work: &Work) {
    if !IS_LOOKING.get() || chain::nesting() != 1 {
        return work();
    }
    LEFT.with_borrow_mut(|left| left.push(work.clone()));
    HAS_LEFT.set(true);
}

/// Whether any work is left on this thread.
#[inline]
pub(crate) fn has_left() -> bool {
    HAS_LEFT.get()
}

/// Does the work that is left: the round has ended, or the handler is about to wait. What this work leaves in turn
/// is done at once, because nobody may look for it before the thread sleeps.
#[cold]
pub(crate) fn end() {
    if !HAS_LEFT.replace(false) {
        return;
    }
    let was_looking = IS_LOOKING.replace(false);
    // Taken out first, because the work may be code that gets here again.
    let mut left = LEFT.take();
    for work in left.drain(..) {
        let text = "what was left for the end of a round panicked";
        contain(text, || work());
        discard(work);
    }
    // The memory of the list is used again.
    LEFT.set(left);
    IS_LOOKING.set(was_looking);
}
