//! Whether a waiting thread stands still, for reporting its wait to the broker and confirming that it lasts.

use super::limits::Had;
use super::stack;
use super::turn::TurnLock;

/// A record, at a moment, of the turns that a thread has and of those whose handlers it would run. It tells later
/// whether anything of other chains has run in them since.
///
/// A call that comes in and may run in one of these turns is served by the thread itself, or, if the thread only
/// makes a direct call there, by the plugin's dispatcher. The thread looks itself at what it could serve. As for the
/// other calls: those of its own chain do not matter, because the broker takes a turn as free for the chain that has
/// it. That leaves calls of re-entrant gates, which may run in a turn that is lent. If there are such gates, the
/// dispatcher must have looked at everything that has come in, and must sleep. A wait in the same circle has sent its
/// call before the broker was told of that wait, so the dispatcher has seen the call, and could not run it.
///
/// If a call of a re-entrant gate waits for a permit, it does not wait for the turn: the turn's thread runs it as
/// soon as there is a permit. The broker does not know which gates are re-entrant, so the thread does not count as
/// standing still then.
///
/// The limits of gates may also change; then what the thread keeps from others is more or less than the broker was
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
    /// How often a turn of another chain on top of it had begun or ended.
    guests: u32,
    /// The number of the thread that had pumped.
    pumped_by: u64,
    /// Whether this thread, and no other, serves what comes in.
    is_served_here: bool,
}

impl Standstill {
    /// The record for this thread, which is about to wait or has lent its turns. It serves what comes in for
    /// `served`.
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

    /// Whether nothing of other chains has run in these turns since, runs now, or can run as things are; and no limit
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
        // Read before the look whether the dispatcher rests.
        let (owners, turns) = (self.turn_lock.owners(), self.turn_lock.seen());
        let is_seen = self.is_served_here || !owners.has_reentrant() || owners.is_at_rest(turns);
        let guests = self.turn_lock.guests();
        // If another thread has begun to pump, it serves what this one would have.
        is_seen
            && !owners.has_queued_reentrant()
            && owners.pumped_by() == self.pumped_by
            && guests == self.guests
            && guests.is_multiple_of(2)
    }
}
