//! A subscription as its handlers and feeds see it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::feed::{Feed, Incoming, Place, Wakes};
use super::feeds::Feeds;
use super::handlers::Sending;
use super::notice::{EventNotice, Unsaid};
use super::pulled::Puller;
use super::registered::Handlers;
use crate::base::error::Error;
use crate::base::thread::discard;

/// For how many sources that are not heard any more the subscription remembers the next event.
const MOST_HAD: usize = 64;

/// How many notices of sources that cannot be heard are kept for a program that takes itself. A peer could
/// otherwise fill memory by offering topics that do not fit, while the program does not take.
const MOST_TOLD: usize = 64;

/// One subscription: its handlers and feeds.
pub(crate) struct Hearing {
    /// The topic, or the prefix of topics.
    pub(crate) name: Arc<str>,
    pub(crate) is_prefix: bool,
    pub(crate) handlers: Arc<Handlers>,
    takes: Takes,
    feeds: Mutex<Known>,
    converted: AtomicU64,
    unfit: AtomicU64,
}

/// Who takes from its feeds.
enum Takes {
    Dispatcher(Arc<Feeds>),
    Puller(Arc<Puller>),
}

#[derive(Default)]
struct Known {
    feeds: Vec<Arc<Feed>>,
    /// For sources that are not heard any more: incarnation, and the number of the next event.
    had: VecDeque<(u64, u64)>,
    /// Counts notices of sources that cannot be heard and were dropped.
    untold: Unsaid,
    is_closed: bool,
}

impl Known {
    /// Removes feeds that are over, and remembers how far each had come. The feeds may hold the last reference to a
    /// handler, so they are returned for the caller to drop without a lock.
    fn forget_over(&mut self) -> Vec<Arc<Feed>> {
        let over = self.feeds.extract_if(.., |feed| feed.is_over());
        let over: Vec<_> = over.collect();
        for feed in &over {
            if let (Some(of), Some(next)) = (feed.incarnation(), feed.reached()) {
                self.had.push_back((of, next));
            }
        }
        let too_many = self.had.len().saturating_sub(MOST_HAD);
        self.had.drain(..too_many);
        over
    }
}

impl Known {
    /// If there are as many feeds that only deliver a notice as are allowed, ends the oldest. Returns whether it
    /// did.
    fn make_room_to_tell(&self) -> bool {
        let tells = |feed: &&Arc<Feed>| feed.incarnation().is_none() && !feed.is_over();
        let mut telling = self.feeds.iter().filter(tells);
        let oldest = telling.next();
        match oldest.filter(|_| telling.count() + 1 >= MOST_TOLD) {
            Some(oldest) => {
                oldest.end();
                true
            }
            None => false,
        }
    }
}

impl Hearing {
    /// A subscription whose handlers are run by the dispatcher.
    pub(crate) fn dispatched(name: Arc<str>, is_prefix: bool, feeds: Arc<Feeds>) -> Hearing {
        Hearing::new((name, is_prefix), Takes::Dispatcher(feeds))
    }

    /// A subscription from which the program takes itself.
    pub(crate) fn pulled(name: Arc<str>, is_prefix: bool, puller: Arc<Puller>) -> Hearing {
        Hearing::new((name, is_prefix), Takes::Puller(puller))
    }

    fn new((name, is_prefix): (Arc<str>, bool), takes: Takes) -> Hearing {
        Hearing {
            name,
            is_prefix,
            handlers: Arc::new(Handlers::new()),
            takes,
            feeds: Mutex::default(),
            converted: AtomicU64::new(0),
            unfit: AtomicU64::new(0),
        }
    }

    /// Whether the program takes from it itself.
    pub(crate) fn is_pulled(&self) -> bool {
        matches!(self.takes, Takes::Puller(_))
    }

    /// Notes that a source has started in a ring of one broker.
    pub(crate) fn start(&self, (about, incarnation): (&Arc<Sending>, u64), place: Box<Place>) {
        self.bring(about, incarnation, Incoming::Place(place));
    }

    /// Delivers a notice of a source that is not heard. If the program has not taken earlier ones, the oldest is
    /// dropped.
    pub(crate) fn tell(&self, about: &Arc<Sending>, notice: EventNotice) {
        if matches!(notice, EventNotice::Unfit { .. }) {
            self.unfit.fetch_add(1, Ordering::Relaxed);
        }
        // The notice has a feed of its own, which ends when it was delivered.
        let feed = self.feed(about, (None, None));
        feed.bring(Incoming::Notice(notice));
        let mut known = self.feeds.lock();
        let is_left_out = known.make_room_to_tell();
        let over = self.add(&mut known, feed);
        let left_out = is_left_out.then(|| known.untold.add(1)).flatten();
        drop(known);
        if is_left_out {
            self.forget_over();
        }
        discard(over);
        if let Some(count) = left_out {
            let topic = &self.name;
            tracing::warn!(%topic, count, "nobody takes from a subscription: notices of senders that are not heard were left out");
        }
    }

    fn bring(&self, about: &Arc<Sending>, incarnation: u64, what: Incoming) {
        let mut known = self.feeds.lock();
        if known.is_closed {
            return;
        }
        let mut what = Some(what);
        let mut all = known.feeds.iter();
        if let Some(feed) =
            all.find(|feed| feed.incarnation() == Some(incarnation) && !feed.is_over())
        {
            what = what.and_then(|what| feed.bring(what));
        }
        let Some(what) = what else {
            return;
        };
        let mut over = known.forget_over();
        let had = known.had.iter().position(|(of, _)| *of == incarnation);
        let next = had
            .and_then(|at| known.had.remove(at))
            .map(|(_, next)| next);
        let feed = self.feed(about, (Some(incarnation), next));
        feed.bring(what);
        over.append(&mut self.add(&mut known, feed));
        drop(known);
        discard(over);
    }

    fn feed(
        &self,
        about: &Arc<Sending>,
        (incarnation, next): (Option<u64>, Option<u64>),
    ) -> Arc<Feed> {
        let wakes: Arc<dyn Wakes> = match &self.takes {
            Takes::Dispatcher(feeds) => feeds.clone(),
            Takes::Puller(puller) => puller.clone(),
        };
        let of = (about.clone(), incarnation);
        Arc::new(Feed::new(of, (self.handlers.clone(), wakes), next))
    }

    fn add(&self, known: &mut Known, feed: Arc<Feed>) -> Vec<Arc<Feed>> {
        if known.is_closed {
            return Vec::new();
        }
        let over = known.forget_over();
        match &self.takes {
            Takes::Dispatcher(feeds) => feeds.add(&feed),
            Takes::Puller(puller) => puller.add(&feed),
        }
        known.feeds.push(feed);
        over
    }

    /// Drops what it has of rings of memberships up to this number.
    pub(crate) fn cut(&self, membership: u64) {
        self.feeds().iter().for_each(|feed| feed.cut(membership));
    }

    /// The feeds that are not over.
    pub(crate) fn feeds(&self) -> Vec<Arc<Feed>> {
        let known = self.feeds.lock();
        let living = known.feeds.iter().filter(|feed| !feed.is_over());
        living.cloned().collect()
    }

    /// The feeds, with those that are over but may still have a copy of the handlers.
    pub(crate) fn known_feeds(&self) -> Vec<Arc<Feed>> {
        self.feeds.lock().feeds.clone()
    }

    /// Ends all feeds for good, and returns them.
    pub(crate) fn close(&self) -> Vec<Arc<Feed>> {
        let feeds = {
            let mut known = self.feeds.lock();
            known.is_closed = true;
            std::mem::take(&mut known.feeds)
        };
        for feed in &feeds {
            feed.end();
            feed.let_go();
        }
        self.forget_over();
        feeds
    }

    /// Has the dispatcher or puller remove feeds that are over.
    fn forget_over(&self) {
        match &self.takes {
            Takes::Dispatcher(feeds) => feeds.forget_over(),
            Takes::Puller(puller) => puller.forget_over(),
        }
    }

    /// Has the dispatcher or puller look at the feeds.
    pub(crate) fn wake(&self) {
        match &self.takes {
            Takes::Dispatcher(feeds) => feeds.wake(),
            Takes::Puller(puller) => puller.wake(),
        }
    }

    /// Notes that no more events will come.
    pub(crate) fn end(&self, reason: &Error) {
        if let Takes::Puller(puller) = &self.takes {
            puller.end(reason);
        }
    }

    /// Counts a source whose events are converted. Returns whether it is the first.
    pub(crate) fn count_converted(&self) -> bool {
        self.converted.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// How many sources have sent events that were converted.
    pub(crate) fn converted(&self) -> u64 {
        self.converted.load(Ordering::Relaxed)
    }

    /// How many sources were not heard because their types do not fit.
    pub(crate) fn unfit(&self) -> u64 {
        self.unfit.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Hearing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hearing")
            .field("name", &self.name)
            .field("is_prefix", &self.is_prefix)
            .finish_non_exhaustive()
    }
}
