//! What the handlers on a thread's stack hold: each a turn, and the call that it serves.

use std::cell::Cell;

use callgate_layout::envelope::MAX_DEPTH;

use super::turn::TurnLock;
use crate::base::chain;

/// What one handler on a thread's stack holds.
#[derive(Clone, Copy)]
struct Entry {
    /// The turn lock of its plugin; `None` in a pool, which has no turns.
    turn_lock: Option<&'static TurnLock>,
    /// The name of its call, if that came through a link and is answered when the handler returns; otherwise 0.
    call: u64,
}

const EMPTY: Entry = Entry {
    turn_lock: None,
    call: 0,
};

thread_local! {
    /// An entry for each handler on this thread's stack, and one for the handler that is about to run. Entries
    /// above these are left from earlier handlers.
    static ENTRIES: [Cell<Entry>; MAX_DEPTH as usize] =
        const { [const { Cell::new(EMPTY) }; MAX_DEPTH as usize] };
}

/// Notes what the handler holds that this thread runs next.
#[inline]
pub(crate) fn hold(turn_lock: Option<&'static TurnLock>, call: u64) {
    ENTRIES.with(|entries| {
        if let Some(entry) = entries.get(chain::nesting()) {
            entry.set(Entry { turn_lock, call });
        }
    });
}

/// Notes that the running handler's call is answered later: other threads may answer it while the handler runs.
pub(crate) fn leave_for_later() {
    ENTRIES.with(|entries| {
        let entry = chain::nesting()
            .checked_sub(1)
            .and_then(|at| entries.get(at));
        if let Some(entry) = entry {
            let call = 0;
            entry.set(Entry {
                call,
                ..entry.get()
            });
        }
    });
}

/// Whether the handler on this thread, in this chain, runs on top of another chain's wait: a wait of this thread,
/// or one of the chain whose turn was lent.
pub(crate) fn is_on_top(chain: u64) -> bool {
    chain::is_above_another(chain)
        || ENTRIES.with(|entries| {
            let entry = chain::nesting()
                .checked_sub(1)
                .and_then(|at| entries.get(at));
            let turn_lock = entry.and_then(|entry| entry.get().turn_lock);
            turn_lock.is_some_and(|turn_lock| !turn_lock.belongs_to(chain))
        })
}

/// Passes the turn lock of each handler on this thread's stack to `work`, from the bottom to the top.
#[inline]
pub(crate) fn each_turn_lock(work: impl FnMut(&'static TurnLock)) {
    ENTRIES.with(|entries| {
        let entries = entries.iter().take(chain::nesting()).map(Cell::get);
        entries.filter_map(|entry| entry.turn_lock).for_each(work);
    });
}

/// Whether a handler on this thread's stack has a turn of this lock.
pub(crate) fn has(turn_lock: &TurnLock) -> bool {
    let mut is_there = false;
    each_turn_lock(|other| is_there |= std::ptr::eq(other, turn_lock));
    is_there
}

/// The names of the calls that these handlers serve.
pub(crate) fn calls() -> Vec<u64> {
    ENTRIES.with(|entries| {
        let entries = entries.iter().take(chain::nesting()).map(Cell::get);
        let calls = entries.map(|entry| entry.call);
        calls.filter(|call| *call != 0).collect()
    })
}
