//! A share: its versions and who uses it.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The request by which it came to have it.
    pub(crate) request: u32,
    /// What was the newest version then.
    pub(crate) first: u64,
    /// Whether it was told of it in answer to others since: then it has the share also where that request was given up.
    pub(crate) has_more: bool,
    pub(crate) _charge: Charge,
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
