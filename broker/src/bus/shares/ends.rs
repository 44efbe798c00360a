//! What the broker does with shares when a plugin ends, or when a new policy takes rights from plugins.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::{Failure, ShareToPlugin};

use crate::bus::Bus;
use crate::id::PluginId;

impl Bus {
    /// Forgets a plugin that has ended. Other plugins keep the versions that it has made; what it was making, the next plugin in the row
    /// makes.
    pub(in crate::bus) fn forget_shares(
        &mut self,
        plugin: PluginId,
        failure: &Failure,
        now: Instant,
    ) {
        self.shares.all_over(plugin);
        self.shares.forget_waiting(plugin);
        // First of all, the versions of this plugin that wait for sealing are forgotten: else each of its makings that ends below would let
        // the next one of them begin.
        self.shares.sealing.forget_plugin(plugin);
        // The plugin's wishes are removed before its makings end: a making that ends calls the next maker in the row, which must not be
        // this plugin.
        for tag in self.shares.tags() {
            if let Some(of) = self.shares.known_tag_mut(&tag) {
                of.row.retain(|wish| wish.plugin != plugin);
                of.watches.retain(|watch| watch.plugin != plugin);
            }
            self.shares.tidy(&tag);
        }
        for making in self.makings_of(plugin) {
            self.lose_making(making, (failure, false), now);
        }
        for version in self.shares.versions_of(plugin) {
            if let Some(version) = self.shares.version_mut(version) {
                version.maker.plugin = None;
                version.charged.maker = None;
            }
        }
        for share in self.shares_of(plugin) {
            self.leave_share(plugin, share, now);
        }
    }

    fn makings_of(&self, plugin: PluginId) -> Vec<u64> {
        let makings = self.shares.makings();
        let makings = makings.filter(|(_, making)| making.plugin == plugin);
        makings.map(|(number, _)| number).collect()
    }

    fn shares_of(&self, plugin: PluginId) -> Vec<u64> {
        let shares = self.shares.all();
        let shares = shares.filter(|(_, share)| share.users.contains_key(&plugin));
        shares.map(|(number, _)| number).collect()
    }

    /// Called after a change of policy: refuses requests that the policy no longer allows, ends such makings, and revokes shares from users
    /// that may not read them any more.
    pub(in crate::bus) fn review_shares(&mut self, now: Instant) {
        for tag in self.shares.tags() {
            self.review_row(&tag);
            self.review_watches(&tag);
            self.shares.tidy(&tag);
        }
        self.review_makings(now);
        self.review_users(now);
    }

    fn review_row(&mut self, tag: &Arc<str>) {
        let row = self.shares.known_tag_mut(tag).map(|of| &mut of.row);
        for wish in row.map(std::mem::take).unwrap_or_default() {
            let may = match wish.make {
                Some(_) => self.check_create_share(wish.plugin, tag),
                None => self.check_read_share(wish.plugin, tag),
            };
            match may {
                Ok(()) => self.shares.tag_mut(tag).row.push_back(wish),
                Err(failure) => {
                    self.shares.over(wish.plugin, wish.request);
                    self.answer(wish.plugin, wish.request, Some(failure));
                }
            }
        }
    }

    fn review_watches(&mut self, tag: &Arc<str>) {
        let watches = self.shares.known_tag_mut(tag).map(|of| &mut of.watches);
        for watch in watches.map(std::mem::take).unwrap_or_default() {
            match self.check_watch_share(watch.plugin, tag) {
                Ok(()) => self.shares.tag_mut(tag).watches.push(watch),
                Err(failure) => {
                    self.shares.over(watch.plugin, watch.request);
                    self.answer(watch.plugin, watch.request, Some(failure));
                }
            }
        }
    }

    fn review_makings(&mut self, now: Instant) {
        // A twin only converts what its maker has published before: its maker may finish it without the right to create.
        let makings = self.shares.makings();
        let makings = makings.filter(|(_, making)| !making.is_twin());
        let refused = makings.filter_map(|(number, making)| {
            let may = self.check_create_share(making.plugin, &making.tag);
            Some((number, may.err()?))
        });
        let refused: Vec<(u64, Failure)> = refused.collect();
        for (making, failure) in refused {
            self.lose_making(making, (&failure, true), now);
        }
    }

    fn review_users(&mut self, now: Instant) {
        let mut revoked = Vec::new();
        for (number, share) in self.shares.all() {
            let Some((_, newest)) = self.shares.newest(number) else {
                continue;
            };
            for user in share.users.keys() {
                if let Err(failure) = self.check_use(*user, &share.tag, newest) {
                    revoked.push((*user, number, failure));
                }
            }
        }
        for (user, share, failure) in revoked {
            self.leave_share(user, share, now);
            self.tell(user, ShareToPlugin::Revoked { share, failure });
        }
    }
}
