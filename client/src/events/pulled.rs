//! Feeds from which a thread of the program's own takes, or a task.
//!
//! Who sleeps has each of its sources ring a bell of this plugin's, one for each doorbell page, or change a word of the feed; what
//! happens in this process (a feed more, the end of one, of the subscription) changes a private word.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;

use arc_swap::ArcSwapOption;
use callgate_layout::events::cursor::Waiter;
use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::{Code, clock, events};
use parking_lot::Mutex;

use super::feed::{Feed, Next, Sleeps, Wakes};
use crate::base::error::{Error, Result};
use crate::base::thread;
use crate::link::own_memory::{OwnMemory, SentBell};

/// The feeds of one subscription.
#[derive(Default)]
pub(crate) struct Puller {
    feeds: Mutex<Turns>,
    /// Changes with everything that is to be looked at.
    changes: AtomicU32,
    /// The task that waits, if one does.
    waker: Mutex<Option<Waker>>,
    /// Why there is nothing more to come.
    over: ArcSwapOption<Error>,
}

#[derive(Default)]
struct Turns {
    all: Vec<Arc<Feed>>,
    /// Whose turn it is.
    next: usize,
}

impl Puller {
    /// One feed more.
    pub(crate) fn add(&self, feed: &Arc<Feed>) {
        self.feeds.lock().all.push(feed.clone());
        self.wake();
    }

    /// Forgets those that are over. A feed wakes this, and so keeps it: nobody else would let go of both.
    pub(crate) fn forget_over(&self) {
        let over: Vec<_> = {
            let mut turns = self.feeds.lock();
            turns.all.extract_if(.., |feed| feed.is_over()).collect()
        };
        drop(over);
        self.wake();
    }

    /// There is nothing more to come.
    pub(crate) fn end(&self, reason: &Error) {
        self.over.store(Some(Arc::new(reason.clone())));
        self.wake();
    }

    /// Takes an event or a notice, from each feed in turn.
    pub(crate) fn take<T>(&self, mut with: impl FnMut(Next<'_>) -> T) -> Option<T> {
        let mut taken = None;
        self.take_some(1, |next| {
            taken = Some(with(next));
            ControlFlow::Break(())
        });
        taken
    }

    /// Takes up to so many events and notices of the feed whose turn it is, as long as it is to go on; returns how many.
    pub(crate) fn take_some(
        &self,
        most: usize,
        with: impl FnMut(Next<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.next_feed()
            .map_or(0, |feed| feed.take_some(most, with))
    }

    /// The feed whose turn it is, of those that have something.
    fn next_feed(&self) -> Option<Arc<Feed>> {
        let mut turns = self.feeds.lock();
        turns.all.retain(|feed| !feed.is_over());
        let len = turns.all.len();
        for ahead in 0..len {
            let at = (turns.next + ahead) % len;
            if turns.all[at].has_next() {
                turns.next = (at + 1) % len;
                return Some(turns.all[at].clone());
            }
        }
        None
    }

    /// The same, waiting until then, in nanoseconds of the monotonic clock.
    pub(crate) fn take_until<T>(
        &self,
        until: u64,
        mut with: impl FnMut(Next<'_>) -> T,
    ) -> Result<Option<T>> {
        loop {
            let seen = self.changes.load(Ordering::Acquire);
            if let Some(taken) = self.take(&mut with) {
                return Ok(Some(taken));
            }
            if let Some(over) = self.over() {
                return Err(over);
            }
            if clock::now() >= until {
                return Ok(None);
            }
            self.sleep(seen, until)?;
        }
    }

    /// Has a task woken when there may be something. The pages on whose bells for sent calls the sources ring: who
    /// sleeps on these [looks](Puller::look_for_task).
    pub(crate) fn await_by(&self, waker: &Waker) -> Result<Vec<Arc<SentBell>>> {
        *self.waker.lock() = Some(waker.clone());
        let mut pages: Vec<Arc<SentBell>> = Vec::new();
        let mut bell = |memory: &Arc<OwnMemory>, _| {
            if !pages.iter().any(|page| Arc::ptr_eq(page, &memory.sent)) {
                pages.push(memory.sent.clone());
            }
            Some(Waiter::Bell(memory.sent.take()?.number()))
        };
        let feeds = self.feeds.lock().all.clone();
        match feeds.iter().all(|feed| feed.announce(&mut bell)) {
            true => Ok(pages),
            false => Err(no_bell()),
        }
    }

    /// Wakes the task that waits, if there is something; else has the sources ring.
    pub(crate) fn look_for_task(&self) {
        if self.waker.lock().is_none() {
            return;
        }
        let feeds = self.feeds.lock().all.clone();
        events::about_to_sleep();
        feeds.iter().for_each(|feed| feed.arm());
        events::all_armed();
        if feeds.iter().any(|feed| feed.has_next()) {
            self.wake();
        }
    }

    /// Why there is nothing more to come, if that is so.
    pub(crate) fn over(&self) -> Option<Error> {
        self.over.load_full().map(|over| Error::clone(&over))
    }

    /// Sleeps until there may be something.
    fn sleep(&self, seen: u32, until: u64) -> Result<()> {
        let feeds = self.feeds.lock().all.clone();
        let mut sleeps = Sleeps::default();
        let mut waiter = |memory: &Arc<OwnMemory>, cursor| sleeps.of(memory, cursor);
        let is_announced = feeds.iter().all(|feed| feed.announce(&mut waiter));
        let outcome = match is_announced {
            true => Ok(()),
            false => Err(no_bell()),
        };
        events::about_to_sleep();
        feeds.iter().for_each(|feed| feed.arm());
        events::all_armed();
        if is_announced && !feeds.iter().any(|feed| feed.has_next()) {
            let words: Vec<_> = sleeps
                .words()
                .chain([Awaited::private(&self.changes, seen)])
                .collect();
            futex::wait_any_of(&words, until);
        }
        feeds.iter().for_each(|feed| feed.take_back());
        outcome
    }
}

#[cold]
fn no_bell() -> Error {
    let text = "all 63 bells of this plugin, or of its group, are taken by callers that sleep";
    Error::new(Code::Overloaded, text)
}

impl Wakes for Puller {
    fn wake(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        futex::wake_private(&self.changes);
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            thread::wake(waker);
        }
    }
}

impl std::fmt::Debug for Puller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Puller").finish_non_exhaustive()
    }
}
