//! The feeds of a dispatcher's plugins: from which of them events are taken next.

use std::sync::Arc;

use callgate_layout::events;

use super::Scheduler;
use super::fairness::Fairness;
use crate::events::feed::Feed;
use crate::events::feeds::Feeds;
use crate::serve::member::Member;

/// How many calls are served before it is the turn of a feed that has events, and how many events of one feed are
/// taken before it is the turn of another feed, or of calls.
pub(crate) const BATCH: u32 = 16;

/// The feeds, and their turns.
pub(super) struct FeedTurns {
    /// The plugins' lists of feeds, with their versions when they were copied.
    lists: Vec<(Arc<Feeds>, u64)>,
    all: Vec<Arc<Feed>>,
    fairness: Fairness,
    /// How many calls were served since a feed had its turn.
    calls: u32,
    /// Whether the next look has to look everywhere.
    is_missing: bool,
    /// Feeds that are in no list any more, to be dropped where nothing is borrowed: they may hold the last
    /// reference to a handler.
    old: Vec<Arc<Feed>>,
}

impl FeedTurns {
    pub(super) fn new() -> FeedTurns {
        FeedTurns {
            lists: Vec::new(),
            all: Vec::new(),
            fairness: Fairness::new(),
            calls: 0,
            is_missing: false,
            old: Vec::new(),
        }
    }

    pub(super) fn miss_nothing(&mut self) {
        self.is_missing = true;
    }

    /// Notices feeds that came and went.
    pub(super) fn refresh<'a>(&mut self, members: impl Iterator<Item = &'a Arc<Member>>) {
        let mut lists: Vec<(Arc<Feeds>, u64)> = Vec::new();
        for member in members {
            if !lists
                .iter()
                .any(|(list, _)| Arc::ptr_eq(list, &member.feeds))
            {
                lists.push((member.feeds.clone(), member.feeds.version()));
            }
        }
        let is_known = |(list, version): &(Arc<Feeds>, u64)| {
            let mut known = self.lists.iter();
            known.any(|(known, its)| Arc::ptr_eq(known, list) && its == version)
        };
        if lists.len() == self.lists.len() && lists.iter().all(is_known) {
            return;
        }
        let all = lists.iter_mut().flat_map(|(list, version)| {
            let (now, feeds) = list.all();
            *version = now;
            feeds
        });
        let all = all.collect();
        self.old.append(&mut std::mem::replace(&mut self.all, all));
        self.lists = lists;
        self.fairness.renumber(self.all.len());
    }

    /// The next feed that has something.
    fn next(&mut self, thorough: bool) -> Option<Arc<Feed>> {
        self.calls = 0;
        let thorough = std::mem::take(&mut self.is_missing) || thorough;
        let (all, len) = (&self.all, self.all.len());
        let has_next = |feed: &&Arc<Feed>| match thorough {
            true => feed.has_next(),
            false => feed.has_next_by_and_by(),
        };
        let look = |at: usize| all.get(at).filter(has_next).cloned();
        let found = self.fairness.look(len, thorough, look);
        if found.is_some() {
            self.fairness.pass_on(len);
        }
        found
    }
}

impl Scheduler {
    /// Whether there are any feeds.
    pub(crate) fn has_feeds(&self) -> bool {
        !self.feeds.all.is_empty()
    }

    /// The feed whose turn it is, if any has something.
    pub(crate) fn next_feed(&mut self) -> Option<Arc<Feed>> {
        self.feeds.next(self.is_pumped)
    }

    /// As [`Scheduler::next_feed`], but only after calls have had their turn.
    pub(crate) fn due_feed(&mut self) -> Option<Arc<Feed>> {
        match self.calls_before_feeds() {
            0 => self.next_feed(),
            _ => None,
        }
    }

    /// How many calls are served before it is a feed's turn.
    pub(crate) fn calls_before_feeds(&self) -> u32 {
        BATCH.saturating_sub(self.feeds.calls)
    }

    /// Counts calls that were served.
    pub(crate) fn count_before_feeds(&mut self, calls: u32) {
        self.feeds.calls = self.feeds.calls.saturating_add(calls);
    }

    /// Whether this look finds a feed that has something.
    pub(crate) fn has_event(&mut self) -> bool {
        let all = &self.feeds.all;
        let is_pumped = self.is_pumped;
        let has_next = |feed: &&Arc<Feed>| match is_pumped {
            true => feed.has_next(),
            false => feed.has_next_by_and_by(),
        };
        let look = |at: usize| all.get(at).filter(has_next).map(drop);
        self.feeds.fairness.look(all.len(), false, look).is_some()
    }

    /// Whether any feed has something.
    pub(crate) fn has_any_event(&self) -> bool {
        self.feeds.all.iter().any(|feed| feed.has_next())
    }

    /// For a thread that has announced that it sleeps: arms all sources, and looks once more whether any feed has
    /// something.
    pub(crate) fn arm_feeds(&mut self) -> bool {
        self.feeds.all.iter().for_each(|feed| feed.arm());
        events::all_armed();
        let all = self.feeds.all.iter();
        let found = { all }.any(|feed| feed.has_next_armed());
        self.feeds.is_missing |= found;
        found
    }

    /// The plugins' lists of feeds.
    pub(crate) fn feed_lists(&self) -> Vec<Arc<Feeds>> {
        self.feeds
            .lists
            .iter()
            .map(|(list, _)| list.clone())
            .collect()
    }

    /// Takes the feeds that are in no list any more.
    pub(crate) fn take_old_feeds(&mut self) -> Vec<Arc<Feed>> {
        std::mem::take(&mut self.feeds.old)
    }
}
