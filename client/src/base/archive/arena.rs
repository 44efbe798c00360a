//! Scratch memory for writing values.

use std::cell::Cell;

use rkyv::ser::allocator::Arena;

/// Keep at most this much, in bytes: an archive of some megabytes of small pieces needs as much.
const KEEP: usize = 1 << 20;

thread_local! {
    static ARENA: Cell<Option<Arena>> = const { Cell::new(None) };
}

/// Lends this thread's arena. Unlike rkyv's own, this one also works on a thread that is about to end, whose
/// destructors make calls, and does not keep for good what one large value needed.
pub(super) fn with<T>(work: impl FnOnce(&mut Arena) -> T) -> T {
    let kept = ARENA.try_with(Cell::take).ok().flatten();
    let mut arena = kept.unwrap_or_default();
    let done = work(&mut arena);
    if arena.shrink() <= KEEP {
        // A thread that is about to end keeps nothing.
        let _ = ARENA.try_with(|kept| kept.set(Some(arena)));
    }
    done
}
