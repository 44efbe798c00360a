//! A share: its versions and who uses it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::id::PluginId;
use crate::quota::Charge;

/// The versions of a tag.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) tag: Arc<str>,
    pub(crate) newest: u64,
    /// Superseded versions that somebody has, and twins.
    pub(crate) others: BTreeSet<u64>,
    pub(crate) users: BTreeMap<PluginId, User>,
    /// Publications that are under way.
    pub(crate) publications: BTreeSet<u64>,
    /// Whether it is found by its tag no more, because that was removed.
    pub(crate) is_removed: bool,
}

/// A plugin that has a share.
#[derive(Debug)]
pub(crate) struct User {
    /// How many of its requests were answered by this share and not given up since.
    haves: u32,
    /// The last of them, with the version that it was sent only then.
    told: VecDeque<(u32, Option<u64>)>,
    _charge: Charge,
}

/// A plugin has few requests under way for one tag at a time, and may give up no others.
const MOST_TOLD: usize = 8;

impl User {
    pub(crate) fn new(charge: Charge) -> User {
        User {
            haves: 0,
            told: VecDeque::new(),
            _charge: charge,
        }
    }

    /// A request is answered, by which the plugin was sent a version that it did not have. Gives an earlier request that it gives up no more.
    pub(crate) fn is_told(&mut self, request: u32, brought: Option<u64>) -> Option<u32> {
        self.haves = self.haves.saturating_add(1);
        self.told.push_back((request, brought));
        let is_full = self.told.len() > MOST_TOLD;
        self.told.pop_front_if(|_| is_full).map(|(old, _)| old)
    }

    /// A version that the plugin has was sent to it once more: it has that whatever it gives up.
    pub(crate) fn is_sent_again(&mut self, version: u64) {
        let told = self.told.iter_mut();
        for (_, brought) in told.filter(|(_, brought)| *brought == Some(version)) {
            *brought = None;
        }
    }

    /// A request was given up that had been answered: the version that came with that, and whether the plugin has the share by another one.
    pub(crate) fn forgo(&mut self, request: u32) -> (Option<u64>, bool) {
        let at = self.told.iter().position(|(told, _)| *told == request);
        let forgone = at.and_then(|at| self.told.remove(at));
        if forgone.is_some() {
            self.haves = self.haves.saturating_sub(1);
        }
        (forgone.and_then(|(_, brought)| brought), self.haves > 0)
    }

    /// The requests that may be given up yet.
    pub(crate) fn requests(&self) -> impl Iterator<Item = u32> {
        self.told.iter().map(|(request, _)| *request)
    }
}

impl Share {
    /// A share of one version, which nobody has yet.
    pub(crate) fn new(tag: Arc<str>, newest: u64) -> Share {
        Share {
            tag,
            newest,
            others: BTreeSet::new(),
            users: BTreeMap::new(),
            publications: BTreeSet::new(),
            is_removed: false,
        }
    }

    /// Whether nobody has it, nor is about to.
    pub(crate) fn is_of_no_use(&self) -> bool {
        self.users.is_empty() && self.publications.is_empty()
    }

    /// All of its versions.
    pub(crate) fn versions(&self) -> Vec<u64> {
        self.others.iter().copied().chain([self.newest]).collect()
    }
}
