//! The chain of calls to which this thread belongs.
//!
//! A chain is a call together with the calls that are made while it is handled. A handler's own calls carry its
//! chain. A thread that waits inside a chain serves the calls that come back in it, on its own stack; so A → B → A
//! cannot deadlock.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use callgate_layout::envelope::{Chain, MAX_DEPTH};
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::{Code, clock};

use super::due::Due;
use super::error::Error;

/// The position of a thread: the chain of the handler that it runs (with depth 0: none), the deadline of the call
/// that this handler serves, and how many handlers are on its stack. In three words, because every call writes
/// them.
#[derive(Clone, Copy)]
struct Position {
    id: u64,
    due: Due,
    counts: Counts,
}

/// The depth of a chain, and how many handlers are on a thread's stack, in one word.
#[derive(Clone, Copy)]
struct Counts(u32);

impl Counts {
    #[inline]
    fn new(depth: u8, nesting: u8) -> Counts {
        Counts(u32::from(depth) << 8 | u32::from(nesting))
    }

    #[inline]
    fn depth(self) -> u8 {
        (self.0 >> 8) as u8
    }

    #[inline]
    fn nesting(self) -> u8 {
        self.0 as u8
    }
}

const OUTSIDE: Position = Position {
    id: 0,
    due: Due::NEVER,
    counts: Counts(0),
};

thread_local! {
    static POSITION: Cell<Position> = const { Cell::new(OUTSIDE) };
    /// While this thread runs something on top of a wait: the chain in which it waits; otherwise 0.
    static BELOW: Cell<u64> = const { Cell::new(0) };
    static NUMBER: u64 = {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
    /// The name of the next chain that this thread begins, and the process in which it was drawn.
    static NEXT_NAME: Cell<u64> = const { Cell::new(0) };
    static DRAWN_IN: Cell<Option<ForkMark>> = const { Cell::new(None) };
}

/// The chain of the handler that runs on this thread; `None` outside of handlers.
#[inline]
pub(crate) fn current() -> Option<Chain> {
    let Position { id, counts, .. } = POSITION.get();
    let depth = counts.depth();
    (depth != 0).then_some(Chain { id, depth })
}

/// Whether the thread runs no handler, so that no outer call's deadline limits its calls.
#[inline]
pub(crate) fn is_unlimited() -> bool {
    POSITION.get().due == Due::NEVER
}

/// The deadline of the call that the handler on this thread serves. If that was not computed yet, its time is
/// counted from now on.
pub(crate) fn end() -> u64 {
    let position = POSITION.get();
    let end = position.due.end();
    if position.due != Due::NEVER {
        let due = Due::at(end);
        POSITION.set(Position { due, ..position });
    }
    end
}

/// The error for a chain that is too long.
#[cold]
pub(crate) fn too_deep() -> Error {
    Error::new(
        Code::CallDepthExceeded,
        format!(
            "{MAX_DEPTH} calls are under way, each made while handling the one before; this one was not run"
        ),
    )
}

/// Makes a chain the thread's until the guard is dropped, for a handler whose call has this deadline. `None` if the
/// chain is too deep: the limit applies to the depth that a peer claims, and also to the handlers on this stack.
#[inline]
pub(crate) fn enter(chain: Chain, due: Due) -> Option<Entered> {
    let before = POSITION.get();
    let nesting = before.counts.nesting();
    if chain.depth > MAX_DEPTH || nesting >= MAX_DEPTH {
        return None;
    }
    POSITION.set(Position {
        id: chain.id,
        due,
        counts: Counts::new(chain.depth, nesting + 1),
    });
    Some(Entered { before })
}

/// A handler is running; dropping this restores the position before.
pub(crate) struct Entered {
    before: Position,
}

impl Entered {
    /// Continues with the next chain, which has the same depth.
    #[inline]
    pub(crate) fn begin_next(&self, id: u64) {
        let position = POSITION.get();
        POSITION.set(Position { id, ..position });
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        POSITION.set(self.before);
    }
}

/// Until the guard is dropped, this thread runs things on top of a wait in this chain.
pub(crate) fn wait_below(chain: u64) -> WaitBelow {
    WaitBelow(BELOW.replace(chain))
}

/// Whether this thread runs something on top of a wait in another chain than this.
pub(crate) fn is_above_another(chain: u64) -> bool {
    let below = BELOW.get();
    below != 0 && below != chain
}

/// Something runs on top of a wait; dropping this restores what was before.
pub(crate) struct WaitBelow(u64);

impl Drop for WaitBelow {
    fn drop(&mut self) {
        BELOW.set(self.0);
    }
}

/// How many handlers this thread has on its stack.
#[inline]
pub(crate) fn nesting() -> usize {
    usize::from(POSITION.get().counts.nesting())
}

/// The chain for a call that begins in this process. Each has a name of its own, because calls of an earlier chain,
/// which its caller gave up, may still be under way and must not be taken for parts of this one.
#[inline]
pub(crate) fn fresh() -> Chain {
    let name = match DRAWN_IN.get().is_some_and(ForkMark::is_here) {
        true => NEXT_NAME.get(),
        false => draw(),
    };
    NEXT_NAME.set(name.wrapping_add(1));
    Chain::begun_here(name)
}

/// The first name of a thread's chains: far from those of other threads and of other processes, even of forked
/// ones, which share keys and may share numbers.
#[cold]
fn draw() -> u64 {
    DRAWN_IN.set(Some(ForkMark::here()));
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u64(clock::now());
    hasher.finish()
}

/// A number that no other thread of this process has; never 0.
#[inline]
pub(crate) fn thread_number() -> u64 {
    // The value has no destructor, so it exists until the thread has ended.
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_a_stack() {
        assert_eq!(current(), None);
        let outer = Chain { id: 1, depth: 1 };
        let inner = Chain { id: 2, depth: 7 };
        let one = enter(outer, Due::NEVER);
        assert_eq!(current(), Some(outer));
        let two = enter(inner, Due::NEVER);
        assert_eq!(current(), Some(inner));
        drop(two);
        assert_eq!(current(), Some(outer));
        drop(one);
        assert_eq!(current(), None);
    }

    /// A peer that always claims depth 1 would let a stack overflow.
    #[test]
    fn neither_a_claimed_nor_a_real_depth_passes_the_limit() {
        let chain = |depth| Chain { id: 1, depth };
        assert!(enter(chain(MAX_DEPTH + 1), Due::NEVER).is_none());
        let stack: Vec<_> = (0..MAX_DEPTH)
            .map(|_| enter(chain(1), Due::NEVER))
            .collect();
        assert!(stack.iter().all(Option::is_some));
        assert!(enter(chain(1), Due::NEVER).is_none());
        // Guards are dropped from the top of the stack down.
        stack.into_iter().rev().for_each(drop);
        assert!(enter(chain(1), Due::NEVER).is_some());
    }
}
