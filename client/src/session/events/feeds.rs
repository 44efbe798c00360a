//! The plugin's subscriptions: the records about them, and what the broker of one membership has said of feeds.

mod followed;
mod schemas;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::FeedToBroker;
use parking_lot::{Condvar, Mutex};

use crate::base::error::{Error, Result};
use crate::events::feed::Feed;
use crate::events::feeds::Feeds;
use crate::events::registered::Registered;
use crate::events::subscription::Hearing;
use crate::link::together;
use crate::session::numbers::{MembershipId, Numbers};
use crate::session::wanted::Wanted;

pub(crate) use followed::{Followed, Following, Told};
pub(crate) use schemas::{FeedSchemas, FeedStep};

/// A subscription, as brokers are told of it.
pub(crate) struct Subscribed {
    pub(crate) hearing: Hearing,
    /// The types that its handlers take.
    pub(crate) wanted: Wanted,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Its number, the same at every broker.
    number: u32,
    /// The membership whose broker was told of it last.
    said: MembershipId,
    standing: Standing,
    is_over: bool,
}

/// The broker's answer to a subscription.
#[derive(Clone, Default)]
enum Standing {
    /// No broker has answered yet.
    #[default]
    Asked,
    /// From here on every event is heard.
    Heard,
    Failed(Error),
}

impl Subscribed {
    pub(crate) fn new(hearing: Hearing, wanted: Wanted) -> Subscribed {
        Subscribed {
            hearing,
            wanted,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn is_like(&self, other: &Subscribed) -> bool {
        let (a, b) = (&self.hearing, &other.hearing);
        a.name == b.name
            && a.is_prefix == b.is_prefix
            && !a.is_pulled()
            && self.wanted.shape == other.wanted.shape
            && self.wanted.signature == other.wanted.signature
    }

    pub(crate) fn number(&self) -> u32 {
        self.state.lock().number
    }

    /// Whether the broker of a membership still has to be told of it.
    pub(crate) fn is_to_say(&self, to: MembershipId) -> bool {
        let state = self.state.lock();
        !state.is_over && state.said != to
    }

    /// Notes that that broker was told.
    pub(crate) fn said(&self, to: MembershipId) {
        self.state.lock().said = to;
    }

    /// The record that tells a broker of it.
    pub(crate) fn record(&self, request: u32) -> FeedToBroker {
        FeedToBroker::Subscribe {
            request,
            subscription: self.number(),
            topic: self.hearing.name.to_string(),
            prefix: self.hearing.is_prefix,
            shape: self.wanted.shape.clone(),
            pulled: self.hearing.is_pulled(),
        }
    }

    /// Notes a broker's answer. Returns whether a thread was waiting for the first answer.
    pub(crate) fn answered(&self, outcome: Result<()>) -> bool {
        let mut state = self.state.lock();
        let was_asked = matches!(state.standing, Standing::Asked);
        state.standing = match outcome {
            Ok(()) => Standing::Heard,
            Err(error) => Standing::Failed(error),
        };
        drop(state);
        self.changed.notify_all();
        was_asked
    }

    /// Fails it if no answer has come, because no broker will answer any more.
    pub(crate) fn fail_if_asked(&self, error: &Error) {
        let mut state = self.state.lock();
        if matches!(state.standing, Standing::Asked) {
            state.standing = Standing::Failed(error.clone());
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until it is heard or has failed; `None` if the time is up before.
    pub(crate) fn await_heard(&self, until: Instant) -> Option<Result<()>> {
        together::ring_before_wait();
        let mut state = self.state.lock();
        loop {
            match &state.standing {
                Standing::Heard => return Some(Ok(())),
                Standing::Failed(error) => return Some(Err(error.clone())),
                Standing::Asked => {}
            }
            if self.changed.wait_until(&mut state, until).timed_out() {
                return None;
            }
        }
    }

    /// Ends it. Returns the membership whose broker was told of it.
    pub(crate) fn end(&self) -> MembershipId {
        let mut state = self.state.lock();
        state.is_over = true;
        state.said
    }
}

impl std::fmt::Debug for Subscribed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.hearing.fmt(f)
    }
}

/// The subscriptions of a plugin. They outlive brokers: each new one is told of all of them.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    all: Mutex<HashMap<u32, Arc<Subscribed>>>,
    numbers: Numbers,
    /// The feeds whose handlers the dispatcher runs.
    pub(crate) feeds: Arc<Feeds>,
}

impl Subscriptions {
    pub(crate) fn new() -> Subscriptions {
        Subscriptions {
            all: Mutex::default(),
            numbers: Numbers::new(),
            feeds: Arc::default(),
        }
    }

    /// Registers a handler: in an existing subscription to the same name with the same types, or otherwise in
    /// `new`.
    pub(crate) fn register(
        &self,
        new: Subscribed,
        registered: &Arc<Registered>,
    ) -> Arc<Subscribed> {
        let mut all = self.all.lock();
        let known = all.values().find(|known| known.is_like(&new)).cloned();
        let subscribed = known.unwrap_or_else(|| self.insert(&mut all, new));
        subscribed.hearing.handlers.add(registered);
        subscribed
    }

    /// Adds a subscription from which the program takes events itself.
    pub(crate) fn add(&self, new: Subscribed) -> Arc<Subscribed> {
        self.insert(&mut self.all.lock(), new)
    }

    fn insert(&self, all: &mut HashMap<u32, Arc<Subscribed>>, new: Subscribed) -> Arc<Subscribed> {
        let subscribed = Arc::new(new);
        let number = self.numbers.insert(all, subscribed.clone());
        subscribed.state.lock().number = number;
        subscribed
    }

    pub(crate) fn get(&self, number: u32) -> Option<Arc<Subscribed>> {
        self.all.lock().get(&number).cloned()
    }

    /// Removes a handler. If the subscription has none left, also removes the subscription, and returns `true`.
    pub(crate) fn unregister(
        &self,
        subscribed: &Arc<Subscribed>,
        registered: &Arc<Registered>,
    ) -> bool {
        let mut all = self.all.lock();
        let is_over = subscribed.hearing.handlers.remove(registered);
        if is_over {
            all.remove(&subscribed.number());
        }
        is_over
    }

    pub(crate) fn remove(&self, subscribed: &Subscribed) {
        self.all.lock().remove(&subscribed.number());
    }

    pub(crate) fn all(&self) -> Vec<Arc<Subscribed>> {
        let mut all: Vec<_> = self.all.lock().values().cloned().collect();
        all.sort_by_key(|subscribed| subscribed.number());
        all
    }

    /// Drops the feeds' places in rings of memberships up to this one.
    pub(crate) fn cut(&self, membership: MembershipId) {
        for subscribed in self.all() {
            subscribed.hearing.cut(membership.number());
        }
    }

    /// Ends all subscriptions, because the plugin closes.
    pub(crate) fn close(&self, reason: &Error) {
        let all = std::mem::take(&mut *self.all.lock());
        for subscribed in all.values() {
            subscribed.end();
            subscribed.fail_if_asked(reason);
            // Handlers that are running go on: the caller has waited for those that it has to wait for.
            let _feeds: Vec<Arc<Feed>> = subscribed.hearing.close();
            subscribed.hearing.end(reason);
        }
        self.feeds.close();
    }
}
