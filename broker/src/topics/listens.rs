//! Listeners of which a plugin was told and that its sources have not noted yet: so many at once. Others wait, so that who
//! asks to hear a plugin that stands still, again and again, fills its queue with no more than these.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::id::PluginId;

/// So many at once. Three descriptors come with each.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Listens {
    senders: HashMap<PluginId, Sender>,
}

/// Feeds of the sources of one plugin. Those of which it was told may have ended.
#[derive(Debug, Default)]
struct Sender {
    /// With their sources.
    told: BTreeMap<u64, u64>,
    waiting: BTreeSet<u64>,
}

impl Listens {
    /// Whether a plugin may be told of a feed now; else that waits.
    pub(crate) fn may_tell(&mut self, sender: PluginId, feed: u64, source: u64) -> bool {
        let sender = self.senders.entry(sender).or_default();
        if sender.told.len() < MOST {
            sender.told.insert(feed, source);
            return true;
        }
        sender.waiting.insert(feed);
        false
    }

    /// A plugin has noted a listener.
    pub(crate) fn noted(&mut self, sender: PluginId, feed: u64) {
        self.change(sender, |sender| {
            sender.told.remove(&feed);
        });
    }

    /// A feed need not wait any more.
    pub(crate) fn forget_feed(&mut self, sender: PluginId, feed: u64) {
        self.change(sender, |sender| {
            sender.waiting.remove(&feed);
        });
    }

    /// What a plugin was told of a source that has ended it need not note any more.
    pub(crate) fn forget_source(&mut self, sender: PluginId, source: u64) {
        self.change(sender, |sender| sender.told.retain(|_, of| *of != source));
    }

    /// Forgets a plugin that is gone.
    pub(crate) fn forget(&mut self, sender: PluginId) {
        self.senders.remove(&sender);
    }

    /// Takes out the feed of which a plugin may be told next.
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
        // What it was told of an ended source it may never note.
        listens.forget_source(A, 0);
        assert_eq!(listens.next(A), Some(102));
        listens.forget_source(A, 1);
        assert!(listens.senders.is_empty());
    }
}
