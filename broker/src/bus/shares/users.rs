//! Users of shares: giving a share to a plugin, sending versions, and what plugins say when they let go.

use std::time::Instant;

use callgate_layout::control::{Failure, Form, ShareFit, ShareToPlugin, Wanted};
use callgate_layout::{Code, Encoding};

use super::never_was;
use super::wants::no_share;
use crate::bus::schemas::part;
use crate::bus::{Bus, Weight};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::shares::{Asked, User, Version, Wish, invalid};

impl Bus {
    /// Whether the newest version of a share may be sent to a plugin. A version that is the file itself (`in_place`) has no seals, and goes
    /// only to plugins that trust their peers.
    pub(super) fn may_be_sent(&self, share: u64, wish: &Wish) -> bool {
        let newest = self.shares.newest(share);
        newest.is_none_or(|(_, newest)| !newest.in_place || wish.trusts)
    }

    /// Gives a plugin the share that it wants, or answers with a failure.
    pub(super) fn serve(&mut self, share: u64, wish: Wish) {
        let (to, request) = (wish.plugin, wish.request);
        self.shares.over(to, request);
        if let Err(failure) = self.try_serve(share, wish) {
            self.answer(to, request, Some(failure));
        }
    }

    fn try_serve(&mut self, share: u64, wish: Wish) -> Result<(), Failure> {
        let (to, request) = (wish.plugin, wish.request);
        let tag = self.shares.share(share).map(|share| share.tag.clone());
        let (Some(tag), Some((number, newest))) = (tag, self.shares.newest(share)) else {
            return Ok(());
        };
        self.check_use(to, &tag, newest)?;
        let fit = self.fit(&tag, newest, &wish.wanted)?;
        let is_same = fit == ShareFit::Same;
        let has_memory = is_same && wish.had != Some(newest.name);
        let is_held = newest.holders.contains_key(&to);
        // The maker of a version was charged for it before it was made.
        if has_memory && !is_held && newest.maker.plugin != Some(to) {
            self.check_room(to)?;
        }
        let schema = &newest.facts.held.schema;
        let differs = (!is_same).then_some((schema.number, schema.bytes.len()));
        let record = ShareToPlugin::Have {
            request,
            share,
            version: newest.told(number),
            fit,
            has_memory,
            persistent: newest.facts.persistent,
        };
        self.let_fetch(to, [differs, None]);
        let brought = is_same && !is_held;
        if let Some(version) = self.shares.version_mut(number).filter(|_| is_same) {
            version.holders.entry(to).or_insert(None);
        }
        self.add_user(share, wish, brought.then_some(number));
        self.effects.push_back(Effect::Have {
            to,
            share,
            version: has_memory.then_some(number),
            record,
        });
        Ok(())
    }

    fn add_user(&mut self, share: u64, wish: Wish, brought: Option<u64>) {
        let (plugin, request) = (wish.plugin, wish.request);
        let Some(of) = self.shares.share_mut(share) else {
            return;
        };
        let user = of.users.entry(plugin);
        let user = user.or_insert_with(|| User::new(wish.charge));
        if brought.is_none() {
            user.is_sent_again(of.newest);
        }
        let over = user.is_told(request, brought);
        self.shares.ask(plugin, request, Asked::Share(share));
        if let Some(old) = over {
            self.shares.over(plugin, old);
        }
    }

    /// Whether a plugin may have a version: it needs the right to read the tag, or, for a version of its own, the right to create there.
    pub(super) fn check_use(
        &self,
        plugin: PluginId,
        tag: &str,
        version: &Version,
    ) -> Result<(), Failure> {
        let reads = self.check_read_share(plugin, tag);
        match version.maker.plugin == Some(plugin) {
            true => reads.or_else(|_| self.check_create_share(plugin, tag)),
            false => reads,
        }
    }

    /// Whether the type of a version is the wanted one, or differs but can be converted; otherwise a failure that says why not.
    fn fit(&self, tag: &str, newest: &Version, wanted: &Wanted) -> Result<ShareFit, Failure> {
        if newest.facts.fits(wanted) {
            return Ok(ShareFit::Same);
        }
        let why = match self.can_be_converted(newest) {
            // A slice of numbers is converted by its reader, so its maker is not needed.
            Err(why) if newest.facts.form != Form::Slice => why,
            _ if wanted.exact => "it was not to be converted",
            _ => {
                return Ok(ShareFit::Differs {
                    schema: newest.facts.held.schema.number,
                    form: newest.facts.form,
                });
            }
        };
        let (its, theirs) = (&newest.facts.signature, &wanted.signature);
        // The same text can stand for two types: types of one name with other fields, or a slice and the vector of its numbers. The message
        // then says what differs.
        let differs = match its == theirs {
            true if newest.facts.form == Form::Slice => " as a value, and not as a slice,",
            true if wanted.form == Form::Slice => " as a slice, and not as a value,",
            true => " with other fields or variants",
            false => "",
        };
        let maker = &newest.maker.name;
        let message =
            format!("the share {tag} is {its} by {maker}, and {theirs}{differs} is wanted; {why}");
        Err(Failure::new(Code::ShareTypeMismatch, message))
    }

    /// Refuses further versions to a plugin that is charged for more superseded versions than its limit.
    pub(super) fn check_room(&self, plugin: PluginId) -> Result<(), Failure> {
        let member = self.members.get(&plugin);
        let Some(quota) = member
            .map(|member| &member.share_mib)
            .filter(|own| own.is_exceeded())
        else {
            return Ok(());
        };
        let (limit, used) = (quota.limit(), quota.used());
        let message = format!(
            "this plugin keeps {used} MiB of shares, more than the {limit} MiB that it may: let older versions go \
             before a newer one is read"
        );
        Err(Failure::new(Code::Overloaded, message))
    }

    /// A plugin asks for the newest version of a share that it has.
    pub(super) fn fetch(
        &mut self,
        from: PluginId,
        request: u32,
        (share, encoding): (u64, Encoding),
        now: Instant,
    ) -> Weight {
        let fetched = self.check_has(from, share).and_then(|()| match encoding {
            Encoding::Archive => {
                let newest = self.shares.newest(share);
                let number = newest.map(|(number, _)| number);
                number.map_or(Ok(false), |number| self.send_version(from, request, number))
            }
            Encoding::Json => self.fetch_twin(from, request, share, now),
        });
        match fetched {
            // The first fetch of each version is not charged to the plugin's rate, because makers decide how often there is a new one. A
            // fetch of the same version after `Done` is charged, because the plugin decides about that.
            Ok(true) if self.is_first_fetch(from, (share, encoding)) => Weight::Expected,
            Ok(_) => Weight::Charged,
            Err(failure) => {
                self.answer(from, request, Some(failure));
                Weight::Charged
            }
        }
    }

    /// Whether a plugin fetches the newest version of a share for the first time, in this encoding.
    fn is_first_fetch(&mut self, plugin: PluginId, (share, encoding): (u64, Encoding)) -> bool {
        let newest = self.shares.newest(share);
        let number = newest.map_or(0, |(_, newest)| newest.name.number);
        let user = self.shares.user_mut(share, plugin);
        user.is_some_and(|user| user.is_first_fetch(number, encoding))
    }

    /// Fails if a plugin does not have a share, or may not read it any more.
    pub(super) fn check_has(&self, plugin: PluginId, share: u64) -> Result<(), Failure> {
        let of = self.shares.share(share);
        let of = of.filter(|of| of.users.contains_key(&plugin));
        let of = of.ok_or_else(|| invalid("this plugin has no such share (any more)"))?;
        match self.shares.newest(share) {
            Some((_, newest)) => self.check_use(plugin, &of.tag, newest),
            None => Err(no_share(&of.tag)),
        }
    }

    /// Sends a version to a plugin. Returns true if the plugin did not hold the version before.
    pub(super) fn send_version(
        &mut self,
        to: PluginId,
        request: u32,
        number: u64,
    ) -> Result<bool, Failure> {
        let version = self.shares.version(number);
        let is_new = version.is_some_and(|version| !version.holders.contains_key(&to));
        if is_new {
            self.check_room(to)?;
        }
        let Some(version) = self.shares.version_mut(number) else {
            return Ok(false);
        };
        let (mib, told, share) = (version.charged.mib, version.told(number), version.share);
        if is_new {
            let member = self
                .members
                .get(&to)
                .filter(|_| version.is_charged_to_holders());
            let charge = member.map(|member| member.share_mib.charge_beyond(mib));
            version.holders.insert(to, charge);
        } else if let Some(user) = self.shares.user_mut(share, to) {
            user.is_sent_again(number);
        }
        self.effects.push_back(Effect::SendVersion {
            to,
            version: number,
            record: ShareToPlugin::Version {
                request,
                version: told,
            },
        });
        Ok(is_new)
    }

    /// Returns a part of the schema of a share, and the length of the whole schema.
    pub(super) fn part_of_share(
        &self,
        plugin: PluginId,
        (share, schema): (u64, u64),
        offset: u32,
    ) -> Result<(u32, Vec<u8>), Failure> {
        self.check_has(plugin, share)?;
        let newest = self.shares.newest(share);
        let held = newest.map(|(_, newest)| &newest.facts.held.schema);
        match held.filter(|held| held.number == schema) {
            Some(held) => part(held, offset),
            None => Err(Failure::new(
                Code::NotReady,
                "the share has no such schema now",
            )),
        }
    }

    /// A plugin says `Done`: it has let go of a superseded version or a twin.
    pub(super) fn done(&mut self, from: PluginId, version: u64) -> Result<Weight, Failure> {
        if !self.shares.was_given(version) {
            return Err(never_was("version"));
        }
        match self.let_go_of(from, version) {
            true => Ok(Weight::Expected),
            false => Ok(Weight::Charged),
        }
    }

    /// A plugin says `Relinquish`: it has let go of a share.
    pub(super) fn relinquish(
        &mut self,
        from: PluginId,
        share: u64,
        now: Instant,
    ) -> Result<Weight, Failure> {
        if !self.shares.was_given(share) {
            return Err(never_was("share"));
        }
        match self.leave_share(from, share, now) {
            true => Ok(Weight::Expected),
            false => Ok(Weight::Charged),
        }
    }

    /// Ends a plugin's use of a share and of all its versions. Returns false if it was not a user.
    pub(super) fn leave_share(&mut self, plugin: PluginId, share: u64, now: Instant) -> bool {
        let Some(of) = self.shares.share_mut(share) else {
            return false;
        };
        let Some(user) = of.users.remove(&plugin) else {
            return false;
        };
        let versions = of.versions();
        for request in user.requests() {
            self.shares.over(plugin, request);
        }
        for version in versions {
            self.let_go_of(plugin, version);
        }
        self.review_use(share, now);
        true
    }
}
