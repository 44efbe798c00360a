//! The part of a feed that belongs to the thread which takes from it: its places, and which event is next.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use callgate_layout::buffer::Buffer;
use callgate_layout::events::{Kind, Run, Taken};
use callgate_layout::{Code, Encoding};

use super::pace::Pace;
use super::place::Place;
use super::wakes::WaiterOf;
use super::{Feed, Incoming};
use crate::base::buffers::no_memory;
use crate::base::error::Error;
use crate::events::handlers::EventContext;
use crate::events::notice::{EventNotice, Unsaid};
use crate::events::registered::{Copy, Handlers};

/// How many events that were already taken elsewhere are skipped at a time.
const SKIPPED: u32 = 64;

/// How long the taking thread sleeps if there is no memory for an event.
const REST: Duration = Duration::from_millis(1);

pub(super) struct Taking {
    /// The places, the oldest first.
    places: Vec<Place>,
    /// The bytes that were copied from the first place's ring.
    run: Run,
    /// The number of the next event; `None` before the first place.
    next: Option<u64>,
    /// Notices that are delivered before the next event.
    notices: VecDeque<EventNotice>,
    handlers: Copy,
    /// Whether the notice was given that there is a sender.
    is_here: bool,
    /// Why the last place that has ended did so.
    why: Option<Error>,
    pace: Pace,
    /// Whether there was no memory for the next event.
    is_short: bool,
    short: Unsaid,
}

/// What [`Taking::next`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing; or other feeds have to be looked at first.
    Nothing,
    Event,
    Notice,
}

impl Taking {
    pub(super) fn new(next: Option<u64>) -> Taking {
        Taking {
            places: Vec::new(),
            run: Run::default(),
            next,
            notices: VecDeque::new(),
            handlers: Copy::none(),
            is_here: false,
            why: None,
            pace: Pace::default(),
            is_short: false,
            short: Unsaid::default(),
        }
    }

    /// Begins to take. The taking thread lends this memory until [`Taking::leave`].
    pub(super) fn begin(&mut self, memory: Buffer) {
        self.run = Run::new(memory);
    }

    /// As [`Taking::has_next`], for a thread that looks again and again: leaves out looks as [`Pace`] says.
    #[inline]
    pub(super) fn has_next_by_and_by(&mut self, feed: &Feed) -> bool {
        if !self.pace.looks() {
            return false;
        }
        let found = self.has_next(feed);
        if !found {
            self.pace.found_nothing();
        }
        found
    }

    /// Notes that events were taken. `is_more` says whether there are more.
    #[inline]
    pub(super) fn took(&mut self, is_more: bool) {
        self.pace.took(is_more);
    }

    /// Whether there was no memory for the next event. It is taken after a rest.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Whether there is something to take or to do.
    #[inline]
    pub(super) fn has_next(&mut self, feed: &Feed) -> bool {
        let is_told = feed.has_incoming.load(Ordering::Relaxed) || !self.notices.is_empty();
        if is_told || !self.run.is_over() {
            return true;
        }
        let is_replaced = self.is_replaced();
        match self.places.first() {
            Some(place) => is_replaced || place.has_news(),
            None => self.tell_end(feed),
        }
    }

    /// Called when there is no place left. First queues the notice that says why; the next time the feed is over.
    /// Does nothing if the control thread has left something. Returns whether there is a notice.
    #[cold]
    fn tell_end(&mut self, feed: &Feed) -> bool {
        let incoming = feed.incoming.lock();
        if !incoming.is_empty() {
            return false;
        }
        if let Some(why) = self.why.take() {
            self.notices.push_back(EventNotice::gone(&feed.about, why));
            return true;
        }
        if let Some(next) = self.next {
            let _ = feed.reached.set(next);
        }
        feed.end();
        false
    }

    /// Looks for the next event or notice.
    #[inline]
    pub(super) fn next(&mut self, feed: &Feed) -> Found {
        if feed.has_incoming.load(Ordering::Relaxed) {
            self.take_in(feed);
        }
        for _ in 0..SKIPPED {
            if !self.notices.is_empty() {
                return Found::Notice;
            }
            if self.is_replaced() {
                self.drop_first(feed);
                continue;
            }
            let Some(place) = self.places.first_mut() else {
                match self.tell_end(feed) {
                    true => continue,
                    false => return Found::Nothing,
                }
            };
            match place.take(&mut self.run) {
                Taken::Event if self.is_new(feed) => return Found::Event,
                Taken::Event => {}
                taken if self.no_event(feed, taken) => {}
                _ => return Found::Nothing,
            }
        }
        Found::Nothing
    }

    /// Whether an event that was taken is to be handled: it is new, and it is an event.
    #[inline]
    fn is_new(&mut self, feed: &Feed) -> bool {
        let Some(place) = self.places.first_mut() else {
            return false;
        };
        if self.next.is_some_and(|next| place.number() <= next) {
            // It was already taken from another ring.
            place.handled();
            return false;
        }
        let is_one = self.run.kind() == Kind::Event;
        if !is_one {
            self.unwritable(feed);
        }
        is_one
    }

    /// The context and encoding of the event that was found.
    #[inline]
    pub(super) fn event<'a>(&'a self, feed: &'a Feed) -> Option<(EventContext<'a>, Encoding)> {
        let place = self.places.first()?;
        let context = EventContext {
            about: &feed.about,
            number: place.number() - 1,
            time: self.run.time(),
            is_converted: place.is_converted(),
        };
        Some((context, place.encoding()))
    }

    /// The bytes of the event that was found.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.run.payload()
    }

    /// Takes the notice that was found.
    #[cold]
    pub(super) fn notice(&mut self) -> Option<EventNotice> {
        self.notices.pop_front()
    }

    /// Handles a look that has found no event. Returns whether to look again at once.
    #[cold]
    fn no_event(&mut self, feed: &Feed, taken: Taken) -> bool {
        match taken {
            Taken::Lost(_) => self.lost(feed),
            Taken::Nothing | Taken::Closed => {
                let is_closed = taken == Taken::Closed;
                let first = self.places.first();
                let Some(why) = first.and_then(|place| place.why_ended(is_closed)) else {
                    return false;
                };
                self.why = Some(why);
                self.drop_first(feed);
            }
            Taken::Broken(text) => self.broke(feed, text),
            Taken::OutOfMemory(why) => {
                self.is_short = true;
                if self.short.add(1).is_some() {
                    let why = no_memory(why, "event, which is taken later");
                    tracing::warn!(%why, topic = %feed.about.topic, "an event cannot be taken");
                }
                return false;
            }
            Taken::Again | Taken::Event => return false,
        }
        true
    }

    /// Counts events that were lost: overwritten in the oldest ring, or in front of the place that is now the
    /// oldest.
    fn lost(&mut self, feed: &Feed) {
        let Some(place) = self.places.first_mut() else {
            return;
        };
        let (number, next) = (place.number(), self.next.unwrap_or(0));
        if let Some(count) = number.checked_sub(next).filter(|count| *count > 0) {
            place.lost(count);
            feed.handlers.count_lost(count);
            self.next = Some(number);
            self.notices
                .push_back(EventNotice::lost(&feed.about, count));
        }
    }

    #[cold]
    fn unwritable(&mut self, feed: &Feed) {
        let text = String::from_utf8_lossy(self.run.payload()).into_owned();
        self.handled();
        let number = self.next.map_or(0, |next| next - 1);
        self.notices
            .push_back(EventNotice::unwritable(&feed.about, number, text));
    }

    /// Notes that the event that was found is handled.
    #[inline]
    pub(super) fn handled(&mut self) {
        if let Some(place) = self.places.first_mut() {
            place.handled();
            self.next = Some(place.number());
        }
    }

    /// Whether the first place can be dropped, because everything before the second place's start was taken.
    #[inline]
    fn is_replaced(&self) -> bool {
        self.places.len() > 1
            && self
                .places
                .get(1)
                .zip(self.next)
                .is_some_and(|(newer, next)| next >= newer.start())
    }

    /// Takes what the control thread has left.
    #[cold]
    fn take_in(&mut self, feed: &Feed) {
        feed.has_incoming.store(false, Ordering::Relaxed);
        let brought = std::mem::take(&mut *feed.incoming.lock());
        for what in brought {
            match what {
                Incoming::Notice(notice) => self.notices.push_back(notice),
                Incoming::Place(place) => self.add(feed, *place),
            }
        }
        let cut = feed.cut.load(Ordering::Acquire);
        while self
            .places
            .first()
            .is_some_and(|place| place.membership() <= cut)
        {
            let text = "its broker has ended, and it has not come to the next one in time";
            self.why
                .get_or_insert_with(|| Error::new(Code::BrokerGone, text));
            self.drop_first(feed);
        }
    }

    fn add(&mut self, feed: &Feed, place: Place) {
        self.next.get_or_insert(place.start());
        if !std::mem::replace(&mut self.is_here, true) {
            self.notices.push_back(EventNotice::here(&feed.about));
        }
        self.why = None;
        self.places.push(place);
        if self.places.len() == 1 {
            self.lost(feed);
        }
    }

    /// Drops the oldest place.
    #[cold]
    fn drop_first(&mut self, feed: &Feed) {
        if !self.places.is_empty() {
            self.places.remove(0);
        }
        self.run.clear();
        if !self.places.is_empty() {
            self.lost(feed);
        }
    }

    /// Ends the first place, because the source has written something invalid.
    #[cold]
    fn broke(&mut self, feed: &Feed, text: &str) {
        let name = feed.about.sender.name();
        let text = format!("plugin `{name}` has written {text}; its events are not heard any more");
        let why = Error::new(Code::Protocol, text).at_gate(feed.about.topic.clone());
        tracing::warn!(%why, "a feed is closed");
        self.why = Some(why);
        self.drop_first(feed);
    }

    /// Renews the copy of the handlers if it is out of date. Returns the old copy.
    #[inline]
    pub(super) fn refresh(&mut self, handlers: &Handlers) -> Option<Copy> {
        match handlers.are(&self.handlers) {
            true => None,
            false => Some(std::mem::replace(&mut self.handlers, handlers.copy())),
        }
    }

    pub(super) fn handlers(&self) -> &Copy {
        &self.handlers
    }

    pub(super) fn forget_handlers(&mut self) -> Copy {
        std::mem::replace(&mut self.handlers, Copy::none())
    }

    /// Stops taking: wakes senders that wait for room in the rings. Returns the memory.
    #[inline]
    pub(super) fn leave(&mut self) -> Buffer {
        self.places.iter_mut().for_each(Place::leave);
        if self.is_short {
            self.rest();
        }
        std::mem::take(&mut self.run).into_buffer()
    }

    /// Nothing tells when there is memory again, so the feed is tried again after a short sleep. No turn is held
    /// meanwhile.
    #[cold]
    fn rest(&mut self) {
        self.is_short = false;
        thread::sleep(REST);
    }

    /// Arms all sources.
    pub(super) fn arm(&self) {
        self.places.iter().for_each(Place::arm);
    }

    pub(super) fn announce(&self, waiter: &mut WaiterOf<'_>) -> bool {
        self.places.iter().all(|place| place.announce(waiter))
    }

    pub(super) fn take_back(&self) {
        self.places.iter().for_each(Place::take_back);
    }

    /// Returns the places, because the feed is over.
    pub(super) fn let_go(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.places)
    }
}
