//! Makings: each is one run of making a version.
//!
//! ```text
//! progress   entered by                              left by
//! Resting    a twin is wanted during a rest          the end of the rest: `Convert` to the maker
//! Called     `Create` or `Convert` to the maker      its `Make` or `GaveUp`; its time is over
//! Copying    `PublishShort`, charged                 the shell has put the bytes into sealed memory
//! Writing    `Write` to the maker, charged           its `Written` or `GaveUp`; its time is over
//! Waiting    `Written`; a `Return` begins here       it is this version's turn to be sealed
//! Sealing    its turn                                the shell has sealed it and found it complete; its time is over
//! Saving     sealed, if the share is persistent      the shell has saved it in a file
//! (Version)  registered
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::VersionName;

use super::{Facts, Wish};
use crate::id::PluginId;
use crate::quota::Charge;

/// So many versions of one plugin are sealed at once, each on a thread of its own. A plugin that keeps the kernel from sealing takes no
/// more threads than that.
const SEALED_AT_ONCE: usize = 8;

/// How far a making is; see the table above.
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

/// What a version is made for.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A plugin wants a tag that has no share, and offers to make it.
    Create(Wish),
    /// A plugin publishes a new version.
    Publish {
        request: u32,
        charge: Charge,
        /// Whether the bytes came with the request: then the maker is told no number of a making.
        short: bool,
    },
    /// A version is written as JSON, for these plugins and their requests.
    Twin {
        of: u64,
        name: VersionName,
        waiting: Vec<(PluginId, u32)>,
        /// When the maker was asked to convert.
        since: Instant,
    },
    /// A plugin returns a version that was made under an earlier broker.
    Return {
        request: u32,
        name: VersionName,
        charge: Charge,
    },
}

/// What is charged for the memory of a version: its MiB, to the maker (until it is superseded) and to the bus.
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
    /// The share that the version belongs to. If the tag has no share when the version is registered, the share gets this number.
    pub(crate) share: u64,
    /// Length of the value in bytes; 0 until the maker has said it.
    pub(crate) len: u64,
    /// What is charged, once there is memory for the version.
    pub(crate) charged: Option<Charged>,
    /// The name under which the version is saved in a file.
    pub(crate) saved_as: Option<VersionName>,
}

impl Making {
    /// The number of the request that publishes; 0 for other makings.
    pub(crate) fn publication(&self) -> u32 {
        match self.kind {
            Kind::Publish { request, .. } => request,
            _ => 0,
        }
    }

    /// Whether a plugin makes a share that was absent.
    pub(crate) fn is_creation(&self) -> bool {
        matches!(self.kind, Kind::Create(_))
    }

    pub(crate) fn is_twin(&self) -> bool {
        matches!(self.kind, Kind::Twin { .. })
    }

    /// Whether this is a publication: these keep their share alive.
    pub(crate) fn is_publication(&self) -> bool {
        matches!(self.kind, Kind::Publish { .. })
    }
}

/// Which versions are being sealed, and which wait for that, plugin by plugin.
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
    /// Returns true if a version of this plugin may be sealed now; otherwise it is queued.
    pub(crate) fn may_begin(&mut self, plugin: PluginId, version: u64) -> bool {
        let queue = self.plugins.entry(plugin).or_default();
        if queue.under_way < SEALED_AT_ONCE {
            queue.under_way += 1;
            return true;
        }
        queue.waiting.push_back(version);
        false
    }

    /// Notes that the sealing of one version of this plugin has ended. Returns the next version, whose sealing may begin.
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

    /// Forgets all versions of a plugin that wait; the plugin has ended.
    pub(crate) fn forget_plugin(&mut self, plugin: PluginId) {
        if let Some(queue) = self.plugins.get_mut(&plugin) {
            queue.waiting.clear();
        }
    }

    /// Forgets a version that waits.
    pub(crate) fn forget_version(&mut self, plugin: PluginId, version: u64) {
        if let Some(queue) = self.plugins.get_mut(&plugin) {
            queue.waiting.retain(|waiting| *waiting != version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the limit, a plugin whose versions cannot be sealed would take a thread of the broker for each of them.
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
