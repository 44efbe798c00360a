//! Watches: who is told, once, when a tag does not stand as it was seen.

use std::sync::Arc;

use callgate_layout::control::{Failure, ShareToPlugin, VersionName};

use crate::bus::{Bus, Weight};
use crate::id::PluginId;
use crate::shares::{Asked, Watch};

/// So many changes one plugin may have missed.
const MISSED: u64 = 1024;

impl Bus {
    /// A plugin wants to be told.
    pub(super) fn watch(
        &mut self,
        from: PluginId,
        request: u32,
        (tag, seen): (&str, Option<VersionName>),
    ) -> Weight {
        let member = self.members.get_mut(&from);
        // How often there is news, its makers decide.
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

    /// Whether a plugin may be told how a tag stands: also who may make shares there, and finds out by that.
    pub(super) fn check_watch_share(&self, plugin: PluginId, tag: &str) -> Result<(), Failure> {
        let reads = self.check_read_share(plugin, tag);
        reads.or_else(|failure| self.check_create_share(plugin, tag).map_err(|_| failure))
    }

    /// Whether a plugin that is told at once may have missed a change: as often as there were any. Else one that says it has seen what never
    /// was could go on asking for nothing.
    fn is_news(&mut self, plugin: PluginId) -> bool {
        let changes = self.shares.changes();
        let Some(member) = self.members.get_mut(&plugin) else {
            return false;
        };
        // Those of long ago it has not missed just now.
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

    /// Which version a tag has now.
    fn seen_now(&self, tag: &str) -> Option<VersionName> {
        let share = self.shares.found(tag)?;
        Some(self.shares.newest(share)?.1.name)
    }

    /// Tells those that have seen a tag as it is not now.
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

    /// A plugin need not be told any more.
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
