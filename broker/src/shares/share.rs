//! A share: its versions, and the plugins that use it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use callgate_layout::Encoding;

use crate::id::PluginId;
use crate::quota::Charge;

/// The share of a tag.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) tag: Arc<str>,
    pub(crate) newest: u64,
    /// Superseded versions that a plugin still holds, and twins.
    pub(crate) others: BTreeSet<u64>,
    pub(crate) users: BTreeMap<PluginId, User>,
    /// The makings of publications that are under way.
    pub(crate) publications: BTreeSet<u64>,
    /// Whether the share was removed: users keep it, but the tag does not lead to it any more.
    pub(crate) is_removed: bool,
}

/// A plugin that has a share.
#[derive(Debug)]
pub(crate) struct User {
    /// How many requests of the plugin were answered by this share and not given up since.
    haves: u32,
    /// The last of these requests, each with the version that the plugin held only because of it.
    told: VecDeque<(u32, Option<u64>)>,
    /// The highest number of a version that the plugin has fetched as it is, and as JSON.
    fetched: [u64; 2],
    _charge: Charge,
}

/// So many answered requests can still be given up: a plugin has few requests under way for one tag at a time.
const MOST_TOLD: usize = 8;

impl User {
    pub(crate) fn new(charge: Charge) -> User {
        User {
            haves: 0,
            told: VecDeque::new(),
            fetched: [0; 2],
            _charge: charge,
        }
    }

    /// Notes that a request is answered, with the version that the plugin did not hold before (`brought`). Returns an older request that is
    /// forgotten for it, and can no longer be given up.
    pub(crate) fn is_told(&mut self, request: u32, brought: Option<u64>) -> Option<u32> {
        self.haves = self.haves.saturating_add(1);
        self.told.push_back((request, brought));
        let is_full = self.told.len() > MOST_TOLD;
        self.told.pop_front_if(|_| is_full).map(|(old, _)| old)
    }

    /// Whether the plugin fetches a version of this number for the first time in this encoding.
    pub(crate) fn is_first_fetch(&mut self, number: u64, encoding: Encoding) -> bool {
        let [archive, json] = &mut self.fetched;
        let highest = match encoding {
            Encoding::Archive => archive,
            Encoding::Json => json,
        };
        let is_first = *highest < number;
        *highest = number.max(*highest);
        is_first
    }

    /// Notes that a version was sent that the plugin already holds: from now on the plugin holds it, whichever request it gives up.
    pub(crate) fn is_sent_again(&mut self, version: u64) {
        let told = self.told.iter_mut();
        for (_, brought) in told.filter(|(_, brought)| *brought == Some(version)) {
            *brought = None;
        }
    }

    /// Notes that the plugin gives up an answered request. Returns the version that it held only because of that request, and whether it
    /// has the share by another request.
    pub(crate) fn forgo(&mut self, request: u32) -> (Option<u64>, bool) {
        let at = self.told.iter().position(|(told, _)| *told == request);
        let forgone = at.and_then(|at| self.told.remove(at));
        if forgone.is_some() {
            self.haves = self.haves.saturating_sub(1);
        }
        (forgone.and_then(|(_, brought)| brought), self.haves > 0)
    }

    /// The requests that can still be given up.
    pub(crate) fn requests(&self) -> impl Iterator<Item = u32> {
        self.told.iter().map(|(request, _)| *request)
    }
}

impl Share {
    /// Returns a share of one version, without users.
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

    /// Whether the share has neither a user nor a publication under way that would bring one.
    pub(crate) fn is_of_no_use(&self) -> bool {
        self.users.is_empty() && self.publications.is_empty()
    }

    /// All versions of the share, twins included.
    pub(crate) fn versions(&self) -> Vec<u64> {
        self.others.iter().copied().chain([self.newest]).collect()
    }
}
