//! A tag: the share that it leads to, and the plugins that wait for one.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use callgate_layout::control::{Failure, VersionName, Wanted};

use super::Facts;
use crate::id::PluginId;
use crate::quota::Charge;

/// A name that at least one plugin wants, makes, has or watches.
#[derive(Debug, Default)]
pub(crate) struct Tag {
    /// The share that the tag leads to now.
    pub(crate) share: Option<u64>,
    /// The plugins that want the share and are not served yet, the first one first.
    pub(crate) row: VecDeque<Wish>,
    /// The making of the plugin that was asked by `Create`, until it has ended.
    pub(crate) creation: Option<u64>,
    /// While the shell looks for the file of the tag: the number that the version in it would get.
    pub(crate) loading: Option<u64>,
    /// Makings whose memory is sealed, and that must be saved in a file before they are registered. The first one is being saved.
    pub(crate) saving: VecDeque<u64>,
    /// The plugins that have a publication under way on this tag.
    pub(crate) publishing: BTreeSet<PluginId>,
    pub(crate) watches: Vec<Watch>,
}

/// A plugin that wants the share of a tag.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) plugin: PluginId,
    pub(crate) request: u32,
    pub(crate) wanted: Wanted,
    /// The share that this plugin offers to make, and its own time limit for making it; `None` if it only waits.
    pub(crate) make: Option<(Facts, Duration)>,
    /// If the plugin offers to make the share but lacks the right: the failure that it is told if no other plugin makes it.
    pub(crate) forbidden: Option<Failure>,
    pub(crate) had: Option<VersionName>,
    /// Whether the plugin may be sent the file of a persistent share itself, which has no seals.
    pub(crate) trusts: bool,
    pub(crate) charge: Charge,
}

/// A plugin that wants to be told when the tag has another version than the one it has seen, or none.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) plugin: PluginId,
    pub(crate) request: u32,
    pub(crate) seen: Option<VersionName>,
    pub(crate) _charge: Charge,
}

impl Wish {
    /// Whether the plugin waits in the row while another one makes the share.
    pub(crate) fn waits_for_maker(&self) -> bool {
        self.make.is_some() || self.forbidden.is_some()
    }
}

impl Tag {
    /// Whether there is a share, or a plugin makes or waits for one: then no cell may have the tag.
    pub(crate) fn is_taken(&self) -> bool {
        !(self.share.is_none()
            && self.row.is_empty()
            && self.creation.is_none()
            && self.loading.is_none()
            && self.saving.is_empty()
            && self.publishing.is_empty())
    }

    /// Whether the tag may be forgotten.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_taken() && self.watches.is_empty()
    }

    /// Whether a plugin is in the row.
    pub(crate) fn has_wish_of(&self, plugin: PluginId) -> bool {
        self.row.iter().any(|wish| wish.plugin == plugin)
    }

    /// Removes the first wish from the row whose plugin offers to make the share, and returns it.
    pub(crate) fn next_maker(&mut self) -> Option<Wish> {
        let at = self.row.iter().position(|wish| wish.make.is_some())?;
        self.row.remove(at)
    }
}
