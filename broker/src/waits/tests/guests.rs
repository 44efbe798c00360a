//! Guests: handlers of re-entrant gates that run on top of another chain's wait, in a turn that the waiting thread lends.

use super::model::{Item, World};
use super::setup::Setup;

impl World {
    /// Whether a handler of this chain would run on top of another chain's wait.
    pub(super) fn is_above_another(&self, setup: &Setup, chain: usize, plugin: usize) -> bool {
        let turns = World::turn_of(setup, plugin).map(|of| &self.turns[of]);
        let below = turns.and_then(|turns| turns.last());
        below.is_some_and(|(_, of)| *of != chain)
    }

    /// Whether a handler of another chain runs in a turn that is lent. Such a handler does not wait itself.
    pub(super) fn has_guest(&self, dispatcher: usize) -> bool {
        match &self.turns[dispatcher][..] {
            [.., (_, below), (_, top)] => below != top,
            _ => false,
        }
    }

    /// Whether a guest runs in a turn that this thread lends.
    pub(super) fn has_guests(&self, thread: usize) -> bool {
        let mut dispatchers = 0..self.turns.len();
        dispatchers.any(|of| self.has_guest(of) && self.has_some(thread, of))
    }

    /// Whether a thread that takes a call would run it as a guest, in a turn that another thread lends.
    pub(super) fn would_be_guest(
        &self,
        setup: &Setup,
        by: usize,
        call: usize,
        lender: usize,
    ) -> bool {
        let call = &self.calls[call];
        let turn = World::turn_of(setup, call.target.plugin);
        let is_foreign = self.may_serve(setup, by, call) == Some(true);
        is_foreign && turn.is_some_and(|of| self.has_some(lender, of))
    }

    /// When a guest comes and when it goes, the waits below it begin anew, as far as the broker knows.
    pub(super) fn count_guest(&mut self, setup: &Setup, dispatcher: usize) {
        let late = self.late_dispatchers(setup);
        for (holder, _) in self.turns[dispatcher].clone() {
            if let Some(Item::Waits(wait)) = self.stacks[holder].last_mut() {
                (wait.times, wait.later) = (wait.times + 1, late.clone());
            }
        }
    }

    /// Whether a thread has a turn, or has lent it.
    fn has_some(&self, thread: usize, dispatcher: usize) -> bool {
        let mut holders = self.turns[dispatcher].iter();
        holders.any(|(holder, _)| *holder == thread)
    }
}
