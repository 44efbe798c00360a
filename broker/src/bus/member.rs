//! A plugin on the bus, with its quotas and what the bus notes about it.

use callgate_layout::control::Identity;

use super::old_links::OldLinks;
use crate::clocks::SeenClock;
use crate::id::PluginId;
use crate::quota::{FirstTimes, Quota, TokenBucket};
use crate::schemas::Own;

/// A plugin that has said hello.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) identity: Identity,
    pub(crate) pid: u32,
    /// The clock by which the deadlines of its calls are set.
    pub(super) clock: SeenClock,
    /// Whether it has acknowledged its status page. Before that it may ask for nothing.
    pub(crate) ready: bool,
    pub(super) gates: Quota,
    pub(super) opens: Quota,
    pub(super) links: Quota,
    pub(super) extents: Quota,
    /// Shares and cells that it uses, makes, waits for and watches.
    pub(super) shares: Quota,
    pub(super) schemas: Own,
    /// MiB of versions of shares that are charged to it.
    pub(super) share_mib: Quota,
    /// The parts of the waits that it has reported and that are not over.
    pub(super) waits: Quota,
    /// Its dispatcher, named by the first of the plugins that share it.
    pub(super) dispatcher: PluginId,
    /// Whether it has connected only for listings.
    pub(crate) inspects: bool,
    pub(super) old_links: OldLinks,
    /// What its peers are told when it ends.
    pub(super) farewell: Option<Farewell>,
    /// How often it may still provide a gate that it had, without being charged.
    pub(super) returns: u32,
    /// The same for sources.
    pub(super) source_returns: u32,
    /// The same for shares.
    pub(super) share_returns: u32,
    /// How many watches it may still begin without being charged: it was told of so many changes of tags.
    pub(super) share_news: u32,
    /// The number of the last change of a tag that was counted for it when it watched a tag that had already changed.
    pub(super) share_changes: u64,
    pub(super) first_opens: FirstTimes,
    /// How many records it was sent, or will be, that it has to acknowledge.
    pub(super) owed: u32,
    /// How many records about its feeds it may still send without being charged.
    pub(super) feed_answers: u32,
    /// Limits the questions why nobody provides a gate that are not charged; made with the first of them.
    pub(super) whys: Option<TokenBucket>,
}

/// The last words of a plugin, which it says before it ends.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) message: String,
    /// The text of a JSON value.
    pub(super) context: String,
}

impl Member {
    /// Whether it has said its last words, which its peers are told when it has ended.
    pub(crate) fn has_last_words(&self) -> bool {
        self.farewell.is_some()
    }

    /// Whether it still takes calls over links of an older broker.
    pub(crate) fn is_draining(&self) -> bool {
        self.old_links.is_draining()
    }

    /// The plugin's name and process, for a message.
    pub(crate) fn label(&self) -> String {
        format!("plugin `{}` (pid {})", self.identity.name, self.pid)
    }
}
