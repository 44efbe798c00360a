//! How a dispatcher waits while a direct call of another plugin of this process has the turn.

use callgate_layout::clock;
use callgate_layout::sys::futex;
use callgate_layout::turns::{Dispatching, Then, Watch};

use super::run::{LATE_LOOK, ROUND};
use super::{Dispatcher, Door};
use crate::serve::frame::Frame;
use crate::serve::scheduler::Wanted;

/// A dispatcher's thread that waits for its turn, and what it has served meanwhile.
struct Waiting<'a> {
    dispatcher: &'a Dispatcher,
    door: &'a Door<'a>,
    frame: &'a mut Frame,
    until: u64,
    served: u32,
}

impl Dispatcher {
    /// Waits while a direct call has the turn, and serves calls of its chain. Returns how many calls it served.
    #[cold]
    pub(super) fn await_turn(&self, door: &Door<'_>, frame: &mut Frame, until: u64) -> u32 {
        let mut waiting = Waiting {
            dispatcher: self,
            door,
            frame,
            until,
            served: 0,
        };
        self.turn_lock.await_turn(&mut waiting);
        waiting.served
    }
}

impl Dispatching for Waiting<'_> {
    fn has_work(&mut self) -> bool {
        let has_feeds = self.dispatcher.has_feeds();
        self.door
            .with(|scheduler| scheduler.has_work() || has_feeds && scheduler.has_any_event())
    }

    fn serve(&mut self, holder: u64, is_over: impl Fn() -> bool) -> Then {
        let dispatcher = self.dispatcher;
        dispatcher.refresh(self.door, self.frame);
        self.serve_holder(holder);
        if dispatcher.changes.is_closing() || clock::now() >= self.until {
            return Then::Stop;
        }
        let look_again = match dispatcher.settle_late(self.door) {
            Some(_) => self.until.min(clock::now() + LATE_LOOK),
            None => self.until,
        };
        let is_over = || is_over() || self.has_news(holder);
        match dispatcher.backoff.stay_awake(look_again, is_over) {
            true => Then::Look,
            false => Then::Sleep,
        }
    }

    fn sleep(&mut self, holder: u64, watch: &Watch<'_>) {
        let dispatcher = self.dispatcher;
        let bells = dispatcher.bells();
        // Before the look for calls.
        let rest = dispatcher.rest_inside(&bells);
        let mut words: Vec<_> = bells.words().collect();
        words.push(watch.word());
        dispatcher.begin_park();
        // Late answers are only looked at after the fence, too.
        let late = dispatcher.settle_late(self.door);
        if !self.has_news(holder) {
            let _at_rest = dispatcher.sleep_at(rest);
            futex::wait_any_of(&words, late.unwrap_or(self.until).min(self.until));
        }
        dispatcher.end_park();
        dispatcher.settle_aloud(self.door);
    }

    fn run(&mut self) {
        let dispatcher = self.dispatcher;
        if dispatcher.changes.is_closing() {
            return;
        }
        if dispatcher.serve_one(self.door, self.frame, Wanted::Any) {
            self.served += 1;
        } else if dispatcher.has_feeds() {
            let until = (self.until != u64::MAX).then_some(self.until);
            self.served += dispatcher.serve_feed(self.door, until);
        }
    }
}

impl Waiting<'_> {
    /// Serves up to `ROUND` calls of the chain that has the turn.
    fn serve_holder(&mut self, holder: u64) {
        let dispatcher = self.dispatcher;
        for _ in 0..ROUND {
            let is_open = dispatcher.turn_lock.holder() == Some(holder)
                && dispatcher.serve_one(self.door, self.frame, Wanted::Inside(holder));
            if !is_open {
                break;
            }
            self.served += 1;
            if clock::now() >= self.until {
                break;
            }
        }
    }

    /// Whether anything has come in since the last look at the rings, or a queued call can run now.
    fn has_news(&self, holder: u64) -> bool {
        let dispatcher = self.dispatcher;
        dispatcher.changes.version() != self.frame.version
            || dispatcher.changes.is_closing()
            || self.door.with(|scheduler| {
                scheduler.has_call() || dispatcher.may_run_queued(scheduler, Wanted::Inside(holder))
            })
    }
}
