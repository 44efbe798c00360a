//! The loops that serve calls: on a dispatcher's own thread, in a pool, and in a pump.

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
use crate::link::together;
use crate::serve::frame::Frame;
use crate::serve::round;
use crate::serve::scheduler::{Broken, Scheduler, Wanted};

/// The most calls that are served in one round, before the thread looks for anything else to do.
pub(super) const ROUND: u32 = 64;
/// How long a thread stays awake at most while answers wait for space, in nanoseconds.
pub(crate) const LATE_LOOK: u64 = 200_000;

/// The outcome of staying awake for a while.
pub(super) enum Seen {
    Nothing,
    /// Something else has to be looked at: links, grants or gates have changed, a caller of this process wants the
    /// turn, there are events, or an answer may be late.
    Change,
    /// A call has come. It is in the frame now.
    Call(Result<(), Broken>),
}

/// The outcome of waiting for something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// A call was served.
    Call,
    /// Something else has to be looked at.
    Change,
    /// The thread slept.
    Slept,
}

impl Dispatcher {
    /// How many threads of its own this dispatcher serves on.
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

    /// Takes back [`Dispatcher::enlist`]: the thread could not be started.
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
        // The last thread answers the calls that are left, without running them.
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish();
        }
    }

    fn run_alone(&self) {
        let (door, mut frame, mut crowd) = (self.door(), Frame::default(), Crowd::default());
        round::look(true);
        loop {
            // Closing changes the version, too. It is checked after `refresh`, which has taken note of the new
            // version.
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

    /// Runs the work that handlers have left for the end of the round. That work may call this very plugin on this
    /// thread, so the turn is released first.
    #[inline]
    fn end_round(&self) {
        if round::has_left() {
            self.turn_lock.release();
            round::end();
        }
    }

    /// Serves up to `ROUND` calls that are there. Returns how many there were. A pump gives its deadline as
    /// `until`; the round ends once it has passed, which is checked after every call.
    fn serve_round(&self, door: &Door<'_>, frame: &mut Frame, until: Option<u64>) -> u32 {
        self.settle_aloud(door);
        // Offered even if nothing was served since the last offer.
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

    /// Whether something else has to be looked at before the next call is served.
    #[inline]
    pub(super) fn is_round_over(&self, frame: &Frame, until: Option<u64>) -> bool {
        self.changes.version() != frame.version || until.is_some_and(|until| clock::now() >= until)
    }

    /// Serves the calls that are there. Waits for the first one, up to the deadline, and then goes on until there
    /// are no more calls or the deadline has passed. Returns how many calls were served.
    pub(crate) fn pump(self: &Arc<Dispatcher>, deadline: Instant) -> Result<usize> {
        if self.dispatch != Dispatch::Pump {
            let text = "this plugin serves its calls on threads of its own: build it with Dispatch::Pump to pump";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        if chain::current().is_some() {
            let text = "a handler cannot pump: other calls would run on top of it";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        // If another thread is pumping, waits until it has finished.
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
        // No other thread publishes late answers before the next pump.
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
                together::ring_before_wait();
                served += self.await_turn(door, frame, deadline);
            }
            all += served as usize;
            if clock::now() >= deadline || (served == 0 && all > 0) {
                break;
            }
            if served == 0 {
                together::ring_before_wait();
                if self.await_work(door, frame, Some(deadline)) == Work::Call {
                    all += 1;
                    if clock::now() >= deadline {
                        break;
                    }
                }
            }
        }
        all
    }

    /// Waits for something to do: first awake, then asleep. If a call comes while this is awake, it serves the
    /// call.
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

    /// Looks until there is something to do, or until it is time to sleep. The look that sees a call also takes it:
    /// if the plugin is awake, this is where its calls come in.
    ///
    /// Sleeps soon after many calls in a row whose answers were left for later. Callers have many calls under way then:
    /// these share the cost of the wake-up, and the thread that gives the answers needs the core.
    #[inline]
    pub(super) fn stay_awake(&self, door: &Door<'_>, frame: &mut Frame, until: u64) -> Seen {
        // Late answers have deadlines, which are only looked at before parking.
        let is_late = door.with(|scheduler| scheduler.late_deadline().is_some());
        let until = match is_late {
            true => until.min(clock::now() + LATE_LOOK),
            false => until,
        };
        let mut next = None;
        let is_over = || {
            // Another thread may have left a late answer. A thread that never sleeps would not see the bell that is
            // rung then.
            if self.is_called_for(frame)
                || !is_late && self.outstanding.may_be_late.load(Ordering::Relaxed)
            {
                return true;
            }
            next = door.with(|scheduler| scheduler.next(&mut frame.exchange.call, Wanted::Any));
            next.is_some() || self.has_feeds() && door.with(Scheduler::has_event)
        };
        let until = || match self.outstanding.are_many() && !self.backoff.never_sleeps() {
            true => 0,
            false => until,
        };
        let is_over = self.backoff.stay_awake_until(until, is_over);
        match next {
            Some(next) => Seen::Call(next),
            None if is_over => Seen::Change,
            None => Seen::Nothing,
        }
    }

    /// Whether everything has to be looked at again. Closing changes the version, too, but `refresh` may have taken
    /// note of that change already; so before sleeping the caller also asks whether the plugin closes.
    #[inline]
    fn has_work(&self, door: &Door<'_>, frame: &Frame) -> bool {
        self.is_called_for(frame) || door.with(|scheduler| scheduler.has_work())
    }

    #[inline]
    fn is_called_for(&self, frame: &Frame) -> bool {
        self.changes.version() != frame.version || self.turn_lock.is_wanted()
    }

    pub(super) fn park(&self, door: &Door<'_>, frame: &Frame, until: Option<u64>) {
        // While this thread sleeps, callers of this process must not have to ask it for the turn.
        self.turn_lock.release();
        let bells = self.bells();
        // Read before the second look. The turn lock is left out (`None`): a turn that is free, or becomes free,
        // gives no work to a thread that has nothing to run.
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
