//! Shares: which plugin wants which tag, who makes its share, which versions there are and which plugins hold them. Pure state.
//!
//! ```text
//! Tag        a name that at least one plugin wants, makes, has or watches
//! Wish       one plugin that wants a tag: in the row, or asked to make the share
//! Making     one run of making a version; once that is sealed and registered, it is the version of the same number
//! Version    sealed memory: the newest of its share, a superseded one, or a twin
//! Share      the versions of a tag, from the first one that is registered until the last user ends
//! User       a plugin that has a share
//! ```
//!
//! **Who is charged.** The newest version is charged to the plugin that made it. When it is superseded, each of its *holders* (the plugins
//! that were sent it and have not said `Done`) is charged for it instead, beyond its limit if need be. A twin is charged to its maker while
//! the maker writes it, and to its holders from then on: otherwise a plugin that may only read could use up the maker's limit. The bus is
//! charged until nobody holds the memory any more, not even a process that the broker knows nothing of.

mod conversions;
mod facts;
mod kept;
mod making;
mod share;
mod tag;
mod version;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::id::PluginId;
use crate::quota::{Charge, Quota};

pub(crate) use conversions::Conversions;
pub(crate) use facts::{Facts, check_wanted, invalid};
pub(crate) use kept::{Kept, LAST};
pub(crate) use making::{Charged, Kind, Making, Progress, Sealing};
pub(crate) use share::{Share, User};
pub(crate) use tag::{Tag, Watch, Wish};
pub(crate) use version::{Maker, Twin, Version};

/// What a request is about that a plugin may still give up.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// The plugin waits for this tag, or watches it.
    Tag(Arc<str>),
    /// The request was answered by this share.
    Share(u64),
}

/// All shares of a bus.
#[derive(Debug)]
pub(crate) struct Shares {
    /// The tags that a plugin wants, makes, has or watches.
    tags: BTreeMap<Arc<str>, Tag>,
    shares: BTreeMap<u64, Share>,
    versions: BTreeMap<u64, Version>,
    makings: BTreeMap<u64, Making>,
    /// Versions that are being sealed, or wait for that.
    pub(crate) sealing: Sealing,
    /// How many MiB all versions together may have.
    pub(crate) bus: Quota,
    /// The charges of memory that was let go and that some process may still hold, by serial number.
    held: BTreeMap<u64, Charge>,
    /// What requests are about that are not over: those that wait, those that watch, and those by which plugins got shares.
    asked: BTreeMap<(PluginId, u32), Asked>,
    incarnations: RandomState,
    first: u64,
    next: u64,
    /// How often any tag has changed; see [`Shares::changes`].
    changes: u64,
}

impl Shares {
    /// Returns the state without shares. The numbers of shares, makings and versions begin with `first`.
    pub(crate) fn new(first: u64) -> Shares {
        Shares {
            tags: BTreeMap::new(),
            shares: BTreeMap::new(),
            versions: BTreeMap::new(),
            makings: BTreeMap::new(),
            sealing: Sealing::default(),
            bus: Quota::new(u32::MAX),
            held: BTreeMap::new(),
            asked: BTreeMap::new(),
            incarnations: RandomState::new(),
            first,
            next: first,
            changes: 0,
        }
    }

    /// How often any tag has changed: got a new version, or lost its share.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts a change of a tag.
    pub(crate) fn has_changed(&mut self) {
        self.changes += 1;
    }

    /// Returns a number that no share, making or version has had.
    pub(crate) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Whether this number was given to a share, making or version, which may have ended.
    pub(crate) fn was_given(&self, number: u64) -> bool {
        (self.first..self.next).contains(&number)
    }

    /// Returns an incarnation for a new share, whose first version has this number. It is hashed with a random key, so that brokers do not
    /// give the same.
    pub(crate) fn incarnation(&self, first: u64) -> u64 {
        self.incarnations.hash_one(first)
    }

    pub(crate) fn tag(&self, tag: &str) -> Option<&Tag> {
        self.tags.get(tag)
    }

    /// The state of a tag, which is created if there is none.
    pub(crate) fn tag_mut(&mut self, tag: &Arc<str>) -> &mut Tag {
        self.tags.entry(tag.clone()).or_default()
    }

    /// The state of a tag, if there is any.
    pub(crate) fn known_tag_mut(&mut self, tag: &str) -> Option<&mut Tag> {
        self.tags.get_mut(tag)
    }

    /// Forgets a tag that no plugin wants, makes, has or watches any more.
    pub(crate) fn tidy(&mut self, tag: &str) {
        if self.tags.get(tag).is_some_and(Tag::is_empty) {
            self.tags.remove(tag);
        }
    }

    pub(crate) fn tags(&self) -> Vec<Arc<str>> {
        self.tags.keys().cloned().collect()
    }

    /// The share that a tag leads to.
    pub(crate) fn found(&self, tag: &str) -> Option<u64> {
        self.tags.get(tag)?.share
    }

    pub(crate) fn share(&self, share: u64) -> Option<&Share> {
        self.shares.get(&share)
    }

    pub(crate) fn share_mut(&mut self, share: u64) -> Option<&mut Share> {
        self.shares.get_mut(&share)
    }

    pub(crate) fn user_mut(&mut self, share: u64, plugin: PluginId) -> Option<&mut User> {
        self.shares.get_mut(&share)?.users.get_mut(&plugin)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Share)> {
        self.shares.iter().map(|(number, share)| (*number, share))
    }

    pub(crate) fn add_share(&mut self, number: u64, share: Share) {
        self.shares.insert(number, share);
    }

    pub(crate) fn remove_share(&mut self, number: u64) -> Option<Share> {
        self.shares.remove(&number)
    }

    pub(crate) fn version(&self, version: u64) -> Option<&Version> {
        self.versions.get(&version)
    }

    pub(crate) fn version_mut(&mut self, version: u64) -> Option<&mut Version> {
        self.versions.get_mut(&version)
    }

    /// The newest version of a share, with its number.
    pub(crate) fn newest(&self, share: u64) -> Option<(u64, &Version)> {
        let newest = self.shares.get(&share)?.newest;
        Some((newest, self.versions.get(&newest)?))
    }

    pub(crate) fn add_version(&mut self, number: u64, version: Version) {
        self.versions.insert(number, version);
    }

    pub(crate) fn remove_version(&mut self, number: u64) -> Option<Version> {
        self.versions.remove(&number)
    }

    /// The versions that are there and that this plugin has made.
    pub(crate) fn versions_of(&self, maker: PluginId) -> Vec<u64> {
        let is_its = |version: &Version| version.maker.plugin == Some(maker);
        let versions = self.versions.iter();
        let versions = versions.filter(|(_, version)| is_its(version));
        versions.map(|(number, _)| *number).collect()
    }

    /// What a request is about, if it is not over.
    pub(crate) fn asked(&self, plugin: PluginId, request: u32) -> Option<Asked> {
        self.asked.get(&(plugin, request)).cloned()
    }

    pub(crate) fn ask(&mut self, plugin: PluginId, request: u32, about: Asked) {
        self.asked.insert((plugin, request), about);
    }

    /// Notes that a request is over.
    pub(crate) fn over(&mut self, plugin: PluginId, request: u32) {
        self.asked.remove(&(plugin, request));
    }

    /// Notes that all requests of a plugin that has ended are over.
    pub(crate) fn all_over(&mut self, plugin: PluginId) {
        self.asked.retain(|(of, _), _| *of != plugin);
    }

    pub(crate) fn making(&self, making: u64) -> Option<&Making> {
        self.makings.get(&making)
    }

    pub(crate) fn making_mut(&mut self, making: u64) -> Option<&mut Making> {
        self.makings.get_mut(&making)
    }

    pub(crate) fn makings(&self) -> impl Iterator<Item = (u64, &Making)> {
        self.makings
            .iter()
            .map(|(number, making)| (*number, making))
    }

    /// The makings of twins that are under way for a share. Their original versions may have been let go.
    pub(crate) fn twins_made_of(&self, share: u64) -> Vec<u64> {
        let makings = self.makings.iter();
        let twins = makings.filter(|(_, making)| making.is_twin() && making.share == share);
        twins.map(|(number, _)| *number).collect()
    }

    /// Removes a plugin that has ended from those that wait for twins.
    pub(crate) fn forget_waiting(&mut self, plugin: PluginId) {
        for making in self.makings.values_mut() {
            if let Kind::Twin { waiting, .. } = &mut making.kind {
                waiting.retain(|(to, _)| *to != plugin);
            }
        }
    }

    pub(crate) fn add_making(&mut self, number: u64, making: Making) {
        self.makings.insert(number, making);
    }

    pub(crate) fn remove_making(&mut self, number: u64) -> Option<Making> {
        self.makings.remove(&number)
    }

    /// Keeps the bus charged for memory that was let go, under this number, until [`Shares::freed`] is called with it.
    pub(crate) fn keep(&mut self, serial: u64, bus: Charge) {
        self.held.insert(serial, bus);
    }

    /// Nobody holds this memory any more: the bus is no longer charged for it.
    pub(crate) fn freed(&mut self, serial: u64) {
        self.held.remove(&serial);
    }
}

#[cfg(test)]
impl Shares {
    /// Whether there are no tags, shares, versions, makings, held memory or requests left.
    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty()
            && self.shares.is_empty()
            && self.versions.is_empty()
            && self.makings.is_empty()
            && self.held.is_empty()
            && self.asked.is_empty()
            && self.bus.used() == 0
    }
}
