//! What a plugin has asked to hear, as its handlers and feeds have it.

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

/// Sources that were heard and are not any more, of which it is kept how far they were.
const MOST_HAD: usize = 64;

/// Sources that cannot be heard, of which the program is told when it takes: a peer may offer what is unfit again and again, while
/// the program does not.
const MOST_TOLD: usize = 64;

/// One subscription.
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
    /// By incarnation, the number of the next event of sources that are not heard any more.
    had: VecDeque<(u64, u64)>,
    /// Notices of sources that cannot be heard, which were left out.
    untold: Unsaid,
    is_closed: bool,
}

impl Known {
    /// Forgets feeds that are over, but not how far they were. They may have the last of a handler, and are given back to be
    /// dropped where nothing is locked.
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
    /// Ends the oldest feed that only tells of a source, if there are as many as may be; whether it did.
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
    /// One whose events the dispatcher runs handlers for.
    pub(crate) fn dispatched(name: Arc<str>, is_prefix: bool, feeds: Arc<Feeds>) -> Hearing {
        Hearing::new((name, is_prefix), Takes::Dispatcher(feeds))
    }

    /// One whose events a thread of the program's own takes.
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

    /// Whether a thread of the program's own takes from its feeds.
    pub(crate) fn is_pulled(&self) -> bool {
        matches!(self.takes, Takes::Puller(_))
    }

    /// A source has started in a ring of one broker.
    pub(crate) fn start(&self, (about, incarnation): (&Arc<Sending>, u64), place: Box<Place>) {
        self.bring(about, incarnation, Incoming::Place(place));
    }

    /// Tells of a source that is not heard. Where the program has not taken earlier ones, the oldest makes room.
    pub(crate) fn tell(&self, about: &Arc<Sending>, notice: EventNotice) {
        if matches!(notice, EventNotice::Unfit { .. }) {
            self.unfit.fetch_add(1, Ordering::Relaxed);
        }
        // A feed that ends when that was told.
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

    /// Its feeds that are not over.
    pub(crate) fn feeds(&self) -> Vec<Arc<Feed>> {
        let known = self.feeds.lock();
        let living = known.feeds.iter().filter(|feed| !feed.is_over());
        living.cloned().collect()
    }

    /// The same with those that are over and may still have a copy of the handlers.
    pub(crate) fn known_feeds(&self) -> Vec<Arc<Feed>> {
        self.feeds.lock().feeds.clone()
    }

    /// Ends all its feeds, for good; they are given back.
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

    /// Has whoever takes from its feeds forget those that are over.
    fn forget_over(&self) {
        match &self.takes {
            Takes::Dispatcher(feeds) => feeds.forget_over(),
            Takes::Puller(puller) => puller.forget_over(),
        }
    }

    /// Has whoever takes from its feeds look at them.
    pub(crate) fn wake(&self) {
        match &self.takes {
            Takes::Dispatcher(feeds) => feeds.wake(),
            Takes::Puller(puller) => puller.wake(),
        }
    }

    /// There is nothing more to come.
    pub(crate) fn end(&self, reason: &Error) {
        if let Takes::Puller(puller) = &self.takes {
            puller.end(reason);
        }
    }

    /// Counts a source whose events are converted.
    pub(crate) fn count_converted(&self) -> bool {
        self.converted.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// How many sources sent events that were converted.
    pub(crate) fn converted(&self) -> u64 {
        self.converted.load(Ordering::Relaxed)
    }

    /// How many sources were not heard because of their types.
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
