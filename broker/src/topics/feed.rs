//! Feeds: how far each of them is, and the requests that wait for it.
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
//! Each can end at any step. A subscription is answered when the feeds of all sources that were there when it was made have started or
//! ended; a source is offered when those of all subscriptions that were there have.

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
    /// The plugin that listens, and its subscription.
    pub(crate) plugin: PluginId,
    pub(crate) subscription: u32,
    pub(crate) source: u64,
    pub(crate) progress: Progress,
    /// The one encoding in which the plugin can take the feed; `None` if it cannot.
    pub(crate) offered: Option<Encoding>,
    /// The ring that the feed reads; set from `Taken` on.
    pub(crate) ring: Option<u64>,
    /// The cursor on the listener's status page; set from `Following` on.
    pub(crate) cursor: Option<u16>,
}

/// A feed that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) feed: Feed,
    pub(crate) settled: Settled,
}

/// What a feed that has started or ended was the last to hold up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The request of the feed's subscription, which can be answered now.
    pub(crate) subscribed: Option<u32>,
    /// The feed's source, which can be offered now.
    pub(crate) offered: Option<u64>,
}

impl Topics {
    pub(crate) fn feed(&self, number: u64) -> Option<&Feed> {
        self.feeds.get(&number)
    }

    pub(crate) fn feed_mut(&mut self, number: u64) -> Option<&mut Feed> {
        self.feeds.get_mut(&number)
    }

    /// Begins a feed of a subscription on a source, under this number. Returns `false` if the plugin has too many feeds.
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

    /// Notes that a feed no longer holds up its subscription and its source, because it has started or is ending.
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

    /// Removes a feed; its cursor is free again.
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
