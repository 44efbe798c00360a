//! For threads that wait inside a chain: they serve the chain's calls, publish late answers, and park.

use super::{Dispatch, Dispatcher, Door, Handled};
use crate::base::chain;
use crate::serve::round;
use crate::serve::scheduler::{Notes, Scheduler, Wanted};
use crate::serve::turn::TurnLock;

impl Dispatcher {
    /// Whether there may be a call of a chain, for a thread that waits inside it.
    #[inline]
    pub(crate) fn may_have(&self, chain: u64) -> bool {
        let Some(door) = self.try_door() else {
            return false;
        };
        door.with(|scheduler| {
            scheduler.has_call()
                || self.may_run_queued(scheduler, self.wanted_inside(chain))
                || self.changes.version() != scheduler.version()
        })
    }

    /// Whether a call in the queues that the thread may serve can run now.
    pub(super) fn may_run_queued(&self, scheduler: &Scheduler, wanted: Wanted) -> bool {
        scheduler.has_queued(wanted)
            && match (self.dispatch, wanted) {
                (Dispatch::Pool(_), _) | (_, Wanted::Any) => true,
                // A call of a re-entrant gate can borrow the turn whenever a call of the chain itself can.
                (_, Wanted::Chain(chain) | Wanted::Inside(chain)) => {
                    self.turn_lock.could_begin(chain)
                }
            }
    }

    /// Which calls a thread serves that waits inside a chain. In a pool, calls of re-entrant gates only if no other
    /// thread is free, because on a free thread their handlers may wait for calls of their own.
    fn wanted_inside(&self, chain: u64) -> Wanted {
        match self.is_pool() && self.has_free_thread() {
            true => Wanted::Chain(chain),
            false => Wanted::Inside(chain),
        }
    }

    /// The turn lock on which a thread sleeps besides the bells: calls of its chain may be queued for a turn.
    pub(crate) fn turn_lock(&self) -> &'static TurnLock {
        self.turn_lock.turn_lock()
    }

    /// Whether this thread, which [serves here](Dispatcher::is_mine), keeps others from being served while it
    /// waits: a dispatcher's thread inside a handler, or the only thread that ever pumps.
    pub(crate) fn is_kept_here(&self) -> bool {
        match self.dispatch {
            Dispatch::Thread | Dispatch::Pool(_) => chain::nesting() > 0,
            Dispatch::Pump => self.turn_lock.owners().pumped_by() == chain::thread_number(),
        }
    }

    /// Serves one call of a chain, if there is one, on this thread, which waits inside the chain. Calls `before`
    /// before the handler runs. Other calls that come in are queued, and free threads are woken.
    pub(crate) fn serve_chain(&self, chain: u64, before: impl FnOnce()) -> bool {
        let Some(door) = self.try_door() else {
            return false;
        };
        let version = self.changes.version();
        let mut frame = door.with(|scheduler| {
            // New links may have calls of this chain.
            self.refresh_scheduler(scheduler, version);
            scheduler.frame()
        });
        let wanted = self.wanted_inside(chain);
        let next = door.with(|scheduler| scheduler.next(&mut frame.exchange.call, wanted));
        if matches!(self.dispatch, Dispatch::Pool(_)) && self.parked.lock().threads > 0 {
            self.bells.ring();
        }
        if next.is_some() {
            before();
        }
        let below = chain::wait_below(chain);
        let found = self.handle_next(&door, &mut frame, next) == Handled::Done;
        drop(below);
        // The thread goes on waiting.
        round::end();
        self.settle_late(&door);
        // Only the dispatcher's loop keeps the turn between calls.
        self.turn_lock.release();
        self.keep_frame(&door, frame);
        found
    }

    /// Publishes late answers for which there is space now. Returns the deadline of the next one. No other thread
    /// does this while the only serving thread waits inside a handler.
    pub(super) fn settle_late(&self, door: &Door<'_>) -> Option<u64> {
        door.with(Scheduler::late_deadline)?;
        self.settle_now(door)
    }

    #[cold]
    fn settle_now(&self, door: &Door<'_>) -> Option<u64> {
        door.with(|scheduler| scheduler.settle());
        self.let_go_drained(door);
        door.with(Scheduler::late_deadline)
    }

    /// As [`Dispatcher::settle_late`], if nothing is locked or borrowed except the door: also logs which results
    /// had no space.
    pub(super) fn settle_aloud(&self, door: &Door<'_>) {
        if self.settle_late(door).is_some() {
            self.say(door.with(Scheduler::take_notes));
        }
    }

    /// Logs errors. The turn is released first, because a subscriber of the log may call anything, even this very
    /// plugin.
    pub(super) fn say(&self, notes: Notes) {
        if notes.is_empty() {
            return;
        }
        self.turn_lock.release();
        for (link, notes) in notes {
            for why in notes {
                tracing::warn!(peer = link.peer().name(), %why, "a result found no room");
            }
        }
    }

    /// As [`Dispatcher::settle_late`], for a thread that waits inside a chain.
    pub(crate) fn settle(&self) -> Option<u64> {
        self.settle_late(&self.try_door()?)
    }
}
