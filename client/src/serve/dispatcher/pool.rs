//! The loop of a pool's threads: one looks for work, and when it has some, another one looks in its place.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::copies::Old;
use super::run::Seen;
use super::{Dispatcher, Door, Handled};
use crate::base::futex_refused;
use crate::events::feed::Feed;
use crate::serve::frame::Frame;
use crate::serve::scheduler::{Broken, Notes, Scheduler, Wanted};

/// What the one thread of a pool that looks for work has found.
enum Found {
    Call(Result<(), Broken>),
    /// A feed that has events.
    Feed(Arc<Feed>),
    /// Copies that are out of date, which have to be dropped.
    Old(Old),
    /// Errors to be logged.
    Notes(Notes),
    /// The plugin closes.
    End,
}

impl Dispatcher {
    /// The body of a pool's threads: one looks for calls, and when it has one, the next one looks in its place. A
    /// thread that waits for that has no frame, so it keeps no handler that is withdrawn meanwhile.
    pub(super) fn run_in_pool(&self) {
        let door = self.door();
        loop {
            let lead = match self.leader.try_lock() {
                Some(lead) => lead,
                None if self.serve_queued(&door) => continue,
                None => self.leader.lock(),
            };
            let mut frame = door.with(|scheduler| scheduler.frame());
            let found = self.find_work(&door, &mut frame);
            drop(lead);
            futex_refused::log();
            match found {
                Found::Call(next) => {
                    self.handle_as_busy(&door, &mut frame, Some(next));
                }
                Found::Feed(feed) => self.take_events_as_busy(&door, &feed),
                Found::Old(old) => self.discard_copies(old),
                Found::Notes(notes) => self.say(notes),
                Found::End => return self.discard(frame),
            }
            self.keep_frame(&door, frame);
        }
    }

    /// Whether a thread of a pool looks for calls, or is about to.
    pub(super) fn has_free_thread(&self) -> bool {
        self.busy.load(Ordering::Relaxed) < self.running.load(Ordering::Relaxed)
    }

    /// Wakes the threads of a pool that wait inside chains, if no other thread looks for calls any more and a call
    /// is queued that may run on top of such a wait.
    pub(super) fn tell_waiting(&self, door: &Door<'_>) {
        if self.turn_lock.owners().has_reentrant()
            && !self.has_free_thread()
            && door.with(|scheduler| scheduler.has_queued_reentrant())
        {
            self.wake_leader();
        }
    }

    /// Serves a call from the queues, if one can run now: it may have waited for the call that this thread has just
    /// ended, and the thread that looks for calls may sleep.
    fn serve_queued(&self, door: &Door<'_>) -> bool {
        if self.changes.is_closing() || !door.with(|scheduler| scheduler.has_queued(Wanted::Any)) {
            return false;
        }
        let mut frame = door.with(|scheduler| scheduler.frame());
        let call = &mut frame.exchange.call;
        let next = door.with(|scheduler| scheduler.next_queued(call, Wanted::Any));
        let handled = self.handle_as_busy(door, &mut frame, next);
        self.keep_frame(door, frame);
        handled != Handled::Nothing
    }

    /// Handles a call on a thread of a pool, which looks for no others meanwhile.
    fn handle_as_busy(
        &self,
        door: &Door<'_>,
        frame: &mut Frame,
        next: Option<Result<(), Broken>>,
    ) -> Handled {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.tell_waiting(door);
        let handled = self.handle_next(door, frame, next);
        self.busy.fetch_sub(1, Ordering::Relaxed);
        handled
    }

    /// Waits for work that can be done while another thread looks in this one's place.
    fn find_work(&self, door: &Door<'_>, frame: &mut Frame) -> Found {
        while !self.changes.is_closing() {
            if let Some(old) = self.take_copies(door, frame) {
                return Found::Old(old);
            }
            if self.settle_late(door).is_some()
                && let notes = door.with(Scheduler::take_notes)
                && !notes.is_empty()
            {
                return Found::Notes(notes);
            }
            if self.has_feeds()
                && let Some(feed) = door.with(Scheduler::due_feed)
            {
                return Found::Feed(feed);
            }
            let next = door.with(|scheduler| scheduler.next(&mut frame.exchange.call, Wanted::Any));
            if let Some(next) = next {
                return self.found_call(door, next);
            }
            if self.has_feeds()
                && let Some(feed) = door.with(Scheduler::next_feed)
            {
                return Found::Feed(feed);
            }
            match self.stay_awake(door, frame, u64::MAX) {
                Seen::Call(next) => return self.found_call(door, next),
                Seen::Change => {}
                Seen::Nothing => self.park(door, frame, None),
            }
        }
        Found::End
    }

    /// Counts and returns a call that was found. While it is handled, another thread looks for work.
    fn found_call(&self, door: &Door<'_>, next: Result<(), Broken>) -> Found {
        if self.has_feeds() {
            door.with(|scheduler| scheduler.count_before_feeds(1));
        }
        Found::Call(next)
    }
}
