//! Watches: who is told, once, when a tag does not stand as it was seen.

use std::sync::Arc;

use callgate_layout::control::{Failure, ShareToPlugin, VersionName};

use crate::bus::{Bus, Weight};
use crate::id::PluginId;
use crate::shares::{Asked, Watch};

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
        self.check_read_share(from, &tag)?;
        let watch = Watch {
            plugin: from,
            request,
            seen,
            _charge: self.charge_share(from)?,
        };
        let now = self.seen_now(&tag);
        if seen != now {
            self.tell_watch(watch, now);
            return Ok(());
        }
        self.shares.ask(from, request, Asked::Tag(tag.clone()));
        self.shares.tag_mut(&tag).watches.push(watch);
        Ok(())
    }

    fn tell_watch(&mut self, watch: Watch, now: Option<VersionName>) {
        let (plugin, request) = (watch.plugin, watch.request);
        if let Some(member) = self.members.get_mut(&plugin) {
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
        let now = self.seen_now(tag);
        let Some(of) = self.shares.known_tag_mut(tag) else {
            return;
        };
        let all = std::mem::take(&mut of.watches);
        let (same, told): (Vec<_>, Vec<_>) = all.into_iter().partition(|watch| watch.seen == now);
        of.watches = same;
        for watch in told {
            self.shares.over(watch.plugin, watch.request);
            self.tell_watch(watch, now);
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
