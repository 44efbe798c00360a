//! What the broker of one membership has said about feeds.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use callgate_layout::view::ReadView;
use callgate_layout::{Code, Encoding};
use parking_lot::Mutex;

use super::Subscribed;
use crate::base::error::{Error, Result};
use crate::events::feed::{End, Place, PlaceParts, Sender};
use crate::events::handlers::Sending;
use crate::link::peer::Caller;

/// The feeds of one membership.
#[derive(Debug, Default)]
pub(crate) struct Followed(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Subscriptions that the broker was asked about and has not answered, by the numbers of the requests.
    asked: HashMap<u32, Weak<Subscribed>>,
    feeds: HashMap<u64, Told>,
    /// The ends of feeds that have ended, as long as something in their rings is still to be taken.
    ending: Vec<Weak<End>>,
    /// The sending plugins, by their numbers.
    senders: HashMap<u64, Weak<Sender>>,
}

/// A feed of which the broker has told, and how far it is set up.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) subscribed: Arc<Subscribed>,
    pub(crate) about: Arc<Sending>,
    /// The sending plugin's number.
    pub(crate) plugin: u64,
    pub(crate) incarnation: u64,
    pub(crate) following: Following,
}

/// How far a feed is set up.
#[derive(Debug)]
pub(crate) enum Following {
    /// Its types are being compared.
    Found,
    Taken {
        encoding: Encoding,
        is_converted: bool,
    },
    /// Its memory is mapped.
    Mapped(Box<PlaceParts>, ReadView),
    /// Its events are taken, until the end is dropped with the feed's place.
    Started(Weak<End>),
}

impl Followed {
    /// Notes that the broker is about to be told of a subscription.
    pub(crate) fn asking(&self, request: u32, subscribed: &Arc<Subscribed>) {
        let mut known = self.0.lock();
        known.asked.insert(request, Arc::downgrade(subscribed));
    }

    /// Whether a subscription's request has this number and is not answered yet.
    pub(crate) fn has_asked(&self, request: u32) -> bool {
        self.0.lock().asked.contains_key(&request)
    }

    /// Removes a request that was answered, or that could not be sent.
    pub(crate) fn answered(&self, request: u32) -> Option<Weak<Subscribed>> {
        self.0.lock().asked.remove(&request)
    }

    pub(crate) fn add(&self, feed: u64, told: Told) {
        self.0.lock().feeds.insert(feed, told);
    }

    /// Does something with a feed, if it is known.
    pub(crate) fn with<T>(&self, feed: u64, work: impl FnOnce(&mut Told) -> T) -> Option<T> {
        self.0.lock().feeds.get_mut(&feed).map(work)
    }

    pub(crate) fn remove(&self, feed: u64) -> Option<Told> {
        let mut known = self.0.lock();
        let told = known.feeds.remove(&feed)?;
        known.keep(&told);
        Some(told)
    }

    /// Whether events are still taken from any feed.
    pub(crate) fn is_heard(&self) -> bool {
        let known = self.0.lock();
        let is_taken = |end: &Weak<End>| end.strong_count() > 0;
        let mut all = known.feeds.values();
        let is_any = all.any(|told| match &told.following {
            Following::Started(end) => is_taken(end),
            _ => false,
        });
        is_any || known.ending.iter().any(is_taken)
    }

    /// Drops what was not set up, because the broker has gone.
    pub(crate) fn disconnected(&self) {
        let mut known = self.0.lock();
        known.asked.clear();
        let over = known
            .feeds
            .extract_if(|_, told| !matches!(told.following, Following::Started(_)));
        let over: Vec<_> = over.collect();
        drop(known);
        drop(over);
    }

    /// Removes the feeds of a subscription that has ended.
    pub(crate) fn forget(&self, subscribed: &Arc<Subscribed>) -> Vec<Told> {
        let is_its = |_: &u64, told: &mut Told| Arc::ptr_eq(&told.subscribed, subscribed);
        let mut known = self.0.lock();
        let over = known.feeds.extract_if(is_its);
        over.map(|(_, told)| told).collect()
    }

    /// Ends the feeds of a plugin whose process has ended.
    pub(crate) fn sender_ended(&self, plugin: u64, why: &Error) {
        let mut known = self.0.lock();
        let is_its = |_: &u64, told: &mut Told| told.plugin == plugin;
        let over: Vec<_> = known.feeds.extract_if(is_its).collect();
        over.iter().for_each(|(_, told)| known.keep(told));
        drop(known);
        over.into_iter().for_each(|(_, told)| told.end(why));
    }

    /// The mapped memory of a sending plugin. If it is not mapped yet, `map` does it.
    pub(crate) fn sender(
        &self,
        plugin: u64,
        map: impl FnOnce() -> Result<Arc<Sender>>,
    ) -> Result<Arc<Sender>> {
        let mut known = self.0.lock();
        if let Some(sender) = known.senders.get(&plugin).and_then(Weak::upgrade) {
            return Ok(sender);
        }
        let sender = map()?;
        known.senders.retain(|_, sender| sender.strong_count() > 0);
        known.senders.insert(plugin, Arc::downgrade(&sender));
        Ok(sender)
    }
}

impl Known {
    /// Keeps the end of a feed, so that the membership counts as used until everything was taken.
    fn keep(&mut self, told: &Told) {
        self.ending.retain(|end| end.strong_count() > 0);
        if let Following::Started(end) = &told.following {
            self.ending.push(end.clone());
        }
    }
}

impl Told {
    pub(crate) fn new(
        subscribed: Arc<Subscribed>,
        (topic, sender): (String, Caller),
        incarnation: u64,
    ) -> Told {
        Told {
            subscribed,
            plugin: sender.plugin(),
            about: Arc::new(Sending {
                topic: topic.into(),
                sender: Arc::new(sender),
            }),
            incarnation,
            following: Following::Found,
        }
    }

    /// Notes the end of the feed. The thread that takes from it finds the end once it has taken everything.
    pub(crate) fn end(&self, why: &Error) {
        if let Following::Started(end) = &self.following
            && let Some(end) = end.upgrade()
        {
            end.set(why);
            self.subscribed.hearing.wake();
        }
    }

    /// Starts to take events, because the source has noted this listener.
    pub(crate) fn start(&mut self, start: (u64, u64)) -> Result<()> {
        let before = std::mem::replace(&mut self.following, Following::Found);
        let Following::Mapped(parts, ring) = before else {
            self.following = before;
            return Ok(());
        };
        self.following = Following::Started(Arc::downgrade(&parts.end));
        let place = Place::new(*parts, ring, start).ok_or_else(|| {
            Error::new(
                Code::Protocol,
                "the broker sent a ring of an impossible size",
            )
        })?;
        let source = (&self.about, self.incarnation);
        self.subscribed.hearing.start(source, Box::new(place));
        Ok(())
    }
}
