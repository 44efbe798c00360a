//! A tag is wanted. One plugin makes what is absent, the others wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, ShareToBroker, ShareToPlugin};

use crate::bus::{Awaited, Bus, Weight};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::shares::{Asked, Kind, Making, Progress, Wish, check_wanted, invalid};

impl Bus {
    /// A plugin wants a tag.
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

    /// Whether a plugin may want a tag now. Gives why it may not make it, where it would, but may have what others make.
    fn check_want(
        &self,
        from: PluginId,
        tag: &str,
        makes: bool,
    ) -> Result<Option<Failure>, Failure> {
        // What it makes it may read; what another one has made, only with the right to that.
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

    /// Gives a plugin the share that it wants, or has it wait for that.
    pub(super) fn serve_or_wait(&mut self, tag: &Arc<str>, wish: Wish, now: Instant) {
        let (makes, waits) = (wish.make.is_some(), wish.waits_for_maker());
        let (of, no_files) = (self.shares.tag_mut(tag), self.no_files.is_some());
        let (share, is_loading) = (of.share, of.loading.is_some());
        let is_made = of.creation.is_some();
        match share {
            Some(share) if self.may_be_sent(share, &wish) => self.serve(share, wish),
            // Only its file is at hand, and this one does not trust it.
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

    /// Tells a plugin that there is no share, and why it may not make it, if it would.
    fn tell_absent(&mut self, tag: &str, wish: Wish) {
        let (to, request) = (wish.plugin, wish.request);
        let failure = wish.forbidden.unwrap_or_else(|| no_share(tag));
        self.answer(to, request, Some(failure));
    }

    /// Puts a plugin at the end of the row.
    pub(super) fn wait(&mut self, tag: &Arc<str>, wish: Wish) {
        let about = Asked::Tag(tag.clone());
        self.shares.ask(wish.plugin, wish.request, about);
        self.shares.tag_mut(tag).row.push_back(wish);
    }

    /// Has the next one make what is absent, if anybody is there to do so and nobody does; those that would not make it are told
    /// that there is none.
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

    /// Has a plugin make a share.
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

    /// A plugin no longer waits.
    pub(super) fn forgo(&mut self, from: PluginId, request: u32, now: Instant) -> Weight {
        let tag = match self.shares.asked(from, request) {
            None => return Weight::Charged,
            // The two have crossed.
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

    /// A plugin has given up a wish that was answered, without having read that.
    fn forgo_share(&mut self, from: PluginId, (request, share): (u32, u64), now: Instant) {
        let Some(user) = self.shares.user_mut(share, from) else {
            return;
        };
        let (brought, has_more) = user.forgo(request);
        if !has_more {
            self.leave_share(from, share, now);
        } else if let Some(version) = brought {
            // It has closed what came along.
            self.let_go_of(from, version);
        }
    }
}

/// The refusal of a share that is absent.
pub(super) fn no_share(tag: &str) -> Failure {
    let message =
        format!("there is no share {tag}: no plugin has made it, or nobody uses it any more");
    Failure::new(Code::NotReady, message)
}
