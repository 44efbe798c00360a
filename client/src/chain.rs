//! Which chain of calls this thread is in, and for which plugins it runs handlers while it waits.
//!
//! A chain is a call together with the calls that are made while it is handled. A handler's own
//! calls carry its chain; whoever waits inside a chain serves what comes back in it, on its own
//! stack, so that A → B → A cannot deadlock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use callgate_layout::envelope::{Chain, MAX_DEPTH};

use crate::dispatch::Core;

/// Where a thread stands: the chain of the handler that it runs (with depth 0: none), and how many
/// it has on its stack. Two words, because every call writes them.
#[derive(Clone, Copy)]
struct Standing {
    chain: Chain,
    nesting: u8,
}

const OUTSIDE: Standing = Standing {
    chain: Chain { id: 0, depth: 0 },
    nesting: 0,
};

thread_local! {
    static STANDING: Cell<Standing> = const { Cell::new(OUTSIDE) };
    /// The plugins whose handlers this thread may run; `None` for most threads.
    static CORES: RefCell<Option<Rc<[Arc<Core>]>>> = const { RefCell::new(None) };
    static NUMBER: u64 = {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Process numbers have 22 bits.
        u64::from(std::process::id()) << 40 | NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// The chain of the handler that runs on this thread; `None` outside of handlers.
#[inline]
pub(crate) fn current() -> Option<Chain> {
    let chain = STANDING.get().chain;
    (chain.depth != 0).then_some(chain)
}

/// Makes a chain the thread's until the guard is dropped; `None` where that is too deep. The
/// depth that a peer claims is held against the limit, and so is what lies on this stack.
#[inline]
pub(crate) fn enter(chain: Chain) -> Option<Entered> {
    let before = STANDING.get();
    if chain.depth > MAX_DEPTH || before.nesting >= MAX_DEPTH {
        return None;
    }
    STANDING.set(Standing {
        chain,
        nesting: before.nesting + 1,
    });
    Some(Entered { before })
}

/// A handler is running; what was before comes back when this is dropped.
pub(crate) struct Entered {
    before: Standing,
}

impl Drop for Entered {
    fn drop(&mut self) {
        STANDING.set(self.before);
    }
}

/// The chain that a call begins inside this process: named after its thread, which is in one chain
/// at a time.
#[inline]
pub(crate) fn fresh() -> Chain {
    Chain::begun_here(thread_number())
}

/// A number that no other thread has.
#[inline]
pub(crate) fn thread_number() -> u64 {
    // Threads that are coming down have none of their own any more, and serve nobody.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// From now on this thread runs handlers of a plugin while it waits inside a chain.
pub(crate) fn serve_here(core: &Arc<Core>) {
    change(|cores| {
        if !cores.iter().any(|other| Arc::ptr_eq(other, core)) {
            cores.push(core.clone());
        }
    });
}

/// This thread runs no more handlers of a plugin.
pub(crate) fn leave_here(core: &Arc<Core>) {
    change(|cores| cores.retain(|other| !Arc::ptr_eq(other, core)));
}

fn change(how: impl FnOnce(&mut Vec<Arc<Core>>)) {
    let old = CORES.try_with(|cores| {
        let mut new = cores.borrow().as_deref().map_or(Vec::new(), <[_]>::to_vec);
        new.retain(|core| !core.served().is_closing());
        how(&mut new);
        cores.replace((!new.is_empty()).then(|| new.into()))
    });
    // Not while the list is borrowed: what a core holds may come back here when it is dropped.
    drop(old);
}

/// The plugins whose handlers this thread may run while it waits; `None` where there is none.
#[inline]
pub(crate) fn cores() -> Option<Rc<[Arc<Core>]>> {
    CORES.try_with(|cores| cores.borrow().clone()).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_a_stack() {
        assert_eq!(current(), None);
        let outer = Chain { id: 1, depth: 1 };
        let inner = Chain { id: 2, depth: 7 };
        let one = enter(outer);
        assert_eq!(current(), Some(outer));
        let two = enter(inner);
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
        assert!(enter(chain(MAX_DEPTH + 1)).is_none());
        let stack: Vec<_> = (0..MAX_DEPTH).map(|_| enter(chain(1))).collect();
        assert!(stack.iter().all(Option::is_some));
        assert!(enter(chain(1)).is_none());
        // Guards are dropped from the top of the stack down.
        stack.into_iter().rev().for_each(drop);
        assert!(enter(chain(1)).is_some());
    }
}
