//! Makings: a maker says how long its value is or publishes one, is sent memory for it, and writes it.

use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{self, Failure, MAX_SHORT, ShareToPlugin};

use super::never_was;
use crate::bus::{Awaited, Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::quota::Quota;
use crate::shares::{Charged, Facts, Kind, Making, Progress, invalid};

/// For each so many bytes a maker has a second more to write them.
const BYTES_A_SECOND: u64 = 64 << 20;
/// At most so many seconds are added: more than a day for one version would be no deadline.
const LONGEST: u64 = 86_400;

impl Bus {
    /// The making that a plugin names, if it is the plugin's own; an error if it is another's or there never was one. `None` if it has
    /// ended meanwhile: the plugin's record and the broker's have crossed.
    pub(super) fn own_making(
        &mut self,
        from: PluginId,
        making: u64,
    ) -> Result<Option<&mut Making>, Failure> {
        if !self.shares.was_given(making) {
            return Err(never_was("making"));
        }
        match self.shares.making_mut(making) {
            Some(making) if making.plugin != from => {
                Err(protocol("it named a making that is not its own"))
            }
            making => Ok(making),
        }
    }

    /// A plugin publishes a version, and will write it into memory that the broker sends.
    pub(super) fn publish(
        &mut self,
        from: PluginId,
        request: u32,
        (tag, make, len): (&str, control::Making, u64),
        now: Instant,
    ) -> Weight {
        match self.begin_publication(from, (request, false), (tag, make)) {
            Ok(making) => self.have_written(making, len, now),
            Err(failure) => self.answer(from, request, Some(failure)),
        }
        Weight::Charged
    }

    /// A plugin publishes a version whose bytes are in the record.
    pub(super) fn publish_short(
        &mut self,
        from: PluginId,
        request: u32,
        (tag, make, value): (&str, control::Making, Vec<u8>),
        now: Instant,
    ) -> Weight {
        let begun = check_short(tag, &value)
            .and_then(|()| self.begin_publication(from, (request, true), (tag, make)));
        match begun {
            Ok(making) => self.have_copied(making, value, now),
            Err(failure) => self.answer(from, request, Some(failure)),
        }
        Weight::Charged
    }

    fn begin_publication(
        &mut self,
        from: PluginId,
        (request, short): (u32, bool),
        (tag, make): (&str, control::Making),
    ) -> Result<u64, Failure> {
        let facts = self.facts_of(from, tag, make)?;
        let tag = self.share_tag(tag)?;
        self.check_create_share(from, &tag)?;
        let of = self.shares.tag(&tag);
        if of.is_some_and(|of| of.publishing.contains(&from)) {
            return Err(invalid("this plugin publishes on this tag already"));
        }
        let found = self.shares.found(&tag);
        self.check_like(found, &facts, &tag)?;
        let kind = Kind::Publish {
            request,
            charge: self.charge_share(from)?,
            short,
        };
        let number = self.shares.number();
        let share = found.unwrap_or_else(|| self.shares.number());
        let making = Making {
            plugin: from,
            tag: tag.clone(),
            facts,
            kind,
            progress: Progress::Called,
            share,
            len: 0,
            charged: None,
            saved_as: None,
        };
        self.shares.add_making(number, making);
        self.shares.tag_mut(&tag).publishing.insert(from);
        if let Some(share) = self.shares.share_mut(share) {
            share.publications.insert(number);
        }
        Ok(number)
    }

    /// Refuses a version whose type is not that of the share's newest version.
    pub(super) fn check_like(
        &self,
        share: Option<u64>,
        facts: &Facts,
        tag: &str,
    ) -> Result<(), Failure> {
        let newest = share.and_then(|share| self.shares.newest(share));
        let Some((_, newest)) = newest.filter(|(_, newest)| !newest.facts.is_like(facts)) else {
            return Ok(());
        };
        let message = format!(
            "the share {tag} is {} by {}, and a new version of {} is of another type: each version of a share has \
             the type of the first one",
            newest.facts.signature, newest.maker.name, facts.signature
        );
        Err(Failure::new(Code::ShareTypeMismatch, message))
    }

    /// A maker says how long its value is: it is charged for the memory and sent it.
    pub(super) fn make_version(
        &mut self,
        from: PluginId,
        number: u64,
        len: u64,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let Some(making) = self.own_making(from, number)? else {
            return self.acknowledged(from);
        };
        if making.progress != Progress::Called {
            return Err(protocol("it said twice how long a share is"));
        }
        let weight = self.acknowledged(from)?;
        if !self.is_overtaken(number, now) {
            self.have_written(number, len, now);
        }
        Ok(weight)
    }

    /// If the tag has got a share while a plugin was making one for it (another plugin has published), ends the making, serves its maker
    /// that share, and returns true.
    pub(super) fn is_overtaken(&mut self, number: u64, now: Instant) -> bool {
        let making = self.shares.making(number);
        let making = making.filter(|making| making.is_creation());
        let Some(share) = making.and_then(|making| self.shares.found(&making.tag)) else {
            return false;
        };
        let Some(Making { tag, kind, .. }) = self.take_making(number) else {
            return false;
        };
        if let Kind::Create(wish) = kind {
            match self.may_be_sent(share, &wish) {
                true => self.serve(share, wish),
                false => self.serve_or_wait(&tag, wish, now),
            }
        }
        true
    }

    /// Charges a version of this length to its maker and the bus, and sets the making's progress. If that fails, the making ends and `None`
    /// is returned.
    fn charge_making(
        &mut self,
        number: u64,
        (len, progress): (u64, Progress),
        now: Instant,
    ) -> Option<&mut Making> {
        let making = self.shares.making(number)?;
        let (plugin, tag) = (making.plugin, making.tag.clone());
        let charged = match len {
            0 => Err(no_bytes(&tag)),
            _ => self.charge_version(Some(plugin), len, &tag),
        };
        match charged {
            Ok(charged) => {
                let making = self.shares.making_mut(number)?;
                making.progress = progress;
                making.len = len;
                making.charged = Some(charged);
                Some(making)
            }
            Err(failure) => {
                self.lose_making(number, (&failure, true), now);
                None
            }
        }
    }

    /// Charges a version and has the shell copy its bytes into sealed memory.
    fn have_copied(&mut self, number: u64, value: Vec<u8>, now: Instant) {
        let charged = (value.len() as u64, Progress::Copying);
        let Some(making) = self.charge_making(number, charged, now) else {
            return;
        };
        let (from, share) = (making.plugin, making.share);
        self.effects.push_back(Effect::CopyVersion {
            from,
            version: number,
            share,
            value,
        });
    }

    /// Charges a version, and has the shell make memory for it and send that to the maker, which has a limited time to write it.
    fn have_written(&mut self, number: u64, len: u64, now: Instant) {
        let Some(making) = self.charge_making(number, (len, Progress::Writing), now) else {
            return;
        };
        let to = making.plugin;
        let (share, request) = (making.share, making.publication());
        let due = Some(now + self.writing_time(len));
        self.deadlines.set(Awaited::Making(number), due);
        let making = number;
        let effect = Effect::MakeVersion {
            to,
            version: number,
            share,
            len,
            record: ShareToPlugin::Write {
                making,
                request,
                len,
            },
        };
        self.ask(to, effect);
    }

    /// Returns how long a maker may take to write so many bytes.
    fn writing_time(&self, len: u64) -> Duration {
        self.step + Duration::from_secs((len / BYTES_A_SECOND).min(LONGEST))
    }

    /// Charges a version to its maker, if it has one, and to the bus.
    pub(super) fn charge_version(
        &self,
        maker: Option<PluginId>,
        len: u64,
        tag: &str,
    ) -> Result<Charged, Failure> {
        let mib = self.charges.whole_mib(len);
        let short = |quota: &Quota, whose: &str| {
            let (limit, used) = (quota.limit(), quota.used());
            let message = format!(
                "{mib} MiB for the share {tag} would exceed the {limit} MiB that {whose} may have for shares: \
                 {used} MiB are in use"
            );
            Failure::new(Code::Overloaded, message)
        };
        let places = u32::try_from(mib).unwrap_or(u32::MAX);
        let own = maker.and_then(|maker| Some(&self.members.get(&maker)?.share_mib));
        let maker = own.map(|own| {
            let charge = own.charge_many(places);
            charge.ok_or_else(|| short(own, "this plugin"))
        });
        let maker = maker.transpose()?;
        let bus = self.shares.bus.charge_many(places);
        let bus = bus.ok_or_else(|| short(&self.shares.bus, "all plugins of this bus together"))?;
        Ok(Charged {
            mib: places,
            maker,
            bus,
        })
    }

    /// A maker has written a version, and has unmapped its memory.
    pub(super) fn version_written(
        &mut self,
        from: PluginId,
        number: u64,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let Some(making) = self.own_making(from, number)? else {
            return self.acknowledged(from);
        };
        if making.progress != Progress::Writing {
            return Err(protocol("it wrote a share that was not awaited"));
        }
        let weight = self.acknowledged(from)?;
        if !self.is_overtaken(number, now) {
            self.wait_for_seal(number, now);
        }
        Ok(weight)
    }
}

fn check_short(tag: &str, value: &[u8]) -> Result<(), Failure> {
    match value.len() {
        0 => Err(no_bytes(tag)),
        1..=MAX_SHORT => Ok(()),
        len => {
            let message = format!(
                "the share {tag} has {len} bytes, of which {MAX_SHORT} at most go within a record"
            );
            Err(invalid(&message))
        }
    }
}

fn no_bytes(tag: &str) -> Failure {
    invalid(&format!("the share {tag} would have no bytes"))
}
