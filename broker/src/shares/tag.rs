//! A tag: the share that is found by it, and who waits for one.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use callgate_layout::control::{Failure, VersionName, Wanted};

use super::Facts;
use crate::id::PluginId;
use crate::quota::Charge;

/// A name that somebody wants, makes, has or watches.
#[derive(Debug, Default)]
pub(crate) struct Tag {
    /// What is found by it now.
    pub(crate) share: Option<u64>,
    /// Those that want it and are not served yet, the first one first.
    pub(crate) row: VecDeque<Wish>,
    /// The making of the plugin whose turn it was, until that has ended.
    pub(crate) creation: Option<u64>,
    /// The number of the version for which a file is looked for.
    pub(crate) loading: Option<u64>,
    /// Makings whose memory is sealed and that are kept in a file before they are registered; the first one is being written.
    pub(crate) saving: VecDeque<u64>,
    /// The plugins of which a publication is under way.
    pub(crate) publishing: BTreeSet<PluginId>,
    pub(crate) watches: Vec<Watch>,
}

/// A plugin that wants a tag.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) plugin: PluginId,
    pub(crate) request: u32,
    pub(crate) wanted: Wanted,
    /// What it would make, where it does, and how long it gives itself.
    pub(crate) make: Option<(Facts, Duration)>,
    /// Why it may not make it, where it would: what it is told if nobody does.
    pub(crate) forbidden: Option<Failure>,
    pub(crate) had: Option<VersionName>,
    /// Whether a persistent share's file itself will do.
    pub(crate) trusts: bool,
    pub(crate) charge: Charge,
}

/// A plugin that wants to be told when a tag does not stand as it has seen it.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) plugin: PluginId,
    pub(crate) request: u32,
    pub(crate) seen: Option<VersionName>,
    pub(crate) _charge: Charge,
}

impl Wish {
    /// Whether it waits for what another plugin makes.
    pub(crate) fn waits_for_maker(&self) -> bool {
        self.make.is_some() || self.forbidden.is_some()
    }
}

impl Tag {
    /// Whether there is a share, or somebody makes or waits for one, so that no cell may have the tag.
    pub(crate) fn is_taken(&self) -> bool {
        !(self.share.is_none()
            && self.row.is_empty()
            && self.creation.is_none()
            && self.loading.is_none()
            && self.saving.is_empty()
            && self.publishing.is_empty())
    }

    /// Whether there is nothing to keep.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_taken() && self.watches.is_empty()
    }

    /// Whether a plugin is in the row.
    pub(crate) fn has_wish_of(&self, plugin: PluginId) -> bool {
        self.row.iter().any(|wish| wish.plugin == plugin)
    }

    /// Takes the first wish out of those that would make it.
    pub(crate) fn next_maker(&mut self) -> Option<Wish> {
        let at = self.row.iter().position(|wish| wish.make.is_some())?;
        self.row.remove(at)
    }
}
