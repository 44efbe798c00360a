//! Persistent shares: a version is saved in a file before it is registered, the file of a tag is loaded when a plugin wants the tag and
//! there is no share, and files are removed on request.
//!
//! The shell reads and writes the files on one helper thread, one task at a time. That thread saves and removes in the order of the
//! effects, and does both before it loads.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, VersionName};

use super::wants::no_share;
use crate::bus::{Bus, Weight};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::shares::{Facts, Kept, Maker, Making, Progress, Version, Wish, invalid};

impl Bus {
    /// Stores whether this broker can keep persistent shares, or why it cannot.
    pub(crate) fn keep_files(&mut self, keeps: Result<(), String>) {
        self.no_files = keeps.err();
    }

    /// Whether a sealed version must be saved in a file before it is registered. Also true if an earlier version of the same tag is being
    /// saved: the versions of a tag are registered in order.
    pub(super) fn must_be_saved(&self, number: u64) -> bool {
        let making = self.shares.making(number);
        making
            .filter(|making| !making.is_twin())
            .is_some_and(|making| {
                let of = self.shares.tag(&making.tag);
                self.is_persistent(making) || of.is_some_and(|of| !of.saving.is_empty())
            })
    }

    /// Whether a version outlives all plugins and brokers: either its maker asks for that, or the share that it is published on is
    /// persistent.
    fn is_persistent(&self, making: &Making) -> bool {
        let found = self.shares.found(&making.tag);
        let newest = found.and_then(|share| self.shares.newest(share));
        making.facts.persistent || newest.is_some_and(|(_, newest)| newest.facts.persistent)
    }

    pub(super) fn wait_to_be_saved(&mut self, number: u64, now: Instant) {
        let Some(making) = self.shares.making_mut(number) else {
            return;
        };
        making.progress = Progress::Saving;
        let tag = making.tag.clone();
        let saving = &mut self.shares.tag_mut(&tag).saving;
        saving.push_back(number);
        if saving.len() == 1 {
            self.save_next(&tag, now);
        }
    }

    /// Has the shell save the first of the versions that wait to be saved for this tag.
    pub(super) fn save_next(&mut self, tag: &Arc<str>, now: Instant) {
        let first = self.shares.tag(tag).and_then(|of| of.saving.front());
        let Some(number) = first.copied() else {
            return;
        };
        let Some(making) = self.shares.making(number) else {
            return;
        };
        if making.saved_as.is_some() {
            return;
        }
        // A version that will not be registered must not replace the file that is there.
        if !self.is_persistent(making) || !self.may_be_registered(making) {
            return self.saved(number, now);
        }
        let name = self.name_for(number, making);
        let kept = Kept {
            tag: tag.clone(),
            name,
            len: making.len,
            form: making.facts.form,
            maker: self.name_of(making.plugin),
            signature: making.facts.signature.clone(),
            schema: making.facts.held.schema.bytes.clone(),
        };
        if let Some(making) = self.shares.making_mut(number) {
            making.saved_as = Some(name);
            making.facts.persistent = true;
        }
        self.effects.push_back(Effect::Save {
            version: number,
            kept,
        });
    }

    /// Called by the shell when it has saved a version in a file, or failed to.
    pub(crate) fn version_saved(
        &mut self,
        number: u64,
        saved: Result<VersionName, Failure>,
        now: Instant,
    ) {
        let making = self.shares.making_mut(number);
        let Some(making) = making.filter(|making| making.progress == Progress::Saving) else {
            return;
        };
        match saved {
            Ok(name) => {
                // Where there is no share, only the file has the number of the version before; the shell has counted on from that.
                making.saved_as = Some(name);
                self.saved(number, now);
            }
            Err(failure) => self.lose_making(number, (&failure, true), now),
        }
    }

    fn saved(&mut self, number: u64, now: Instant) {
        let Some(tag) = self.shares.making(number).map(|making| making.tag.clone()) else {
            return;
        };
        self.register(number, now);
        self.save_next(&tag, now);
        self.shares.tidy(&tag);
    }

    /// Puts a plugin into the row of a tag, and has the shell look for the tag's file unless it does so already.
    pub(super) fn wait_for_file(&mut self, tag: &Arc<str>, wish: Wish) {
        let trusts = wish.trusts;
        self.wait(tag, wish);
        let (version, share) = (self.shares.number(), self.shares.number());
        let of = self.shares.tag_mut(tag);
        if of.loading.is_some() {
            return;
        }
        of.loading = Some(version);
        self.effects.push_back(Effect::Load {
            version,
            share,
            tag: tag.clone(),
            in_place: trusts && of.share.is_none(),
        });
    }

    /// Returns the plugins that wait for a tag.
    pub(crate) fn waiting_for(&self, tag: &str) -> Vec<PluginId> {
        let row = self.shares.tag(tag).into_iter().flat_map(|of| &of.row);
        row.map(|wish| wish.plugin).collect()
    }

    /// Called by the shell when it has found the file of a tag, or found that there is none, or failed.
    pub(crate) fn version_loaded(
        &mut self,
        (version, share): (u64, u64),
        tag: &Arc<str>,
        found: Result<Option<(Kept, bool)>, Failure>,
        now: Instant,
    ) {
        let Some(of) = self.shares.known_tag_mut(tag) else {
            return self.drop_loaded((version, share), &found);
        };
        of.loading.take_if(|loading| *loading == version);
        let is_awaited = !of.row.is_empty();
        match found {
            Ok(Some((kept, in_place))) if is_awaited && self.may_be_loaded(tag, &kept) => {
                self.loaded((version, share), tag, (kept, in_place));
            }
            found => {
                self.drop_loaded((version, share), &found);
                if let Err(failure) = found {
                    self.refuse_row(tag, &failure);
                }
            }
        }
        match self.shares.found(tag) {
            Some(share) => {
                self.serve_found(tag, share);
                self.review_use(share, now);
            }
            None => self.next_in_row(tag, now),
        }
        self.shares.tidy(tag);
    }

    /// Whether a version that was loaded from a file may become the newest version of its tag: either there is no share, or the share's
    /// newest version is the very file (`in_place`) under the same name, of which this is a sealed copy.
    fn may_be_loaded(&self, tag: &str, kept: &Kept) -> bool {
        let share = self.shares.found(tag);
        let newest = share.and_then(|share| self.shares.newest(share));
        newest.is_none_or(|(_, newest)| newest.in_place && newest.name == kept.name)
    }

    fn loaded(
        &mut self,
        (version, share): (u64, u64),
        tag: &Arc<str>,
        (kept, in_place): (Kept, bool),
    ) {
        match self.loaded_version(share, kept, in_place) {
            Ok(loaded) => {
                self.add_newest(tag, (version, loaded));
                self.tell_watches(tag);
            }
            Err(failure) => {
                self.let_loaded_go((version, share));
                self.refuse_row(tag, &failure);
            }
        }
    }

    fn loaded_version(
        &mut self,
        share: u64,
        kept: Kept,
        in_place: bool,
    ) -> Result<Version, Failure> {
        let held = self.schemas.hold(&kept.schema);
        let held =
            held.map_err(|error| invalid(&format!("the file's schema is wrong: {error}")))?;
        let facts = Facts {
            form: kept.form,
            held,
            signature: kept.signature,
            json: false,
            persistent: true,
        };
        facts.check()?;
        // In place, the version takes no memory beside the file: the bus is charged the smallest amount, holders nothing.
        let mut charged =
            self.charge_version(None, if in_place { 1 } else { kept.len }, &kept.tag)?;
        if in_place {
            charged.mib = 0;
        }
        Ok(Version {
            share,
            name: kept.name,
            len: kept.len,
            facts,
            maker: Maker {
                plugin: None,
                name: kept.maker,
            },
            in_place,
            charged,
            holders: Default::default(),
            is_superseded: false,
            twin_of: None,
            twin: None,
            conversions: Default::default(),
        })
    }

    fn drop_loaded(&mut self, numbers: (u64, u64), found: &Result<Option<(Kept, bool)>, Failure>) {
        if let Ok(Some(_)) = found {
            self.let_loaded_go(numbers);
        }
    }

    fn let_loaded_go(&mut self, (version, share): (u64, u64)) {
        self.effects.push_back(Effect::LetGo {
            memory: AnyMemory::Version(version),
            users: [PluginId(0); 2],
            serial: None,
        });
        self.effects.push_back(Effect::EndShare(share));
    }

    /// Refuses all plugins that wait for a tag, with this failure.
    fn refuse_row(&mut self, tag: &Arc<str>, failure: &Failure) {
        let row = self.shares.known_tag_mut(tag).map(|of| &mut of.row);
        for wish in row.map(std::mem::take).unwrap_or_default() {
            self.shares.over(wish.plugin, wish.request);
            self.answer(wish.plugin, wish.request, Some(failure.clone()));
        }
    }

    /// Gives the share to all plugins that wait for its tag. A plugin that does not trust its peers may not be sent the file itself: it
    /// waits for a sealed copy once. If only such plugins wait and there is still no copy, all of them are refused, so that the shell does
    /// not load the file again and again.
    fn serve_found(&mut self, tag: &Arc<str>, share: u64) {
        let is_copy_missing = self
            .shares
            .newest(share)
            .is_some_and(|(_, newest)| newest.in_place)
            && self
                .shares
                .tag(tag)
                .is_some_and(|of| of.row.iter().all(|wish| !wish.trusts));
        match is_copy_missing {
            true => self.refuse_row(tag, &no_share(tag)),
            false => self.serve_row(tag, share),
        }
    }

    /// A plugin asks to remove a persistent share.
    pub(super) fn remove_file(&mut self, from: PluginId, request: u32, tag: &str) -> Weight {
        let removed = self.share_tag(tag).and_then(|tag| {
            self.check_create_share(from, &tag)?;
            match &self.no_files {
                Some(why) => {
                    let message = format!("there is no persistent share {tag}: {why}");
                    Err(Failure::new(Code::NotReady, message))
                }
                None => Ok(tag),
            }
        });
        match removed {
            Ok(tag) => self
                .effects
                .push_back(Effect::RemoveFile { from, request, tag }),
            Err(failure) => self.answer(from, request, Some(failure)),
        }
        Weight::Charged
    }

    /// Called by the shell when it has removed the file of a tag, or found none. Plugins that use the share keep it; nobody finds it by the
    /// tag any more.
    pub(crate) fn file_removed(
        &mut self,
        (from, request): (PluginId, u32),
        tag: &Arc<str>,
        removed: Result<bool, Failure>,
        now: Instant,
    ) {
        let failure = match removed {
            Ok(true) => {
                self.hide(tag, now);
                None
            }
            Ok(false) => {
                let message = format!("there is no persistent share {tag}");
                Some(Failure::new(Code::NotReady, message))
            }
            Err(failure) => Some(failure),
        };
        if self.members.contains_key(&from) {
            self.answer(from, request, failure);
        }
    }

    fn hide(&mut self, tag: &Arc<str>, now: Instant) {
        let share = self.shares.found(tag);
        let newest = share.and_then(|share| self.shares.newest(share));
        let is_persistent = newest.is_some_and(|(_, newest)| newest.facts.persistent);
        let (Some(share), true) = (share, is_persistent) else {
            return;
        };
        self.shares.tag_mut(tag).share = None;
        let publications = self.shares.share_mut(share).map(|share| {
            share.is_removed = true;
            share.publications.clone()
        });
        self.effects.push_back(Effect::Hidden(share));
        let message = format!("the share {tag} was removed meanwhile");
        let failure = Failure::new(Code::Cancelled, message);
        for making in publications.into_iter().flatten() {
            let saved_as = self.shares.making(making).map(|making| making.saved_as);
            if let Some(Some(_)) = saved_as {
                // The shell has saved this version already, or will: have that file removed as well, before the next version of the tag is
                // saved.
                let (from, request) = (PluginId(0), 0);
                let tag = tag.clone();
                self.effects
                    .push_back(Effect::RemoveFile { from, request, tag });
            }
            self.lose_making(making, (&failure, true), now);
        }
        self.tell_watches(tag);
        self.shares.tidy(tag);
    }
}
