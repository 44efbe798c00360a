//! Topics in a listing, with the numbers that their senders and listeners have written to shared memory.
//!
//! The broker's thread says which sources and feeds there are. The helper thread that makes the listing reads from shared memory how far
//! each is. These numbers come from plugins and are not trusted: they are only shown.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use callgate_layout::events::cursor;
use callgate_layout::events::{RING_HEADER, shown};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::view::ReadView;

use super::Reactor;
use crate::id::PluginId;
use crate::listing::{SubscriberEntry, TopicEntry};
use crate::memory::AnyMemory;
use crate::topics::{Progress, Source};

/// Where the numbers of topics are found.
#[derive(Debug)]
pub(super) struct ListedTopics {
    /// For each topic of the listing, the files of its rings: for archives, and for JSON.
    rings: Vec<[Option<Arc<OwnedFd>>; 2]>,
    /// For each plugin, by its position in the listing, the feeds that it has.
    heard: HashMap<usize, Vec<Heard>>,
}

/// A feed in a listing.
#[derive(Clone, Copy, Debug)]
struct Heard {
    topic: usize,
    /// The position among the topic's subscribers.
    subscriber: usize,
    cursor: u16,
}

impl ListedTopics {
    /// Reads for each topic how many events were sent.
    pub(super) fn read_heads(&self, topics: &mut [TopicEntry]) {
        for (topic, rings) in topics.iter_mut().zip(&self.rings) {
            let next = rings.iter().flatten().filter_map(read_next);
            topic.head = next.max().unwrap_or(0);
        }
    }

    /// Reads from a plugin's status page how far each of its feeds is.
    pub(super) fn read_cursors(&self, plugin: usize, page: &ReadView, topics: &mut [TopicEntry]) {
        for heard in self.heard.get(&plugin).into_iter().flatten() {
            let Some(topic) = topics.get_mut(heard.topic) else {
                continue;
            };
            let head = topic.head;
            let Some(subscriber) = topic.subscribers.get_mut(heard.subscriber) else {
                continue;
            };
            let seen = cursor::read(page, heard.cursor);
            subscriber.lag = head.saturating_sub(seen.next);
            (subscriber.evictions, subscriber.lost) = (seen.times, seen.lost);
            topic.lost = topic.lost.saturating_add(seen.lost);
        }
    }
}

/// Returns the number of the next event of a ring.
fn read_next(ring: &Arc<OwnedFd>) -> Option<u64> {
    let file = ring.try_clone().ok()?;
    let head = Mapping::read_only(file, RING_HEADER).ok()?;
    let (_, next) = shown(&ReadView::new(head));
    Some(next)
}

impl Reactor {
    /// Returns all topics, and where their numbers are found. `places` has the position of each plugin in the listing.
    pub(super) fn list_topics(
        &self,
        places: &HashMap<PluginId, usize>,
    ) -> (Vec<TopicEntry>, ListedTopics) {
        let mut entries = Vec::new();
        let mut listed = ListedTopics {
            rings: Vec::new(),
            heard: HashMap::new(),
        };
        for source in self.bus.topics().all_sources() {
            let mut entry = self.topic_entry(source);
            for (plugin, cursor) in self.listeners_of(source) {
                let heard = Heard {
                    topic: entries.len(),
                    subscriber: entry.subscribers.len(),
                    cursor,
                };
                let Some(place) = places.get(&plugin) else {
                    continue;
                };
                listed.heard.entry(*place).or_default().push(heard);
                entry.subscribers.push(SubscriberEntry {
                    plugin: self.name_of(plugin),
                    lag: 0,
                    evictions: 0,
                    lost: 0,
                });
            }
            entries.push(entry);
            listed
                .rings
                .push(source.rings.map(|ring| self.file_of(ring?)));
        }
        (entries, listed)
    }

    fn topic_entry(&self, source: &Source) -> TopicEntry {
        TopicEntry {
            gate: source.topic.to_string(),
            sender: self.name_of(source.plugin),
            open: source.wanted.open,
            signature: source.wanted.provided.signature.clone(),
            head: 0,
            capacity_bytes: source.wanted.capacity.into(),
            history: source.wanted.history.into(),
            json_twin: source.rings[1].is_some(),
            lost: 0,
            subscribers: Vec::new(),
        }
    }

    /// The plugins whose feeds on a source have started, each with its cursor.
    fn listeners_of(&self, source: &Source) -> Vec<(PluginId, u16)> {
        let feeds = source.feeds.iter();
        let feeds = feeds.filter_map(|feed| self.bus.topics().feed(*feed));
        let started = feeds.filter(|feed| feed.progress == Progress::Started);
        started
            .filter_map(|feed| Some((feed.plugin, feed.cursor?)))
            .collect()
    }

    /// The file of a ring, to be mapped for reading. Only once it is allocated in full: otherwise reading it would allocate memory.
    fn file_of(&self, ring: u64) -> Option<Arc<OwnedFd>> {
        if !self.bus.has_ring(ring) {
            return None;
        }
        self.memory.get(&AnyMemory::Ring(ring))?.reader_file()
    }
}
