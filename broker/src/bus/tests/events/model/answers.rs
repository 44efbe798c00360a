//! How the plugins of the model answer.

use super::*;

impl Model {
    /// A plugin reads its next record, and answers it.
    pub(super) fn read(&mut self, who: PluginId) {
        let plugin = self.plugins.get_mut(&who).expect("it is there");
        let Some(record) = plugin.unread.pop_front() else {
            return;
        };
        match record {
            ToPlugin::Source(record) => self.read_of_source(who, record),
            ToPlugin::Feed(record) => self.read_of_feed(who, record),
            _ => {}
        }
    }

    fn read_of_source(&mut self, who: PluginId, record: SourceToPlugin) {
        let plugin = self.plugins.get_mut(&who).expect("it is there");
        match record {
            SourceToPlugin::MakeRing { ring, .. } if plugin.cannot() => {
                let failure = Failure::new(Code::System, "no");
                self.say(who, SourceToBroker::RingFailed { ring, failure });
            }
            SourceToPlugin::MakeRing { ring, .. } => {
                plugin.listeners.insert(ring, BTreeSet::new());
                self.say(who, SourceToBroker::RingMade { ring });
            }
            SourceToPlugin::Listen { feed, .. } if plugin.cannot() => {
                plugin.unheard.insert(feed);
                let failure = Failure::new(Code::System, "no");
                self.say(who, SourceToBroker::ListenFailed { feed, failure });
            }
            SourceToPlugin::Listen { ring, feed, .. } => {
                if let Some(listeners) = plugin.listeners.get_mut(&ring) {
                    assert!(listeners.insert(feed), "twice");
                }
                self.say(who, heard(feed));
            }
            // The failure of this feed and its end have crossed.
            SourceToPlugin::Unlisten { feed, .. } if plugin.unheard.remove(&feed) => {}
            SourceToPlugin::Unlisten { ring, feed } => {
                let listeners = plugin.listeners.get_mut(&ring);
                assert!(listeners.is_some_and(|all| all.remove(&feed)), "{feed}");
            }
            SourceToPlugin::DropRing { ring } => {
                let listeners = plugin.listeners.remove(&ring).expect("it had one");
                assert!(listeners.is_empty(), "{listeners:?}");
            }
            _ => {}
        }
    }

    fn read_of_feed(&mut self, who: PluginId, record: FeedToPlugin) {
        let plugin = self.plugins.get_mut(&who).expect("it is there");
        match record {
            FeedToPlugin::Subscribed { request } => {
                assert!(plugin.subscribed.insert(request), "told twice");
            }
            FeedToPlugin::Found {
                subscription,
                feed,
                incarnation,
                fit: Fit::Same { encoding },
                ..
            } => {
                let is_wanted = plugin.wants.contains_key(&(subscription as usize % 3));
                plugin.found.insert(feed, (subscription, incarnation));
                match is_wanted {
                    true => self.say(who, take(feed, encoding)),
                    false => self.say(who, FeedToBroker::Leave { feed }),
                }
            }
            FeedToPlugin::Follow { feed, .. } if plugin.cannot() => {
                plugin.found.remove(&feed);
                self.say(who, FeedToBroker::FollowFailed { feed });
            }
            FeedToPlugin::Follow { feed, .. } => {
                self.say(who, FeedToBroker::Following { feed });
            }
            FeedToPlugin::Start { feed, .. } => {
                if let Some(what) = plugin.found.get(&feed) {
                    plugin.hears.insert(feed, *what);
                }
            }
            FeedToPlugin::Ended { feed, .. } => {
                plugin.found.remove(&feed);
                plugin.hears.remove(&feed);
            }
            other => panic!("{other:?}"),
        }
    }
}
