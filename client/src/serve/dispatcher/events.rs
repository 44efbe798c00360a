//! Running handlers of events: each event in the plugin's turn and in a chain of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callgate_layout::clock;
use callgate_layout::envelope::Chain;

use super::{Dispatcher, Door};
use crate::base::chain;
use crate::base::due::Due;
use crate::events::feed::{Feed, Runner};
use crate::serve::frame::Frame;
use crate::serve::scheduler::{FEED_BATCH, Scheduler, Wanted};
use crate::serve::stack;
use crate::serve::turn::{Turn, TurnLock};

use super::run::ROUND;

/// A thread that runs handlers of events.
struct Running<'a> {
    dispatcher: &'a Dispatcher,
    /// `None` in a pool, which has no turns.
    turn_lock: Option<&'static TurnLock>,
    /// When a pump has to return, in nanoseconds of the monotonic clock.
    until: Option<u64>,
}

impl Running<'_> {
    /// Whether others have waited long enough.
    #[inline]
    fn is_over(&self) -> bool {
        self.turn_lock.is_some_and(TurnLock::is_wanted)
            || self.dispatcher.changes.is_closing()
            || self.until.is_some_and(|until| clock::now() >= until)
    }
}

impl Runner for Running<'_> {
    #[inline]
    fn run(&mut self, mut work: impl FnMut(u64) -> bool) {
        stack::hold(self.turn_lock, 0);
        let chain = Chain {
            depth: 1,
            ..chain::fresh()
        };
        let Some(entered) = chain::enter(chain, Due::NEVER) else {
            return;
        };
        let mut id = chain.id;
        loop {
            let turn: Option<Turn> = match self.turn_lock.map(|turn_lock| turn_lock.begin(id)) {
                // Another chain has the turn.
                Some(None) => break,
                turn => turn.flatten(),
            };
            let goes_on = work(id);
            if let (Some(turn_lock), Some(turn)) = (self.turn_lock, turn) {
                turn_lock.end(turn);
            }
            if !goes_on || self.is_over() {
                break;
            }
            id = chain::fresh().id;
            entered.begin_next(id);
        }
    }
}

impl Dispatcher {
    /// Whether there are any feeds.
    #[inline]
    pub(super) fn has_feeds(&self) -> bool {
        self.has_feeds.load(Ordering::Relaxed)
    }

    /// As [`Dispatcher::serve_round`], with feeds: alternates between a batch of calls and a batch of events.
    #[inline(never)]
    pub(super) fn serve_round_with_feeds(
        &self,
        door: &Door<'_>,
        frame: &mut Frame,
        until: Option<u64>,
    ) -> u32 {
        let mut served = 0;
        while served < ROUND {
            let (calls, is_over) = self.serve_batch(door, frame, until);
            served += calls;
            if is_over {
                break;
            }
            let events = self.serve_feed(door, until);
            served += events;
            if calls + events == 0 || self.is_round_over(frame, until) {
                break;
            }
        }
        served
    }

    /// Serves calls until it is a feed's turn. Returns how many, and whether the round is over.
    fn serve_batch(&self, door: &Door<'_>, frame: &mut Frame, until: Option<u64>) -> (u32, bool) {
        let most = door.with(|scheduler| scheduler.calls_before_feeds());
        let (mut calls, mut is_over) = (0, false);
        while calls < most && !is_over && self.serve_one(door, frame, Wanted::Any) {
            calls += 1;
            self.turn_lock.offer();
            is_over = self.is_round_over(frame, until);
        }
        door.with(|scheduler| scheduler.count_before_feeds(calls));
        (calls, is_over)
    }

    /// Takes a batch of events of the feed whose turn it is. Returns how many there were.
    pub(super) fn serve_feed(&self, door: &Door<'_>, until: Option<u64>) -> u32 {
        let Some(feed) = door.with(Scheduler::next_feed) else {
            return 0;
        };
        let events = self.take_events(door, &feed, until);
        self.turn_lock.offer();
        events
    }

    fn take_events(&self, door: &Door<'_>, feed: &Arc<Feed>, until: Option<u64>) -> u32 {
        let turn_lock = (!self.is_pool()).then(|| self.turn_lock.turn_lock());
        let mut running = Running {
            dispatcher: self,
            turn_lock,
            until,
        };
        let taken = feed.take(FEED_BATCH, &mut running);
        if feed.is_over() {
            let lists = door.with(|scheduler| scheduler.feed_lists());
            lists.iter().for_each(|list| list.forget_over());
        } else if taken.is_more && self.is_pool() {
            // The thread that looks for work may have found this feed taken, and gone to sleep.
            self.wake_leader();
        }
        taken.events
    }

    /// Takes events on a thread of a pool, which looks for nothing else meanwhile.
    pub(super) fn take_events_as_busy(&self, door: &Door<'_>, feed: &Arc<Feed>) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.tell_waiting(door);
        self.take_events(door, feed, None);
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
