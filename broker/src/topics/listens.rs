//! Listeners of which a source's plugin was told and that it has not noted yet. Their number is limited; further ones wait here. So a
//! plugin that subscribes again and again to a sender that stands still fills the sender's queue with no more than these.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::id::PluginId;

/// So many at once; each comes with three descriptors.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Listens {
    senders: HashMap<PluginId, Sender>,
}

/// Feeds on the sources of one plugin. Those of which it was told may have ended meanwhile.
#[derive(Debug, Default)]
struct Sender {
    /// Feeds of which the plugin was told, each with its source.
    told: BTreeMap<u64, u64>,
    waiting: BTreeSet<u64>,
}

impl Listens {
    /// Returns true if the plugin may be told of a feed now; otherwise the feed waits.
    pub(crate) fn may_tell(&mut self, sender: PluginId, feed: u64, source: u64) -> bool {
        let sender = self.senders.entry(sender).or_default();
        if sender.told.len() < MOST {
            sender.told.insert(feed, source);
            return true;
        }
        sender.waiting.insert(feed);
        false
    }

    /// The plugin has noted the listener of a feed.
    pub(crate) fn noted(&mut self, sender: PluginId, feed: u64) {
        self.change(sender, |sender| {
            sender.told.remove(&feed);
        });
    }

    /// Forgets a feed that waits.
    pub(crate) fn forget_feed(&mut self, sender: PluginId, feed: u64) {
        self.change(sender, |sender| {
            sender.waiting.remove(&feed);
        });
    }

    /// Forgets the feeds of a source that has ended: the plugin does not answer for them any more.
    pub(crate) fn forget_source(&mut self, sender: PluginId, source: u64) {
        self.change(sender, |sender| sender.told.retain(|_, of| *of != source));
    }

    /// Forgets a plugin that has ended.
    pub(crate) fn forget(&mut self, sender: PluginId) {
        self.senders.remove(&sender);
    }

    /// Takes out the feed of which the plugin may be told next.
    pub(crate) fn next(&mut self, sender: PluginId) -> Option<u64> {
        let sender = self.senders.get_mut(&sender)?;
        match sender.told.len() < MOST {
            true => sender.waiting.pop_first(),
            false => None,
        }
    }

    fn change(&mut self, plugin: PluginId, change: impl FnOnce(&mut Sender)) {
        if let Some(sender) = self.senders.get_mut(&plugin) {
            change(sender);
            if sender.told.is_empty() && sender.waiting.is_empty() {
                self.senders.remove(&plugin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PluginId = PluginId(1);

    #[test]
    fn so_many_are_told_and_others_wait_for_them() {
        let mut listens = Listens::default();
        let most = MOST as u64;
        assert!((0..most).all(|feed| listens.may_tell(A, feed, feed % 2)));
        assert!(!listens.may_tell(A, 100, 0) && !listens.may_tell(A, 101, 1));
        assert_eq!(listens.next(A), None);
        listens.forget_feed(A, 100);
        listens.noted(A, 500);
        assert_eq!(listens.next(A), None, "it was told of no such feed");
        listens.noted(A, 7);
        assert_eq!(listens.next(A), Some(101));
        assert_eq!(listens.next(A), None);
        assert!(listens.may_tell(A, 101, 1));
        assert!(!listens.may_tell(A, 102, 1));
        // The plugin may never answer for feeds of a source that has ended.
        listens.forget_source(A, 0);
        assert_eq!(listens.next(A), Some(102));
        listens.forget_source(A, 1);
        assert!(listens.senders.is_empty());
    }
}
