//! Makings: runs of making a version.
//!
//! ```text
//! progress   entered by                              left by
//! Resting    a twin is wanted again soon              its time: `Convert` to the maker
//! Called     `Create`, or `Convert`, to the maker    its `Make`, or `GaveUp`; its time
//! Copying    `PublishShort`, charged                 the shell has put the bytes into sealed memory
//! Writing    `Write` to the maker, charged           its `Written`, or `GaveUp`; its time
//! Waiting    `Written`; `Return` begins here         its turn to be sealed
//! Sealing    its turn                                the shell has sealed it, and found all of it there; its time
//! Saving     sealed, of a persistent share           the shell has kept it in a file
//! (Version)  registered
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::VersionName;

use super::{Facts, Wish};
use crate::id::PluginId;
use crate::quota::Charge;

/// So many versions of one plugin are sealed at once, each on a thread of its own. Who keeps the kernel from sealing has no more
/// threads than that.
const SEALED_AT_ONCE: usize = 8;

/// How far a making is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Resting,
    Called,
    Copying,
    Writing,
    Waiting,
    Sealing,
    Saving,
}

/// What it is made for.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A tag that was absent.
    Create(Wish),
    /// A new version.
    Publish {
        request: u32,
        charge: Charge,
        /// Whether its bytes came along: then its maker knows no number of a making.
        short: bool,
    },
    /// The JSON of a version, for these users and requests.
    Twin {
        of: u64,
        name: VersionName,
        waiting: Vec<(PluginId, u32)>,
        /// When its maker was asked for it.
        since: Instant,
    },
    /// What was made for an earlier broker.
    Return {
        request: u32,
        name: VersionName,
        charge: Charge,
    },
}

/// What is charged for a version.
#[derive(Debug)]
pub(crate) struct Charged {
    pub(crate) mib: u32,
    pub(crate) maker: Option<Charge>,
    pub(crate) bus: Charge,
}

/// One run of making a version.
#[derive(Debug)]
pub(crate) struct Making {
    pub(crate) plugin: PluginId,
    pub(crate) tag: Arc<str>,
    pub(crate) facts: Facts,
    pub(crate) kind: Kind,
    pub(crate) progress: Progress,
    /// The share that it is of, or that it becomes where there is none by then.
    pub(crate) share: u64,
    /// Bytes of the value, once that is known.
    pub(crate) len: u64,
    /// Once there is memory.
    pub(crate) charged: Option<Charged>,
    /// Which version it is kept in a file as.
    pub(crate) saved_as: Option<VersionName>,
}

impl Making {
    /// The number of the publication's request; 0 of other makings.
    pub(crate) fn publication(&self) -> u32 {
        match self.kind {
            Kind::Publish { request, .. } => request,
            _ => 0,
        }
    }

    /// Whether it is to make what was absent.
    pub(crate) fn is_creation(&self) -> bool {
        matches!(self.kind, Kind::Create(_))
    }

    pub(crate) fn is_twin(&self) -> bool {
        matches!(self.kind, Kind::Twin { .. })
    }

    /// Whether it keeps its share alive.
    pub(crate) fn is_publication(&self) -> bool {
        matches!(self.kind, Kind::Publish { .. })
    }
}

/// Which versions are being sealed, and which wait for that.
#[derive(Debug, Default)]
pub(crate) struct Sealing {
    plugins: HashMap<PluginId, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    under_way: usize,
    waiting: VecDeque<u64>,
}

impl Sealing {
    /// Whether a version of this plugin may be sealed now; else it waits.
    pub(crate) fn may_begin(&mut self, plugin: PluginId, version: u64) -> bool {
        let queue = self.plugins.entry(plugin).or_default();
        if queue.under_way < SEALED_AT_ONCE {
            queue.under_way += 1;
            return true;
        }
        queue.waiting.push_back(version);
        false
    }

    /// One has been sealed, or could not be; gives the next one, which may begin.
    pub(crate) fn next(&mut self, plugin: PluginId) -> Option<u64> {
        let queue = self.plugins.get_mut(&plugin)?;
        if let Some(next) = queue.waiting.pop_front() {
            return Some(next);
        }
        queue.under_way = queue.under_way.saturating_sub(1);
        if queue.under_way == 0 {
            self.plugins.remove(&plugin);
        }
        None
    }

    /// None of those that wait is this plugin's any more, which has gone.
    pub(crate) fn forget_plugin(&mut self, plugin: PluginId) {
        if let Some(queue) = self.plugins.get_mut(&plugin) {
            queue.waiting.clear();
        }
    }

    /// A version need not wait any more.
    pub(crate) fn forget_version(&mut self, plugin: PluginId, version: u64) {
        if let Some(queue) = self.plugins.get_mut(&plugin) {
            queue.waiting.retain(|waiting| *waiting != version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A maker whose versions cannot be sealed would have a thread of the broker for each.
    #[test]
    fn few_are_sealed_at_once_and_others_wait_for_their_turn() {
        let (a, b) = (PluginId(1), PluginId(2));
        let mut sealing = Sealing::default();
        assert!((0..8).all(|version| sealing.may_begin(a, version)));
        assert!(!sealing.may_begin(a, 8) && !sealing.may_begin(a, 9));
        assert!(sealing.may_begin(b, 20), "each plugin has its own");
        sealing.forget_version(a, 8);
        assert_eq!(sealing.next(a), Some(9));
        assert!((0..8).all(|_| sealing.next(a).is_none()));
        assert_eq!(sealing.next(b), None);
        assert!(sealing.plugins.is_empty());
        assert_eq!(sealing.next(b), None, "of one that has gone");
    }
}
