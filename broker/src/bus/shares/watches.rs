//! Watches: a plugin says which version of a tag it has seen, and is told once when the tag has another one or none.

use std::sync::Arc;

use callgate_layout::control::{Failure, ShareToPlugin, VersionName};

use crate::bus::{Bus, Weight};
use crate::id::PluginId;
use crate::shares::{Asked, Watch};

/// A plugin can have missed at most so many changes; older ones are not counted.
const MISSED: u64 = 1024;

impl Bus {
    /// A plugin asks to be told when a tag has another version than the one it has seen.
    pub(super) fn watch(
        &mut self,
        from: PluginId,
        request: u32,
        (tag, seen): (&str, Option<VersionName>),
    ) -> Weight {
        let member = self.members.get_mut(&from);
        // One watch for each `Changed` is not charged to the plugin's rate, because makers decide how often a tag changes.
        let left = member.and_then(|member| {
            member.share_news = member.share_news.checked_sub(1)?;
            Some(Weight::Expected)
        });
        if let Err(failure) = self.begin_watch(from, request, (tag, seen)) {
            self.answer(from, request, Some(failure));
        }
        left.unwrap_or(Weight::Charged)
    }

    fn begin_watch(
        &mut self,
        from: PluginId,
        request: u32,
        (tag, seen): (&str, Option<VersionName>),
    ) -> Result<(), Failure> {
        let tag = self.share_tag(tag)?;
        self.check_watch_share(from, &tag)?;
        let watch = Watch {
            plugin: from,
            request,
            seen,
            _charge: self.charge_share(from)?,
        };
        let now = self.seen_now(&tag);
        if seen != now {
            let is_news = self.is_news(from);
            self.tell_watch(watch, (now, is_news));
            return Ok(());
        }
        self.shares.ask(from, request, Asked::Tag(tag.clone()));
        self.shares.tag_mut(&tag).watches.push(watch);
        Ok(())
    }

    /// Whether a plugin may watch a tag: it needs the right to read it, or to make shares there, because a maker learns by making how the
    /// tag stands.
    pub(super) fn check_watch_share(&self, plugin: PluginId, tag: &str) -> Result<(), Failure> {
        let reads = self.check_read_share(plugin, tag);
        reads.or_else(|failure| self.check_create_share(plugin, tag).map_err(|_| failure))
    }

    /// Whether a watch that is answered at once counts as a change that the plugin has missed, so that its next watch is free. It does so
    /// at most as often as tags have changed: else a plugin that claims to have seen a version that never was could watch again and again
    /// without being charged.
    fn is_news(&mut self, plugin: PluginId) -> bool {
        let changes = self.shares.changes();
        let Some(member) = self.members.get_mut(&plugin) else {
            return false;
        };
        // Changes that are older than the last 1,024 are not counted.
        let counted = member.share_changes.max(changes.saturating_sub(MISSED));
        let is_news = counted < changes;
        member.share_changes = counted + u64::from(is_news);
        is_news
    }

    fn tell_watch(&mut self, watch: Watch, (now, is_news): (Option<VersionName>, bool)) {
        let (plugin, request) = (watch.plugin, watch.request);
        if let Some(member) = self.members.get_mut(&plugin).filter(|_| is_news) {
            member.share_news = member.share_news.saturating_add(1);
        }
        self.send(plugin, ShareToPlugin::Changed { request, now });
    }

    /// Returns the name of the newest version of a tag, or `None` if it has no share.
    fn seen_now(&self, tag: &str) -> Option<VersionName> {
        let share = self.shares.found(tag)?;
        Some(self.shares.newest(share)?.1.name)
    }

    /// Counts a change, and tells all plugins that watch the tag and have not seen the version that it has now.
    pub(super) fn tell_watches(&mut self, tag: &Arc<str>) {
        self.shares.has_changed();
        let now = self.seen_now(tag);
        let Some(of) = self.shares.known_tag_mut(tag) else {
            return;
        };
        let all = std::mem::take(&mut of.watches);
        let (same, told): (Vec<_>, Vec<_>) = all.into_iter().partition(|watch| watch.seen == now);
        of.watches = same;
        for watch in told {
            self.shares.over(watch.plugin, watch.request);
            self.tell_watch(watch, (now, true));
        }
    }

    /// A plugin ends a watch.
    pub(super) fn unwatch(&mut self, from: PluginId, request: u32) -> Weight {
        let Some(Asked::Tag(tag)) = self.shares.asked(from, request) else {
            return Weight::Charged;
        };
        let Some(of) = self.shares.known_tag_mut(&tag) else {
            return Weight::Charged;
        };
        let is_it = |watch: &Watch| (watch.plugin, watch.request) == (from, request);
        let Some(at) = of.watches.iter().position(is_it) else {
            return Weight::Charged;
        };
        of.watches.remove(at);
        self.shares.over(from, request);
        self.shares.tidy(&tag);
        Weight::Expected
    }
}
