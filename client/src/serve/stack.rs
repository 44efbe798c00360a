//! What the handlers on a thread's stack hold: the turn of each, and the call that it serves.

use std::cell::Cell;

use callgate_layout::envelope::MAX_DEPTH;

use super::turn::TurnLock;
use crate::base::chain;

/// What one handler on a thread's stack holds.
#[derive(Clone, Copy)]
struct Place {
    /// The turn lock of its plugin; `None` in a pool, which has no turns.
    turn_lock: Option<&'static TurnLock>,
    /// The name of its call, where that came through a link and is answered when the handler returns; or 0.
    call: u64,
}

const EMPTY: Place = Place {
    turn_lock: None,
    call: 0,
};

thread_local! {
    /// That of each handler on this thread's stack, and of the one that is about to run. What stands
    /// above is left from others.
    static PLACES: [Cell<Place>; MAX_DEPTH as usize] =
        const { [const { Cell::new(EMPTY) }; MAX_DEPTH as usize] };
}

/// Notes what the handler holds which this thread runs next.
#[inline]
pub(crate) fn hold(turn_lock: Option<&'static TurnLock>, call: u64) {
    PLACES.with(|places| {
        if let Some(place) = places.get(chain::nesting()) {
            place.set(Place { turn_lock, call });
        }
    });
}

/// The handler that this thread runs answers its call later: others may do that while it runs.
pub(crate) fn leave_for_later() {
    PLACES.with(|places| {
        let place = chain::nesting()
            .checked_sub(1)
            .and_then(|at| places.get(at));
        if let Some(place) = place {
            let call = 0;
            place.set(Place {
                call,
                ..place.get()
            });
        }
    });
}

/// Whether the handler on this thread, of this chain, runs on top of a wait of another one: of this thread, or
/// of one whose turn it has.
pub(crate) fn is_on_top(chain: u64) -> bool {
    chain::is_above_another(chain)
        || PLACES.with(|places| {
            let place = chain::nesting()
                .checked_sub(1)
                .and_then(|at| places.get(at));
            let turn_lock = place.and_then(|place| place.get().turn_lock);
            turn_lock.is_some_and(|turn_lock| !turn_lock.belongs_to(chain))
        })
}

/// Does something with the turn lock of each handler on this thread's stack, from the bottom to the top.
#[inline]
pub(crate) fn each_turn_lock(work: impl FnMut(&'static TurnLock)) {
    PLACES.with(|places| {
        let places = places.iter().take(chain::nesting()).map(Cell::get);
        places.filter_map(|place| place.turn_lock).for_each(work);
    });
}

/// The names of the calls that they serve.
pub(crate) fn calls() -> Vec<u64> {
    PLACES.with(|places| {
        let places = places.iter().take(chain::nesting()).map(Cell::get);
        let calls = places.map(|place| place.call);
        calls.filter(|call| *call != 0).collect()
    })
}

/// Turns at a moment: whether anything of other chains has run in them since.
///
/// A call that comes in and may run in one of them is served by the thread itself, or, where that only visits,
/// by the plugin's dispatcher. The thread looks at what it could serve itself. Of the other calls those of
/// its own chain do not matter here, because the broker takes a turn as free for the chain that has it. What
/// is left are calls of re-entrant gates, which may run in a turn that is lent: where there are such gates, the
/// dispatcher must have looked at all that has come in, and must sleep. A wait in the same circle has sent its
/// call before the broker was told of it, so the dispatcher has seen that call, and could not run it.
#[derive(Clone, Default)]
pub(crate) struct Standstill(Vec<Held>);

#[derive(Clone, Copy)]
struct Held {
    turn_lock: &'static TurnLock,
    /// How often another chain's turn on top of it had begun or ended.
    guests: u32,
    /// Whether this thread serves what comes in.
    is_served_here: bool,
}

impl Standstill {
    /// Those of this thread, which is about to wait or has lent them, and of which it serves some.
    pub(crate) fn here(serves: impl Fn(&TurnLock) -> bool) -> Standstill {
        let mut turns: Vec<Held> = Vec::new();
        each_turn_lock(|turn_lock| {
            let is_it = |other: &Held| std::ptr::eq(other.turn_lock, turn_lock);
            if !turns.iter().any(is_it) {
                turns.push(Held {
                    turn_lock,
                    guests: turn_lock.guests(),
                    is_served_here: serves(turn_lock),
                });
            }
        });
        Standstill(turns)
    }

    /// The turns, each once.
    pub(crate) fn turn_locks(&self) -> impl Iterator<Item = &'static TurnLock> {
        self.0.iter().map(|held| held.turn_lock)
    }

    /// Whether nothing of other chains has run in them since, nor does now, nor can as things are.
    pub(crate) fn stands(&self) -> bool {
        self.0.iter().all(|held| {
            let turn_lock = held.turn_lock;
            let (owners, turns) = (turn_lock.owners(), turn_lock.seen());
            let is_seen =
                held.is_served_here || !owners.has_reentrant() || owners.is_at_rest(turns);
            let guests = turn_lock.guests();
            is_seen && guests == held.guests && guests.is_multiple_of(2)
        })
    }
}
