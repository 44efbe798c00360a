//! For threads that wait inside a chain: they serve its calls, publish late answers, and park.

use super::{Dispatch, Dispatcher, Door, Handled};
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
                || self.may_run_queued(scheduler, chain)
                || self.changes.version() != scheduler.version()
        })
    }

    /// Whether a call that was taken before waits for a chain to go on, and may run now.
    pub(super) fn may_run_queued(&self, scheduler: &Scheduler, chain: u64) -> bool {
        scheduler.has_queued(Wanted::Chain(chain))
            && (matches!(self.dispatch, Dispatch::Pool(_)) || self.turn_lock.could_begin(chain))
    }

    /// Whose turns are waited for beside the bell: calls of this chain may be queued for one.
    pub(crate) fn turn_lock(&self) -> &'static TurnLock {
        self.turn_lock.turn_lock()
    }

    /// Serves one call of a chain, if there is one, on this thread, which waits inside it. What
    /// else comes in is queued, and free threads are told.
    pub(crate) fn serve_chain(&self, chain: u64) -> bool {
        let Some(door) = self.try_door() else {
            return false;
        };
        let version = self.changes.version();
        let wanted = Wanted::Chain(chain);
        let mut frame = door.with(|scheduler| {
            // New links may bring calls of this chain.
            self.refresh_scheduler(scheduler, version);
            scheduler.frame()
        });
        let next = door.with(|scheduler| scheduler.next(&mut frame.exchange.call, wanted));
        if matches!(self.dispatch, Dispatch::Pool(_)) && self.parked.lock().threads > 0 {
            self.bells.ring();
        }
        let found = self.handle_next(&door, &mut frame, next) == Handled::Done;
        self.settle_late(&door);
        // Outside of a dispatcher's loop nobody keeps the token.
        self.turn_lock.release();
        self.keep_frame(&door, frame);
        found
    }

    /// Publishes late answers for which there is room now; when the next one's time is up. Nobody
    /// else does it while the only thread that serves waits inside a handler.
    pub(super) fn settle_late(&self, door: &Door<'_>) -> Option<u64> {
        door.with(|scheduler| {
            scheduler.late_deadline()?;
            scheduler.settle();
            scheduler.late_deadline()
        })
    }

    /// The same where nothing is locked or borrowed but the door: says besides which results found
    /// no room.
    pub(super) fn settle_aloud(&self, door: &Door<'_>) {
        if self.settle_late(door).is_some() {
            self.say(door.with(Scheduler::take_notes));
        }
    }

    /// Logs what was noted. Who listens may call, even this very plugin.
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
