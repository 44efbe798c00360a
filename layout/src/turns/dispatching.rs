//! The dispatcher's wait while another thread has the turn lock.

use super::Turns;
use super::waiting::Watch;

/// What a dispatcher does while it waits for its turn.
pub trait Dispatching {
    /// Whether there is something that it would run in its turn.
    fn has_work(&mut self) -> bool;

    /// Runs what the chain that has the turn lock lets in, then looks for a while whether anything has
    /// come in or `is_over`.
    fn serve(&mut self, holder: u64, is_over: impl Fn() -> bool) -> Then;

    /// Sleeps until there is a change, unless something has come in since. It may return for no reason.
    fn sleep(&mut self, holder: u64, watch: &Watch<'_>);

    /// Runs a call in its turn, if there is one and the plugin does not close: a reservation is used at
    /// once, or others wait for nothing.
    fn run(&mut self);
}

/// What a dispatcher that has served the turn lock's holder does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It stops waiting.
    Stop,
    /// It looks again.
    Look,
    /// It sleeps.
    Sleep,
}

impl Turns {
    /// Waits on the dispatcher's thread, whose number is `me`, while somebody else has the turn lock, and
    /// then has it run a call; `true` when somebody is to be told.
    #[must_use]
    pub fn await_turn(&self, me: u64, dispatcher: &mut impl Dispatching) -> bool {
        let first = (self.holder(|| me), self.seen());
        while let Some(holder) = self.holder(|| me) {
            if (Some(holder), self.seen()) != first && dispatcher.has_work() {
                // It has waited longer than a turn, and the next is its own.
                self.reserve(me);
            }
            let is_over = || self.holder(|| me) != Some(holder);
            match dispatcher.serve(holder, is_over) {
                Then::Stop => break,
                Then::Look => {}
                Then::Sleep => {
                    let watch = self.watch();
                    if !is_over() {
                        dispatcher.sleep(holder, &watch);
                    }
                }
            }
        }
        if self.holder(|| me).is_none() {
            dispatcher.run();
        }
        self.cancel_reservation(me) && self.has_waiters()
    }
}
