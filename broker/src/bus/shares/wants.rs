//! A plugin wants a tag: it is given the share, or one of the plugins that want it makes it and the others wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, ShareToBroker, ShareToPlugin};

use crate::bus::{Awaited, Bus, Weight};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::shares::{Asked, Kind, Making, Progress, Wish, check_wanted, invalid};

impl Bus {
    /// A plugin asks for the share of a tag.
    pub(super) fn want(&mut self, from: PluginId, record: ShareToBroker, now: Instant) -> Weight {
        let ShareToBroker::Want {
            request,
            tag,
            wanted,
            make,
            within,
            had,
            trusts,
        } = record
        else {
            return Weight::Charged;
        };
        let weight = self.weigh_share(from, had.is_some());
        let facts = make.map(|make| self.facts_of(from, &tag, make)).transpose();
        let wish = facts.and_then(|facts| {
            let tag = self.share_tag(&tag)?;
            check_wanted(&wanted)?;
            let make = match facts {
                Some(_) if within == 0 => return Err(invalid("a share is to be made in no time")),
                Some(facts) if !facts.fits(&wanted) => {
                    return Err(invalid("what would be made is not what is wanted"));
                }
                facts => facts.map(|facts| (facts, Duration::from_millis(within.into()))),
            };
            let forbidden = self.check_want(from, &tag, make.is_some())?;
            let charge = self.charge_share(from)?;
            let wish = Wish {
                plugin: from,
                request,
                wanted,
                make: make.filter(|_| forbidden.is_none()),
                forbidden,
                had,
                trusts,
                charge,
            };
            Ok((tag, wish))
        });
        match wish {
            Ok((tag, wish)) => self.serve_or_wait(&tag, wish, now),
            Err(failure) => self.answer(from, request, Some(failure)),
        }
        weight
    }

    /// Fails if a plugin may neither read nor make the share of a tag, or waits for it already. `Ok(Some(failure))` if the plugin offers to
    /// make the share but lacks the right: it may still use what others make.
    fn check_want(
        &self,
        from: PluginId,
        tag: &str,
        makes: bool,
    ) -> Result<Option<Failure>, Failure> {
        // A plugin that may create may use what it makes without the right to read; to use what others have made, it needs the right to
        // read.
        let create = match makes {
            true => self.check_create_share(from, tag).err(),
            false => None,
        };
        if !makes || create.is_some() {
            let read = self.check_read_share(from, tag);
            read.map_err(|read| create.clone().unwrap_or(read))?;
        }
        let of = self.shares.tag(tag);
        let creation = of.and_then(|of| self.shares.making(of.creation?));
        let waits = of.is_some_and(|of| of.has_wish_of(from));
        match waits || creation.is_some_and(|making| making.plugin == from) {
            true => Err(invalid("this plugin waits for this share already")),
            false => Ok(create),
        }
    }

    /// Gives a plugin the share that it wants, or puts it into the row of the tag, or tells it that there is no share.
    pub(super) fn serve_or_wait(&mut self, tag: &Arc<str>, wish: Wish, now: Instant) {
        let (makes, waits) = (wish.make.is_some(), wish.waits_for_maker());
        let (of, no_files) = (self.shares.tag_mut(tag), self.no_files.is_some());
        let (share, is_loading) = (of.share, of.loading.is_some());
        let is_made = of.creation.is_some();
        match share {
            Some(share) if self.may_be_sent(share, &wish) => self.serve(share, wish),
            // The share's newest version is the file itself, and this plugin does not trust its peers: it waits for a sealed copy.
            Some(_) => self.wait_for_file(tag, wish),
            None if is_loading => self.wait(tag, wish),
            None if is_made && waits => self.wait(tag, wish),
            None if is_made || no_files && !makes => self.tell_absent(tag, wish),
            None if no_files => {
                self.wait(tag, wish);
                self.next_in_row(tag, now);
            }
            None => self.wait_for_file(tag, wish),
        }
        self.shares.tidy(tag);
    }

    /// Tells a plugin that there is no share; or, if it offered to make it, why it may not.
    fn tell_absent(&mut self, tag: &str, wish: Wish) {
        let (to, request) = (wish.plugin, wish.request);
        let failure = wish.forbidden.unwrap_or_else(|| no_share(tag));
        self.answer(to, request, Some(failure));
    }

    /// Puts a plugin at the end of the row of a tag.
    pub(super) fn wait(&mut self, tag: &Arc<str>, wish: Wish) {
        let about = Asked::Tag(tag.clone());
        self.shares.ask(wish.plugin, wish.request, about);
        self.shares.tag_mut(tag).row.push_back(wish);
    }

    /// If a tag has no share and nobody makes one or looks for its file, has the first plugin in the row that offers to make it do so.
    /// Plugins that cannot wait for a maker, or all if there is no maker, are told that there is no share.
    pub(super) fn next_in_row(&mut self, tag: &Arc<str>, now: Instant) {
        let Some(of) = self.shares.known_tag_mut(tag) else {
            return;
        };
        if of.share.is_some() || of.creation.is_some() || of.loading.is_some() {
            return;
        }
        let maker = of.next_maker();
        let row = std::mem::take(&mut of.row).into_iter();
        let stays = |wish: &Wish| maker.is_some() && wish.waits_for_maker();
        let (waiting, readers): (Vec<Wish>, Vec<Wish>) = row.partition(stays);
        of.row = waiting.into();
        for wish in readers {
            self.shares.over(wish.plugin, wish.request);
            self.tell_absent(tag, wish);
        }
        if let Some(wish) = maker {
            self.call(tag, wish, now);
        }
        self.shares.tidy(tag);
    }

    /// Asks a plugin, by `Create`, to make a share.
    fn call(&mut self, tag: &Arc<str>, wish: Wish, now: Instant) {
        let (to, request) = (wish.plugin, wish.request);
        let Some((facts, within)) = wish.make.clone() else {
            return;
        };
        let (share, making) = (self.shares.number(), self.shares.number());
        let called = Making {
            plugin: to,
            tag: tag.clone(),
            facts,
            kind: Kind::Create(wish),
            progress: Progress::Called,
            share,
            len: 0,
            charged: None,
            saved_as: None,
        };
        self.shares.add_making(making, called);
        self.shares.tag_mut(tag).creation = Some(making);
        let due = Some(now + within);
        self.deadlines.set(Awaited::Making(making), due);
        let create = ShareToPlugin::Create { request, making };
        self.ask(to, Effect::Send(to, create.into()));
    }

    /// A plugin gives up a request for a tag (`Forgo`): it leaves the row, or its making ends.
    pub(super) fn forgo(&mut self, from: PluginId, request: u32, now: Instant) -> Weight {
        let tag = match self.shares.asked(from, request) {
            None => return Weight::Charged,
            // The plugin gave up while the answer was under way.
            Some(Asked::Share(share)) => {
                self.shares.over(from, request);
                self.forgo_share(from, (request, share), now);
                return Weight::Expected;
            }
            Some(Asked::Tag(tag)) => tag,
        };
        let Some(of) = self.shares.known_tag_mut(&tag) else {
            return Weight::Charged;
        };
        let is_it = |wish: &Wish| (wish.plugin, wish.request) == (from, request);
        if let Some(at) = of.row.iter().position(is_it) {
            of.row.remove(at);
            self.shares.over(from, request);
            self.shares.tidy(&tag);
            return Weight::Expected;
        }
        let creation = of.creation;
        let making = creation.and_then(|making| self.shares.making(making));
        let is_its = making.is_some_and(|making| match &making.kind {
            Kind::Create(wish) => is_it(wish),
            _ => false,
        });
        if let (true, Some(making)) = (is_its, creation) {
            let failure = Failure::new(Code::Cancelled, "it is waited for no longer");
            self.lose_making(making, (&failure, false), now);
            return Weight::Expected;
        }
        Weight::Charged
    }

    /// A plugin has given up a request whose answer it has not read. If it has the share by no other request, it stops being a user.
    fn forgo_share(&mut self, from: PluginId, (request, share): (u32, u64), now: Instant) {
        let Some(user) = self.shares.user_mut(share, from) else {
            return;
        };
        let (brought, has_more) = user.forgo(request);
        if !has_more {
            self.leave_share(from, share, now);
        } else if let Some(version) = brought {
            // The plugin has closed the memory that came with that answer.
            self.let_go_of(from, version);
        }
    }
}

/// The failure that says that a tag has no share.
pub(super) fn no_share(tag: &str) -> Failure {
    let message =
        format!("there is no share {tag}: no plugin has made it, or nobody uses it any more");
    Failure::new(Code::NotReady, message)
}
