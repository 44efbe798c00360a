//! Watching a tag: the plugin's dispatcher calls the program's function in its turn, with one event after the
//! other.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use callgate_layout::Encoding;
use callgate_layout::control::VersionName;
use parking_lot::Mutex;

use crate::base::error::{Error, Result};
use crate::base::thread::contain;
use crate::events::feed::Feed;
use crate::events::feeds::Feeds;
use crate::events::handlers::{ErasedEvents, EventContext, Sending};
use crate::events::notice::EventNotice;
use crate::events::registered::Registered;
use crate::events::subscription::Hearing;
use crate::link::peer::Caller;

/// How many events are kept for a function that is slow; beyond them the oldest are dropped.
const MOST_KEPT: usize = 64;

/// What a [watch](crate::Shares::watch) passes to its function.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ShareEvent {
    /// There is a share, or a new version of it.
    Here {
        /// The newest version's number.
        version: u64,
    },
    /// The share has ended.
    Gone,
    /// The broker does not let this plugin watch the tag. The next broker is asked again.
    Refused {
        /// The broker's reason.
        why: Error,
    },
}

/// The program's function.
pub(crate) type Told = Box<dyn Fn(ShareEvent) + Send + Sync>;

/// A tag that is watched.
pub(crate) struct Watched {
    pub(crate) tag: Arc<str>,
    /// The subscription through which the dispatcher runs the function.
    hearing: Hearing,
    about: Arc<Sending>,
    news: Arc<News>,
}

/// The function, and the events for it.
struct News {
    told: Told,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest version that the function was told of, or will be by an event that waits; `None` if it was told
    /// of none.
    seen: Option<VersionName>,
    /// The question to the broker that is not answered yet: the membership, and the request.
    asked: Option<(u64, u32)>,
    events: VecDeque<ShareEvent>,
    /// A thread is calling the function.
    is_told: bool,
    /// The watch has ended.
    is_over: bool,
}

impl News {
    /// Calls the function with all events that wait, unless another thread does so already.
    fn tell(&self) {
        if std::mem::replace(&mut self.state.lock().is_told, true) {
            return;
        }
        while let Some(event) = self.next() {
            contain("a function that is told of a share panicked", || {
                (self.told)(event);
            });
        }
    }

    /// Takes the next event. If there is none, notes that this thread stops calling.
    fn next(&self) -> Option<ShareEvent> {
        let mut state = self.state.lock();
        let next = state.events.pop_front();
        state.is_told = next.is_some();
        next
    }
}

/// The events' handler of a watch: there are only notices.
struct NoEvents;

impl ErasedEvents for NoEvents {
    fn run(&self, _: &EventContext<'_>, _: Encoding, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl Watched {
    pub(crate) fn new(
        tag: Arc<str>,
        (feeds, me): (&Arc<Feeds>, &Arc<Caller>),
        told: Told,
    ) -> Watched {
        let news = Arc::new(News {
            told,
            state: Mutex::default(),
        });
        let hearing = Hearing::dispatched(tag.clone(), false, feeds.clone());
        let on_notice = {
            let news = news.clone();
            Arc::new(move |_: &EventNotice| news.tell())
        };
        let registered = Registered::new(Box::new(NoEvents), Some(on_notice));
        hearing.handlers.add(&registered);
        let about = Arc::new(Sending {
            topic: tag.clone(),
            sender: me.clone(),
        });
        Watched {
            tag,
            hearing,
            about,
            news,
        }
    }

    /// Prepares a question to a membership's broker, under this request number: returns the version that was seen
    /// last. `None` if the watch has ended or that broker was asked already.
    pub(crate) fn ask(&self, of: u64, request: u32) -> Option<Option<VersionName>> {
        let mut state = self.news.state.lock();
        if state.is_over || state.asked.is_some_and(|(other, _)| other == of) {
            return None;
        }
        state.asked = Some((of, request));
        Some(state.seen)
    }

    /// Ends the watch. Returns the open question, so that the caller can take it back from the broker.
    pub(crate) fn end_asking(&self) -> Option<(u64, u32)> {
        let mut state = self.news.state.lock();
        state.is_over = true;
        state.asked.take()
    }

    /// Whether the watch has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.news.state.lock().is_over
    }

    /// Handles the broker's answer: the newest version, or `None` for no share. Queues an event if that has
    /// changed.
    pub(crate) fn stands(&self, now: Option<VersionName>) {
        let mut state = self.news.state.lock();
        state.asked = None;
        if std::mem::replace(&mut state.seen, now) == now {
            return;
        }
        drop(state);
        self.tell(match now {
            Some(name) => ShareEvent::Here {
                version: name.number,
            },
            None => ShareEvent::Gone,
        });
    }

    /// Queues an event, and has the dispatcher call the function.
    pub(crate) fn tell(&self, event: ShareEvent) {
        let mut state = self.news.state.lock();
        if state.events.len() == MOST_KEPT {
            state.events.pop_front();
        }
        state.events.push_back(event);
        let is_due = state.events.len() == 1;
        drop(state);
        if is_due {
            self.hearing
                .tell(&self.about, EventNotice::here(&self.about));
        }
    }

    /// Drops the events that wait. Returns the feeds on which the function may still be running.
    pub(crate) fn close(&self) -> Vec<Arc<Feed>> {
        self.news.state.lock().events.clear();
        self.hearing.close()
    }
}

/// All tags that a plugin watches.
#[derive(Default)]
pub(crate) struct Watches(Mutex<Vec<Weak<Watched>>>);

impl Watches {
    pub(crate) fn add(&self, watched: &Arc<Watched>) {
        let mut all = self.0.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(watched));
    }

    pub(crate) fn all(&self) -> Vec<Arc<Watched>> {
        let all = self.0.lock();
        all.iter().filter_map(Weak::upgrade).collect()
    }
}
