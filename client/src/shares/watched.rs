//! Watching a tag: the program is told by the plugin's dispatcher, in its turn, one event after the other.

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

/// Events that are kept for a program that is slow to be told; beyond them the oldest are lost.
const MOST_KEPT: usize = 64;

/// What a [watch](crate::Shares::watch) tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ShareEvent {
    /// There is a share, or a new version of it.
    Here {
        /// The newest version's number.
        version: u64,
    },
    /// There is none any more.
    Gone,
    /// The broker does not let this plugin watch the tag. The next broker is asked again.
    Refused {
        /// Why.
        why: Error,
    },
}

/// The program's function that is told.
pub(crate) type Told = Box<dyn Fn(ShareEvent) + Send + Sync>;

/// A tag that is watched.
pub(crate) struct Watched {
    pub(crate) tag: Arc<str>,
    /// Has the dispatcher tell.
    hearing: Hearing,
    about: Arc<Sending>,
    news: Arc<News>,
}

/// What is to be told.
struct News {
    told: Told,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How the tag stood when that was told last.
    seen: Option<VersionName>,
    /// The membership whose broker was asked, and the request.
    asked: Option<(u64, u32)>,
    events: VecDeque<ShareEvent>,
    /// A thread tells.
    is_told: bool,
}

impl News {
    /// Tells what there is to tell, unless another thread does so.
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

    /// The next event; this thread tells no more where there is none.
    fn next(&self) -> Option<ShareEvent> {
        let mut state = self.state.lock();
        let next = state.events.pop_front();
        state.is_told = next.is_some();
        next
    }
}

/// There are notices only.
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

    /// How the tag was seen last, where the broker of a membership is to be asked how it stands, by this request.
    pub(crate) fn ask(&self, of: u64, request: u32) -> Option<Option<VersionName>> {
        let mut state = self.news.state.lock();
        if state.asked.is_some_and(|(other, _)| other == of) {
            return None;
        }
        state.asked = Some((of, request));
        Some(state.seen)
    }

    /// The question is not to be answered any more.
    pub(crate) fn end_asking(&self) -> Option<(u64, u32)> {
        self.news.state.lock().asked.take()
    }

    /// The broker has said how the tag stands.
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

    /// Has the dispatcher tell something.
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

    /// Nothing is told any more. What has told is given back: it may still do so.
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
