//! The turn lock: decides which chain may run a plugin's handlers.
//!
//! Handlers of one dispatcher never run at the same time, and calls between plugins of one process run on their
//! caller's thread. So there is a lock that belongs to a *chain*: calls that come back in the chain of a waiting
//! handler may run meanwhile, on whatever thread.
//!
//! A dispatcher's thread keeps the turn lock between two calls, so that a call costs it two plain stores and no
//! locked instruction. It releases the lock before it sleeps, and offers it when a caller in this process wants it.
//! The state and the steps of waiting are in [`Turns`]; this module adds how threads sleep.

use std::cell::RefCell;
use std::ops::Deref;

use callgate_layout::clock;
use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::turns::{Dispatching, Lent, Turns, Watch};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::base::backoff::Backoff;
use crate::base::cancel::CancelToken;
use crate::base::chain::thread_number;
use crate::serve::owners::Owners;

pub(crate) use callgate_layout::turns::Turn;

/// How often a lent turn is looked at before the thread sleeps: most come back very soon.
const LOOKS: u32 = 100;

/// A turn lock, with the plugins to which it belongs.
#[derive(Debug, Default)]
pub(crate) struct TurnLock {
    turns: CachePadded<Turns>,
    owners: Owners,
}

/// The turn lock of a dispatcher. Turn locks live for ever, so that a thread can note those that it has without
/// counting references. When a dispatcher is gone, a later one gets its turn lock.
#[derive(Debug)]
pub(crate) struct Lease(&'static TurnLock);

static SPARE: Mutex<Vec<&'static TurnLock>> = Mutex::new(Vec::new());

impl Lease {
    pub(crate) fn new() -> Lease {
        let spare = SPARE.lock().pop();
        Lease(spare.unwrap_or_else(|| Box::leak(Box::default())))
    }

    /// The turn lock itself, which outlives the dispatcher.
    #[inline]
    pub(crate) fn turn_lock(&self) -> &'static TurnLock {
        self.0
    }
}

impl Deref for Lease {
    type Target = TurnLock;

    #[inline]
    fn deref(&self) -> &TurnLock {
        self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.release();
        if self.0.holder().is_none() {
            SPARE.lock().push(self.0);
        }
    }
}

/// How a thread waits for a turn.
pub(crate) trait Waiter {
    /// Whether it gives up; asked after it has looked for its turn.
    fn is_over(&mut self) -> bool;

    /// Sleeps until the turn lock `has_changed`, or something else has for which this waits.
    fn sleep(&mut self, has_changed: impl Fn() -> bool, changes: Awaited<'_>);

    /// The wait for the turn has ended. Turns that the thread has lent meanwhile may not be back yet.
    fn end(&mut self) {}
}

/// How long a thread waits for a turn, and what else ends the wait.
#[derive(Clone, Copy)]
pub(crate) struct Patience<'a> {
    /// In nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
    pub(crate) cancel: Option<&'a CancelToken>,
    pub(crate) backoff: &'a Backoff,
}

impl Patience<'_> {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(CancelToken::is_cancelled)
    }
}

impl Waiter for Patience<'_> {
    fn is_over(&mut self) -> bool {
        self.is_cancelled() || clock::now() >= self.deadline
    }

    fn sleep(&mut self, has_changed: impl Fn() -> bool, changes: Awaited<'_>) {
        let is_over = || has_changed() || self.is_cancelled();
        if self.backoff.stay_awake(self.deadline, is_over) {
            return;
        }
        match self.cancel {
            Some(cancel) => futex::wait_any(&[changes, cancel.word()], self.deadline),
            None => futex::wait_any(&[changes], self.deadline),
        }
    }
}

impl TurnLock {
    /// Begins a chain's turn on the dispatcher's thread; `None` while another chain has the turn.
    #[inline]
    pub(crate) fn begin(&self, chain: u64) -> Option<Turn> {
        self.turns.begin(chain, thread_number)
    }

    /// Begins a chain's turn on any other thread; `None` while another chain has the turn.
    #[inline]
    pub(crate) fn visit(&self, chain: u64) -> Option<Turn> {
        self.turns.visit(chain, thread_number())
    }

    /// Begins a turn on top of one that another chain lends, for a call of a re-entrant gate; `None` if no turn is
    /// lent.
    #[cold]
    pub(crate) fn begin_on_top(&self) -> Option<Turn> {
        self.turns.visit_on_top(thread_number())
    }

    /// As [`TurnLock::visit`], waiting. If it `is_reentrant`, also for a turn [on top](TurnLock::begin_on_top) of
    /// another chain's.
    #[cold]
    pub(crate) fn visit_until(
        &self,
        (chain, is_reentrant): (u64, bool),
        waiter: &mut impl Waiter,
    ) -> Option<Turn> {
        let waiter = RefCell::new(waiter);
        let is_over = || waiter.borrow_mut().is_over();
        let sleep = |seen| {
            let has_changed = || self.turns.seen() != seen;
            waiter
                .borrow_mut()
                .sleep(has_changed, self.turns.word(seen));
        };
        let who = (chain, thread_number());
        let (turn, is_awaited) = match is_reentrant {
            true => self.turns.visit_on_top_until(who, is_over, sleep),
            false => self.turns.visit_until(who, is_over, sleep),
        };
        self.tell_if(is_awaited);
        waiter.into_inner().end();
        turn
    }

    /// Ends a turn.
    #[inline]
    pub(crate) fn end(&self, turn: Turn) {
        self.tell_if(self.turns.end(turn));
    }

    /// Whether a chain's turn could begin on the dispatcher's thread, which is the caller's.
    pub(crate) fn could_begin(&self, chain: u64) -> bool {
        self.turns.could_begin(chain, thread_number())
    }

    /// Lends the chain's turn, because this thread is about to wait; `None` if this thread does not have it.
    pub(crate) fn begin_lending(&self, chain: u64) -> Option<Lent> {
        let (lent, is_awaited) = self.turns.begin_lending(chain, thread_number())?;
        self.tell_if(is_awaited);
        Some(lent)
    }

    /// Lends a turn again that was taken back, because this thread has to wait for another turn lock.
    pub(crate) fn lend(&self, lent: Lent) {
        self.tell_if(self.turns.lend(lent));
    }

    /// Takes a lent turn back. Returns `false` while another thread has it.
    pub(crate) fn end_lending(&self, lent: Lent) -> bool {
        self.turns.end_lending(lent, thread_number())
    }

    /// Waits until a lent turn may have come back.
    #[cold]
    pub(crate) fn await_return(&self, lent: Lent) {
        let is_back = || {
            std::hint::spin_loop();
            self.turns.is_back(lent)
        };
        if (0..LOOKS).any(|_| is_back()) {
            return;
        }
        self.turns.await_return(lent, |seen| {
            futex::wait_any(&[self.turns.word(seen)], u64::MAX);
        });
    }

    /// Whether a caller in this process wants the turn lock.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.turns.is_wanted()
    }

    /// The plugins to which it belongs.
    pub(crate) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// How often a turn of another chain on top of a lent one has begun or ended; odd while there is one.
    pub(crate) fn guests(&self) -> u32 {
        self.turns.guests()
    }

    /// Whether a chain has the turn lock.
    pub(crate) fn belongs_to(&self, chain: u64) -> bool {
        self.turns.belongs_to(chain)
    }

    /// The dispatcher lets callers in this process go first, if there are any.
    #[inline]
    pub(crate) fn offer(&self) {
        self.tell_if(self.turns.offer());
    }

    /// The dispatcher releases the turn lock, because it has nothing to do.
    pub(crate) fn release(&self) {
        self.tell_if(self.turns.release());
    }

    /// The chain that has the turn lock; `None` if the dispatcher, on whose thread this is, could take it.
    pub(crate) fn holder(&self) -> Option<u64> {
        self.turns.holder(thread_number)
    }

    /// Waits on the dispatcher's thread while another chain has the turn lock.
    pub(crate) fn await_turn(&self, dispatcher: &mut impl Dispatching) {
        let is_awaited = self.turns.await_turn(thread_number(), dispatcher);
        self.tell_if(is_awaited);
    }

    /// The count of changes for which somebody has waited.
    pub(crate) fn seen(&self) -> u32 {
        self.turns.seen()
    }

    /// Counts this thread as one that sleeps until there is a change. The thread then looks once more.
    pub(crate) fn watch(&self) -> Watch<'_> {
        self.turns.watch()
    }

    #[inline]
    fn tell_if(&self, is_awaited: bool) {
        if is_awaited {
            self.tell();
        }
    }

    #[cold]
    fn tell(&self) {
        self.turns.wake_all();
    }
}

#[cfg(test)]
mod tests;
