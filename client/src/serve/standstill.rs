//! Whether a thread that waits stands still: for who tells the broker of its wait, and says again that it lasts.

use super::limits::Had;
use super::stack;
use super::turn::TurnLock;

/// The turns that a thread has, and those whose handlers it would run, at a moment: whether anything of other
/// chains has run in them since.
///
/// A call that comes in and may run in one of them is served by the thread itself, or, where that only visits,
/// by the plugin's dispatcher. The thread looks at what it could serve itself. Of the other calls those of
/// its own chain do not matter here, because the broker takes a turn as free for the chain that has it. What
/// is left are calls of re-entrant gates, which may run in a turn that is lent: where there are such gates, the
/// dispatcher must have looked at all that has come in, and must sleep. A wait in the same circle has sent its
/// call before the broker was told of it, so the dispatcher has seen that call, and could not run it.
///
/// Where such a call waits for a permit, it does not wait for the turn: the turn's thread runs it as soon as there is
/// a permit. The broker does not know which gates are re-entrant, so the thread does not stand then.
///
/// The limits of gates may change, too: then what the thread keeps from others is more or less than the broker was
/// told.
#[derive(Clone, Default)]
pub(crate) struct Standstill {
    turns: Vec<At>,
    permits: Had,
}

/// A turn at that moment.
#[derive(Clone, Copy)]
struct At {
    turn_lock: &'static TurnLock,
    /// How often another chain's turn on top of it had begun or ended.
    guests: u32,
    /// Which thread had pumped.
    pumped_by: u64,
    /// Whether this thread serves what comes in, and no other one.
    is_served_here: bool,
}

impl Standstill {
    /// Those of this thread, which is about to wait or has lent them; it serves what comes in for these.
    pub(crate) fn here(served: &[&'static TurnLock]) -> Standstill {
        let mut all: Vec<At> = Vec::new();
        let mut add = |turn_lock: &'static TurnLock| {
            let is_it = |other: &At| std::ptr::eq(other.turn_lock, turn_lock);
            if !all.iter().any(is_it) {
                all.push(At::now(turn_lock, served));
            }
        };
        stack::each_turn_lock(&mut add);
        served.iter().copied().for_each(add);
        Standstill {
            turns: all,
            permits: Had::here(),
        }
    }

    /// Whether nothing of other chains has run in them since, nor does now, nor can as things are; and no limit
    /// has changed.
    pub(crate) fn stands(&self) -> bool {
        self.permits.is_as_it_was() && self.turns.iter().all(At::stands)
    }
}

impl At {
    fn now(turn_lock: &'static TurnLock, served: &[&TurnLock]) -> At {
        let owners = turn_lock.owners();
        let is_here = served.iter().any(|other| std::ptr::eq(*other, turn_lock));
        At {
            turn_lock,
            guests: turn_lock.guests(),
            pumped_by: owners.pumped_by(),
            is_served_here: is_here && !owners.may_others_pump(),
        }
    }

    fn stands(&self) -> bool {
        // Before the look whether the dispatcher rests.
        let (owners, turns) = (self.turn_lock.owners(), self.turn_lock.seen());
        let is_seen = self.is_served_here || !owners.has_reentrant() || owners.is_at_rest(turns);
        let guests = self.turn_lock.guests();
        // Another thread that has begun to pump serves what this one would have.
        is_seen
            && !owners.has_queued_reentrant()
            && owners.pumped_by() == self.pumped_by
            && guests == self.guests
            && guests.is_multiple_of(2)
    }
}
