//! Versions: registered as the newest one, superseded by the next one, and let go when no plugin needs them.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, VersionName, Wanted};

use crate::bus::{Awaited, Bus};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::quota::Charge;
use crate::shares::{Kind, Maker, Making, Share, Twin, Version, Wish};

impl Bus {
    /// Registers a version that is sealed, and saved if its share is persistent: it becomes the newest version of its tag, and all plugins
    /// that wait for the tag are served.
    pub(super) fn register(&mut self, number: u64, now: Instant) {
        if self.is_overtaken(number, now) {
            return;
        }
        let Some(making) = self.shares.making(number) else {
            return;
        };
        if let Kind::Twin { .. } = making.kind {
            return self.register_twin(number, now);
        }
        if let Err(failure) = self.check_registered(making) {
            return self.lose_making(number, (&failure, true), now);
        }
        let Some(mut making) = self.shares.remove_making(number) else {
            return;
        };
        self.unlink_making(number, &making);
        self.deadlines.set(Awaited::Making(number), None);
        let Some(charged) = making.charged.take() else {
            return;
        };
        let name = self.name_for(number, &making);
        let (tag, maker) = (making.tag.clone(), Some(making.plugin));
        let version = Version {
            share: making.share,
            name,
            len: making.len,
            facts: making.facts.clone(),
            maker: Maker {
                plugin: maker,
                name: self.name_of(making.plugin),
            },
            in_place: false,
            charged,
            holders: Default::default(),
            is_superseded: false,
            twin_of: None,
            twin: None,
            conversions: Default::default(),
        };
        let share = self.add_newest(&tag, (number, version));
        self.serve_maker(share, making);
        self.serve_row(&tag, share);
        self.tell_watches(&tag);
        self.review_use(share, now);
    }

    /// Fails if a version may not be registered, because its tag has got a share of another type meanwhile; or, for a return, any share or
    /// a cell.
    fn check_registered(&self, making: &Making) -> Result<(), Failure> {
        let found = self.shares.found(&making.tag);
        // Unlike other makings, a return does not reserve its tag.
        let is_return = matches!(making.kind, Kind::Return { .. });
        if is_return && (found.is_some() || self.cells.is_taken(&making.tag)) {
            return Err(is_taken(&making.tag));
        }
        self.check_like(found, &making.facts, &making.tag)
    }

    /// Whether a version could be registered now. Asked before it is saved; the answer can change until then.
    pub(super) fn may_be_registered(&self, making: &Making) -> bool {
        let is_overtaken = making.is_creation() && self.shares.found(&making.tag).is_some();
        !is_overtaken && self.check_registered(making).is_ok()
    }

    /// Returns the name that the version of this making gets: the returned one, the one that it was saved under, or the next number of the
    /// share; number 1 of a new incarnation where there is no share.
    pub(super) fn name_for(&self, number: u64, making: &Making) -> VersionName {
        if let Kind::Return { name, .. } = making.kind {
            return name;
        }
        let found = self.shares.found(&making.tag);
        let newest = found.and_then(|share| self.shares.newest(share));
        let next = newest.map(|(_, newest)| VersionName {
            incarnation: newest.name.incarnation,
            number: newest.name.number + 1,
        });
        making.saved_as.or(next).unwrap_or_else(|| VersionName {
            incarnation: self.shares.incarnation(number),
            number: 1,
        })
    }

    /// Makes a version the newest one of its tag, and supersedes the one before. Returns the share, which is a new one if the tag had none.
    pub(super) fn add_newest(
        &mut self,
        tag: &Arc<str>,
        (number, mut version): (u64, Version),
    ) -> u64 {
        let found = self.shares.found(tag);
        let share = found.unwrap_or(version.share);
        if version.share != share {
            // Another share was registered for the tag while this version was being made; the version joins that one.
            self.effects.push_back(Effect::EndShare(version.share));
            version.share = share;
        }
        let name = version.name;
        self.shares.add_version(number, version);
        let superseded = found.and_then(|share| {
            let share = self.shares.share_mut(share)?;
            Some(std::mem::replace(&mut share.newest, number))
        });
        if found.is_none() {
            self.shares
                .add_share(share, Share::new(tag.clone(), number));
            self.shares.tag_mut(tag).share = Some(share);
        }
        self.effects.push_back(Effect::Published {
            share,
            number: name.number,
        });
        if let Some(superseded) = superseded {
            self.supersede(superseded);
        }
        share
    }

    /// Makes the maker of a version a user of its share.
    fn serve_maker(&mut self, share: u64, making: Making) {
        let (plugin, facts) = (making.plugin, making.facts);
        let wish = |request: u32, charge: Charge, had: Option<VersionName>| Wish {
            plugin,
            request,
            wanted: Wanted {
                form: facts.form,
                fingerprint: facts.fingerprint(),
                signature: facts.signature.clone(),
                exact: true,
            },
            make: None,
            forbidden: None,
            had,
            trusts: false,
            charge,
        };
        match making.kind {
            Kind::Create(wish) => self.serve(share, wish),
            Kind::Publish {
                request, charge, ..
            } => self.serve(share, wish(request, charge, None)),
            Kind::Return {
                request,
                name,
                charge,
            } => self.serve(share, wish(request, charge, Some(name))),
            // Registered by [`Bus::register_twin`].
            Kind::Twin { .. } => {}
        }
    }

    /// Gives the share to all plugins that wait for its tag. Those that may not be sent its newest version wait for a copy of the file.
    pub(super) fn serve_row(&mut self, tag: &Arc<str>, share: u64) {
        let row = self.shares.known_tag_mut(tag).map(|of| &mut of.row);
        let row = row.map(std::mem::take).unwrap_or_default();
        for wish in row {
            match self.may_be_sent(share, &wish) {
                true => self.serve(share, wish),
                false => self.wait_for_file(tag, wish),
            }
        }
    }

    /// A version is no longer the newest one: from now on its holders are charged for it and for its twin, instead of the maker.
    fn supersede(&mut self, number: u64) {
        let twin = self.shares.version(number).and_then(|old| old.twin);
        let twin = twin.and_then(|twin| match twin {
            Twin::There(twin) => Some(twin),
            Twin::Made(_) => None,
        });
        for number in [Some(number), twin].into_iter().flatten() {
            let Some(old) = self.shares.version_mut(number) else {
                continue;
            };
            old.is_superseded = true;
            old.charged.maker = None;
            let (mib, share) = (old.charged.mib, old.share);
            for (holder, charge) in &mut old.holders {
                let member = self.members.get(holder);
                *charge = member.map(|member| member.share_mib.charge_beyond(mib));
            }
            if let Some(share) = self.shares.share_mut(share) {
                share.others.insert(number);
            }
            self.effects.push_back(Effect::Retired(number));
            self.review_version(number);
        }
    }

    /// A plugin has let go of a version. Returns whether it held it.
    pub(super) fn let_go_of(&mut self, holder: PluginId, number: u64) -> bool {
        let version = self.shares.version_mut(number);
        let was_held = version.is_some_and(|version| version.holders.remove(&holder).is_some());
        self.review_version(number);
        was_held
    }

    /// Lets go a version that no plugin holds and that will be sent to none.
    pub(super) fn review_version(&mut self, number: u64) {
        if self
            .shares
            .version(number)
            .is_some_and(Version::is_of_no_use)
        {
            self.let_version_go(number);
        }
    }

    pub(super) fn let_version_go(&mut self, number: u64) {
        let Some(version) = self.shares.remove_version(number) else {
            return;
        };
        if let Some(share) = self.shares.share_mut(version.share) {
            share.others.remove(&number);
        }
        let of = version.twin_of.and_then(|of| self.shares.version_mut(of));
        if let Some(of) = of {
            of.twin = None;
        }
        let maker = version.maker.plugin.unwrap_or(PluginId(0));
        self.let_memory_go(number, maker, version.charged.bus);
    }

    /// Has the shell let go the memory of a version, and keeps the bus charged for it until the shell reports that nobody holds that memory
    /// any more.
    pub(super) fn let_memory_go(&mut self, number: u64, maker: PluginId, bus: Charge) {
        let serial = self.charges.serial();
        self.shares.keep(serial, bus);
        self.effects.push_back(Effect::LetGo {
            memory: AnyMemory::Version(number),
            users: [maker; 2],
            serial: Some(serial),
        });
    }

    /// Ends a share that has neither a user nor a publication under way.
    pub(super) fn review_use(&mut self, share: u64, now: Instant) {
        if self.shares.share(share).is_some_and(Share::is_of_no_use) {
            self.end_share(share, now);
        }
    }

    fn end_share(&mut self, number: u64, now: Instant) {
        let Some(share) = self.shares.remove_share(number) else {
            return;
        };
        let tag = share.tag.clone();
        if let Some(of) = self.shares.known_tag_mut(&tag) {
            of.share.take_if(|found| *found == number);
        }
        self.effects.push_back(Effect::EndShare(number));
        for twin in self.shares.twins_made_of(number) {
            let failure = Failure::new(Code::Cancelled, "nobody uses the share any more");
            self.lose_making(twin, (&failure, true), now);
        }
        for version in share.versions() {
            self.let_version_go(version);
        }
        self.tell_watches(&tag);
        self.next_in_row(&tag, now);
        self.shares.tidy(&tag);
    }
}

/// The refusal of a returned version whose tag has another share or a cell by now.
pub(super) fn is_taken(tag: &str) -> Failure {
    let message =
        format!("there is another share, or a cell, {tag} by now, which was made meanwhile");
    Failure::new(Code::AlreadyProvided, message)
}
