//! A plugin on the bus, and what of everything it has.

use callgate_layout::control::Identity;

use super::old_links::OldLinks;
use crate::clocks::SeenClock;
use crate::id::PluginId;
use crate::quota::{FirstTimes, Quota, TokenBucket};
use crate::schemas::Own;

/// A plugin that said hello.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) identity: Identity,
    pub(crate) pid: u32,
    /// By which its calls have their deadlines.
    pub(super) clock: SeenClock,
    /// Whether its status page is in order; only then may it ask for anything.
    pub(crate) ready: bool,
    pub(super) gates: Quota,
    pub(super) opens: Quota,
    pub(super) links: Quota,
    pub(super) extents: Quota,
    /// Shares and cells that it has, makes, waits for and watches.
    pub(super) shares: Quota,
    pub(super) schemas: Own,
    /// MiB of versions of shares that it is charged for.
    pub(super) share_mib: Quota,
    /// The parts of the waits that were reported and are not over.
    pub(super) waits: Quota,
    /// The first plugin of those that share its dispatcher.
    pub(super) dispatcher: PluginId,
    /// Whether it came only for listings.
    pub(crate) inspects: bool,
    pub(super) old_links: OldLinks,
    /// What its peers are told when it has gone.
    pub(super) farewell: Option<Farewell>,
    /// How often it may still provide a gate that it had without its being charged.
    pub(super) returns: u32,
    /// The same for sources.
    pub(super) source_returns: u32,
    /// The same for shares.
    pub(super) share_returns: u32,
    /// How often it was told that a tag does not stand as it had seen, and may watch it anew without being charged.
    pub(super) share_news: u32,
    /// Up to which change of a tag that was counted for it, where it watched what had changed before.
    pub(super) share_changes: u64,
    pub(super) first_opens: FirstTimes,
    /// Records that it was or will be sent and has to acknowledge.
    pub(super) owed: u32,
    /// How many records about its feeds it may still send without their being charged.
    pub(super) feed_answers: u32,
    /// Questions why nobody provides a gate that are not charged; from the first one on.
    pub(super) whys: Option<TokenBucket>,
}

/// The last words of a plugin.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) message: String,
    /// The text of a JSON value.
    pub(super) context: String,
}

impl Member {
    /// Whether it has said what those are to be told who are told that it is gone.
    pub(crate) fn has_last_words(&self) -> bool {
        self.farewell.is_some()
    }

    /// Whether it still takes calls over links of an older broker.
    pub(crate) fn is_draining(&self) -> bool {
        self.old_links.is_draining()
    }

    /// The plugin in a sentence.
    pub(crate) fn label(&self) -> String {
        format!("plugin `{}` (pid {})", self.identity.name, self.pid)
    }
}
