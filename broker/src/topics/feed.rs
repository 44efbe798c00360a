//! Feeds: how far each is, and what waits for that.
//!
//! ```text
//! progress    entered by                            left by
//! Found       `Found` to the listener               its `Take`
//! Taken       `Take`                                 there is a ring of its encoding
//! Following   `Follow` to the listener              its `Following`
//! Mapped      `Following`                           the sender may be told of one more
//! Listening   `Listen` to the sender                its `Heard`
//! Started     `Start` to the listener               its end
//! ```
//!
//! Each can end at any step. A subscription waits for the feeds of the sources that were there when it was
//! made, a source for those of the subscriptions that were there when it was offered: until each has started or ended.

use callgate_layout::Encoding;

use super::{MOST_FEEDS, Topics};
use crate::id::PluginId;

/// How far a feed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    Found,
    Taken,
    Following,
    Mapped,
    Listening,
    Started,
}

/// One subscription on one source.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Who listens, and the subscription.
    pub(crate) plugin: PluginId,
    pub(crate) subscription: u32,
    pub(crate) source: u64,
    pub(crate) progress: Progress,
    /// The one encoding in which it can be taken; `None` where it cannot.
    pub(crate) offered: Option<Encoding>,
    /// The ring that it reads, from `Taken` on.
    pub(crate) ring: Option<u64>,
    /// From `Following` on.
    pub(crate) cursor: Option<u16>,
}

/// A feed that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) feed: Feed,
    pub(crate) settled: Settled,
}

/// Who waited for a feed that has started or ended, and waits for no other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The request of its subscription.
    pub(crate) subscribed: Option<u32>,
    /// Its source.
    pub(crate) offered: Option<u64>,
}

impl Topics {
    pub(crate) fn feed(&self, number: u64) -> Option<&Feed> {
        self.feeds.get(&number)
    }

    pub(crate) fn feed_mut(&mut self, number: u64) -> Option<&mut Feed> {
        self.feeds.get_mut(&number)
    }

    /// A subscription has a feed of a source now, under this number; `false` where its plugin has too many.
    pub(crate) fn begin_feed(
        &mut self,
        number: u64,
        (plugin, subscription): (PluginId, u32),
        source: u64,
        offered: Option<Encoding>,
    ) -> bool {
        let listener = self.listeners.entry(plugin).or_default();
        if listener.feeds >= MOST_FEEDS {
            return false;
        }
        listener.feeds += 1;
        let feed = Feed {
            plugin,
            subscription,
            source,
            progress: Progress::Found,
            offered,
            ring: None,
            cursor: None,
        };
        self.feeds.insert(number, feed);
        if let Some(subscription) = self.subscriptions.get_mut(&(plugin, subscription)) {
            subscription.feeds.insert(number);
        }
        if let Some(source) = self.sources.get_mut(&source) {
            source.feeds.insert(number);
        }
        true
    }

    /// A feed has started: who waits for that goes on.
    pub(crate) fn settle_feed(&mut self, number: u64) -> Settled {
        let mut settled = Settled::default();
        let Some(feed) = self.feeds.get(&number) else {
            return settled;
        };
        let subscription = (feed.plugin, feed.subscription);
        if let Some(subscription) = self.subscriptions.get_mut(&subscription) {
            subscription.awaited.remove(&number);
            settled.subscribed = subscription.take_request();
        }
        if let Some(source) = self.sources.get_mut(&feed.source) {
            source.awaited.remove(&number);
            settled.offered = source.is_to_be_told().then_some(feed.source);
        }
        settled
    }

    /// Forgets a feed; its cursor is free.
    pub(crate) fn end_feed(&mut self, number: u64) -> Option<Ended> {
        let settled = self.settle_feed(number);
        let feed = self.feeds.remove(&number)?;
        self.forget_listening(&feed);
        let subscription = (feed.plugin, feed.subscription);
        if let Some(subscription) = self.subscriptions.get_mut(&subscription) {
            subscription.feeds.remove(&number);
        }
        if let Some(source) = self.sources.get_mut(&feed.source) {
            source.feeds.remove(&number);
        }
        Some(Ended { feed, settled })
    }

    fn forget_listening(&mut self, feed: &Feed) {
        let Some(listener) = self.listeners.get_mut(&feed.plugin) else {
            return;
        };
        if let Some(cursor) = feed.cursor {
            listener.cursors.give_back(cursor);
        }
        listener.feeds -= 1;
    }
}
