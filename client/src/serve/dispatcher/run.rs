//! The loops that serve: a dispatcher's thread, a pool's, and one round of a pump.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use callgate_layout::sys::futex;
use callgate_layout::{Code, clock};

use super::crowd::Crowd;
use super::{Dispatch, Dispatcher, Door, Handled, serving_thread};
use crate::base::chain;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;
use crate::serve::frame::Frame;
use crate::serve::round;
use crate::serve::scheduler::{Broken, Scheduler, Wanted};

/// Calls served before looking at the clock and at what else there is to do.
pub(super) const ROUND: u32 = 64;
/// Nanoseconds to stay awake at most while answers wait for room.
pub(crate) const LATE_LOOK: u64 = 200_000;

/// What came of looking for a while.
pub(super) enum Seen {
    Nothing,
    /// Links, grants or gates have changed, or a caller of this process wants its turn.
    Change,
    /// A call, which is in the frame now.
    Call(Result<(), Broken>),
}

/// What came of waiting for something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// A call was served.
    Call,
    /// Something else is to be looked at.
    Change,
    /// The thread slept.
    Slept,
}

impl Dispatcher {
    /// How many threads of its own this serves on.
    pub(crate) fn threads(&self) -> u32 {
        match self.dispatch {
            Dispatch::Thread => 1,
            Dispatch::Pool(threads) => threads.clamp(1, 64),
            Dispatch::Pump => 0,
        }
    }

    /// Counts a thread that is about to [run](Dispatcher::run).
    pub(crate) fn enlist(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that could not be started after all.
    pub(crate) fn dismiss(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// Serves on this thread until the plugin closes.
    pub(crate) fn run(self: Arc<Dispatcher>) {
        serving_thread::serve_here(&self);
        match self.dispatch {
            Dispatch::Pool(_) => self.run_in_pool(),
            _ => self.run_alone(),
        }
        // The last one turns away what is left.
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish();
        }
    }

    fn run_alone(&self) {
        let (door, mut frame, mut crowd) = (self.door(), Frame::default(), Crowd::default());
        round::look(true);
        loop {
            // The end changes the version, and is looked for after that was taken note of.
            self.refresh(&door, &mut frame);
            if self.changes.is_closing() {
                break;
            }
            let served = self.serve_round(&door, &mut frame, None);
            self.end_round();
            crowd.met(served);
            if self.turn_lock.holder().is_some() {
                round::look(false);
                self.await_turn(&door, &mut frame, u64::MAX);
                round::look(true);
                crowd.slept();
            } else if served == 0 {
                let work = self.await_work(&door, &mut frame, None);
                if work == Work::Slept {
                    crowd.slept();
                }
                if work != Work::Call {
                    futex_refused::log();
                }
            }
        }
        round::look(false);
        round::end();
        self.discard(frame);
    }

    /// Does what handlers have left for the end of their round. It may call this very plugin, on this thread.
    #[inline]
    fn end_round(&self) {
        if round::has_left() {
            self.turn_lock.release();
            round::end();
        }
    }

    /// Serves calls that are there, up to a number; returns how many there were. In a pump not past
    /// its deadline, which every call may bring about.
    fn serve_round(&self, door: &Door<'_>, frame: &mut Frame, until: Option<u64>) -> u32 {
        self.settle_aloud(door);
        // Also where there was nothing to serve since the last time.
        self.turn_lock.offer();
        if self.has_feeds() {
            return self.serve_round_with_feeds(door, frame, until);
        }
        let mut served = 0;
        // A call whose turn has not come ends the round, too.
        while served < ROUND && self.serve_one(door, frame, Wanted::Any) {
            served += 1;
            self.turn_lock.offer();
            if self.is_round_over(frame, until) {
                break;
            }
        }
        served
    }

    /// Whether something else is to be looked at before the next call.
    #[inline]
    pub(super) fn is_round_over(&self, frame: &Frame, until: Option<u64>) -> bool {
        self.changes.version() != frame.version || until.is_some_and(|until| clock::now() >= until)
    }

    /// Serves the calls that are there, waiting for the first until the deadline at most, and
    /// looks for more until there is none or it has passed.
    pub(crate) fn pump(self: &Arc<Dispatcher>, deadline: Instant) -> Result<usize> {
        if self.dispatch != Dispatch::Pump {
            let text = "this plugin serves its calls on threads of its own: build it with Dispatch::Pump to pump";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        if chain::current().is_some() {
            let text = "a handler cannot pump: other calls would run on top of it";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        // Another thread that pumps has its turn first.
        let Some(scheduler) = self.scheduler.try_lock_until(deadline) else {
            return Ok(0);
        };
        let door = Door::Held(scheduler);
        self.set_pump_thread();
        self.turn_lock.owners().note_pumping();
        serving_thread::serve_here(self);
        let left = deadline.saturating_duration_since(Instant::now());
        let deadline = clock::now().saturating_add(left.as_nanos() as u64);
        let mut frame = door.with(|scheduler| scheduler.frame());
        let served = self.pump_until(&door, &mut frame, deadline);
        self.turn_lock.release();
        self.keep_frame(&door, frame);
        // Nobody else does so before the next time.
        self.settle_late(&door);
        drop(door);
        if self.has_new_draining() {
            self.look_at_draining();
        }
        futex_refused::log();
        Ok(served)
    }

    fn pump_until(&self, door: &Door<'_>, frame: &mut Frame, deadline: u64) -> usize {
        let mut all = 0;
        loop {
            self.refresh(door, frame);
            if self.changes.is_closing() {
                break;
            }
            let mut served = self.serve_round(door, frame, Some(deadline));
            let is_late = served > 0 && clock::now() >= deadline;
            if !is_late && self.turn_lock.holder().is_some() {
                served += self.await_turn(door, frame, deadline);
            }
            all += served as usize;
            if clock::now() >= deadline || (served == 0 && all > 0) {
                break;
            }
            if served == 0 && self.await_work(door, frame, Some(deadline)) == Work::Call {
                all += 1;
                if clock::now() >= deadline {
                    break;
                }
            }
        }
        all
    }

    /// Waits for something to do, awake and then parked. A call is served by then.
    #[inline]
    fn await_work(&self, door: &Door<'_>, frame: &mut Frame, until: Option<u64>) -> Work {
        match self.stay_awake(door, frame, until.unwrap_or(u64::MAX)) {
            Seen::Call(next) => match self.handle_next(door, frame, Some(next)) {
                Handled::Done => Work::Call,
                _ => Work::Change,
            },
            Seen::Change => Work::Change,
            Seen::Nothing => {
                self.park(door, frame, until);
                Work::Slept
            }
        }
    }

    /// Looks until there is something to do. The very look that sees a call takes it: that is
    /// where a call of a plugin that is awake comes in.
    #[inline]
    pub(super) fn stay_awake(&self, door: &Door<'_>, frame: &mut Frame, until: u64) -> Seen {
        // Late answers have deadlines, which are looked at before parking.
        let is_late = door.with(|scheduler| scheduler.late_deadline().is_some());
        let until = match is_late {
            true => until.min(clock::now() + LATE_LOOK),
            false => until,
        };
        let mut next = None;
        let is_over = || {
            // Other threads may keep answers that come late, and who never sleeps hears no bell.
            if self.is_called_for(frame)
                || !is_late && self.outstanding.may_be_late.load(Ordering::Relaxed)
            {
                return true;
            }
            next = door.with(|scheduler| scheduler.next(&mut frame.exchange.call, Wanted::Any));
            next.is_some() || self.has_feeds() && door.with(Scheduler::has_event)
        };
        let is_over = self.backoff.stay_awake(until, is_over);
        match next {
            Some(next) => Seen::Call(next),
            None if is_over => Seen::Change,
            None => Seen::Nothing,
        }
    }

    /// Whether to look at everything again. The end changes the version, too; before sleeping it is
    /// asked for besides, because that change may have been taken note of already.
    #[inline]
    fn has_work(&self, door: &Door<'_>, frame: &Frame) -> bool {
        self.is_called_for(frame) || door.with(|scheduler| scheduler.has_work())
    }

    #[inline]
    fn is_called_for(&self, frame: &Frame) -> bool {
        self.changes.version() != frame.version || self.turn_lock.is_wanted()
    }

    pub(super) fn park(&self, door: &Door<'_>, frame: &Frame, until: Option<u64>) {
        // Who calls from this process need not wait for a thread that sleeps.
        self.turn_lock.release();
        let bells = self.bells();
        // Before the look. A turn that is free, or becomes so, is no news to a thread with nothing to run.
        let rest = self.rest(&bells, None);
        match bells.only() {
            Some(bell) => {
                let seen = bell.value();
                let wait = |deadline| {
                    let _at_rest = self.sleep_at(rest);
                    bell.wait(seen, deadline);
                };
                self.park_for(door, frame, (until, wait));
            }
            None => {
                let words: Vec<_> = bells.words().collect();
                let wait = |until: Option<u64>| {
                    let _at_rest = self.sleep_at(rest);
                    futex::wait_any_of(&words, until.unwrap_or(u64::MAX));
                };
                self.park_for(door, frame, (until, wait));
            }
        }
    }

    fn park_for(
        &self,
        door: &Door<'_>,
        frame: &Frame,
        (until, wait): (Option<u64>, impl FnOnce(Option<u64>)),
    ) {
        self.begin_park();
        // WORK-OR-PARKED: the second look, after the fence of `Status::park`.
        let late = door.with(|scheduler| {
            scheduler.settle();
            scheduler.late_deadline()
        });
        let has_event = self.has_feeds() && door.with(Scheduler::arm_feeds);
        if !has_event && !self.has_work(door, frame) && !self.changes.is_closing() {
            wait(until.into_iter().chain(late).min());
            door.with(Scheduler::miss_nothing);
        }
        self.end_park();
    }
}
