//! Feeds from which the program takes itself, on a thread or in a task.
//!
//! Before a thread or task sleeps, it has each source wake it: by a bell of this plugin, one for each doorbell
//! page, or by the feed's word. What happens in this process (a new feed, the end of a feed or of the subscription)
//! changes a private word.

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
use crate::link::together;

/// The feeds of one subscription, for a program that takes itself.
#[derive(Default)]
pub(crate) struct Puller {
    feeds: Mutex<Turns>,
    /// Counts changes: new feeds, ends. Threads sleep on it.
    changes: AtomicU32,
    /// The waker of the task that waits, if there is one.
    waker: Mutex<Option<Waker>>,
    /// Why no more events will come; empty while they may.
    over: ArcSwapOption<Error>,
}

#[derive(Default)]
struct Turns {
    all: Vec<Arc<Feed>>,
    /// The index of the feed whose turn it is.
    next: usize,
}

impl Puller {
    /// Adds a feed.
    pub(crate) fn add(&self, feed: &Arc<Feed>) {
        self.feeds.lock().all.push(feed.clone());
        self.wake();
    }

    /// Removes the feeds that are over. A feed holds this to wake it, and this holds the feed, so this has to break
    /// the cycle.
    pub(crate) fn forget_over(&self) {
        let over: Vec<_> = {
            let mut turns = self.feeds.lock();
            turns.all.extract_if(.., |feed| feed.is_over()).collect()
        };
        drop(over);
        self.wake();
    }

    /// Notes that no more events will come.
    pub(crate) fn end(&self, reason: &Error) {
        self.over.store(Some(Arc::new(reason.clone())));
        self.wake();
    }

    /// Takes an event or a notice; the feeds have turns.
    pub(crate) fn take<T>(&self, mut with: impl FnMut(Next<'_>) -> T) -> Option<T> {
        let mut taken = None;
        self.take_some(1, |next| {
            taken = Some(with(next));
            ControlFlow::Break(())
        });
        taken
    }

    /// Takes up to `most` events and notices of the feed whose turn it is, until `with` breaks. Returns their
    /// number.
    pub(crate) fn take_some(
        &self,
        most: usize,
        with: impl FnMut(Next<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.next_feed()
            .map_or(0, |feed| feed.take_some(most, with))
    }

    /// The next feed, in the order of turns, that has something.
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

    /// As [`Puller::take`], waiting until a time in nanoseconds of the monotonic clock.
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

    /// Has a task woken when there may be something. Returns the pages on whose bells for sent calls the sources
    /// ring: the thread that sleeps on those bells calls [`Puller::look_for_task`].
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

    /// Wakes the task that waits, if there is something to take; otherwise arms its sources again.
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

    /// Why no more events will come; `None` while they may.
    pub(crate) fn over(&self) -> Option<Error> {
        self.over.load_full().map(|over| Error::clone(&over))
    }

    /// Sleeps until there may be something to take.
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
            together::ring_before_wait();
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
