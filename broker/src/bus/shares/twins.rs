//! Twins: versions as JSON, which their makers write for users of another type.

use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, ShareToPlugin};

use crate::bus::{Awaited, Bus};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::shares::{Kind, Maker, Making, Progress, Twin, Version, invalid};

/// How long a maker may take from `Convert` until it says how long the twin is: the same as the default for making a share.
const CONVERSION: Duration = Duration::from_secs(30);

impl Bus {
    /// Whether a version has a twin, or its maker can write one; otherwise the reason why not.
    pub(super) fn can_be_converted(&self, version: &Version) -> Result<(), &'static str> {
        if version.twin.is_some() {
            return Ok(());
        }
        let share = self.shares.share(version.share);
        let maker = version.maker.plugin;
        let has_it =
            maker.is_some_and(|maker| share.is_none_or(|of| of.users.contains_key(&maker)));
        // A version that was loaded from a file has no maker: nobody would write its twin, and the broker does not know whether its type
        // has JSON.
        match (has_it, version.facts.persistent) {
            (true, _) if version.facts.json => Ok(()),
            (true, _) => Err("it cannot be written as JSON, and so not be converted"),
            (false, true) => Err(
                "the plugin that made it does not have it any more, and so cannot convert it: it can be removed (Shares::remove) and \
                 made anew",
            ),
            (false, false) => {
                Err("the plugin that made it does not have it any more, and so cannot convert it")
            }
        }
    }

    /// A plugin asks for the newest version as JSON. Returns true if the twin was sent now and the plugin did not have it before; false if
    /// the plugin waits for the twin, or had it.
    pub(super) fn fetch_twin(
        &mut self,
        from: PluginId,
        request: u32,
        share: u64,
        now: Instant,
    ) -> Result<bool, Failure> {
        let Some((number, newest)) = self.shares.newest(share) else {
            return Ok(false);
        };
        match newest.twin {
            Some(Twin::There(twin)) => return self.send_version(from, request, twin),
            Some(Twin::Made(making)) => {
                self.check_room(from)?;
                self.wait_for_twin((number, making), (from, request), now);
            }
            None => {
                self.check_room(from)?;
                self.can_be_converted(newest)
                    .map_err(|why| mismatch(newest, why))?;
                let maker = newest
                    .maker
                    .plugin
                    .ok_or_else(|| invalid("it has no maker"))?;
                self.convert(maker, number, (from, request), now);
            }
        }
        Ok(false)
    }

    /// Adds a plugin to those that wait for a twin. If this plugin need not wait for the end of the maker's rest, the conversion begins
    /// now.
    fn wait_for_twin(&mut self, (of, making): (u64, u64), who: (PluginId, u32), now: Instant) {
        let rest = self.rest_for(of, who.0, now);
        let Some(twin) = self.shares.making_mut(making) else {
            return;
        };
        if let Kind::Twin { waiting, .. } = &mut twin.kind {
            waiting.push(who);
        }
        if twin.progress == Progress::Resting && rest.is_none() {
            self.begin_conversion(making, now);
        }
    }

    fn rest_for(&mut self, of: u64, plugin: PluginId, now: Instant) -> Option<Instant> {
        let name = self.name_of(plugin);
        let version = self.shares.version_mut(of)?;
        version.conversions.rest_for(&name, now)
    }

    /// Notes that a maker has ended its work on the JSON of a version, since when the maker rests.
    pub(super) fn has_converted(&mut self, of: u64, since: Instant, now: Instant) {
        if let Some(of) = self.shares.version_mut(of) {
            of.conversions.ended(since, now);
        }
    }

    /// Has a maker write a version as JSON: at once, or after the maker's rest.
    fn convert(&mut self, maker: PluginId, of: u64, first: (PluginId, u32), now: Instant) {
        let rest = self.rest_for(of, first.0, now);
        let making = self.shares.number();
        let Some(version) = self.shares.version_mut(of) else {
            return;
        };
        version.twin = Some(Twin::Made(making));
        let (share, facts, name) = (version.share, version.facts.clone(), version.name);
        let Some(tag) = self.shares.share(share).map(|share| share.tag.clone()) else {
            return;
        };
        let twin = Making {
            plugin: maker,
            tag,
            facts,
            kind: Kind::Twin {
                of,
                name,
                waiting: vec![first],
                since: now,
            },
            progress: Progress::Resting,
            share,
            len: 0,
            charged: None,
            saved_as: None,
        };
        self.shares.add_making(making, twin);
        match rest {
            Some(_) => self.deadlines.set(Awaited::Making(making), rest),
            None => self.begin_conversion(making, now),
        }
    }

    fn begin_conversion(&mut self, making: u64, now: Instant) {
        let Some(twin) = self.shares.making_mut(making) else {
            return;
        };
        let Kind::Twin { of, since, .. } = &mut twin.kind else {
            return;
        };
        *since = now;
        twin.progress = Progress::Called;
        let (maker, version) = (twin.plugin, *of);
        let due = Some(now + CONVERSION.max(self.step));
        self.deadlines.set(Awaited::Making(making), due);
        let convert = ShareToPlugin::Convert { making, version };
        self.ask(maker, Effect::Send(maker, convert.into()));
    }

    /// A maker's rest is over. If the version is still the newest and its maker has it, the conversion begins; otherwise those that waited
    /// are served the newest version as JSON.
    pub(super) fn go_on_with_twin(&mut self, number: u64, now: Instant) {
        let Some(twin) = self.shares.making(number) else {
            return;
        };
        let (share, maker) = (twin.share, twin.plugin);
        let Kind::Twin { of, waiting, .. } = &twin.kind else {
            return;
        };
        let newest = self.shares.newest(share);
        let is_newest = newest.is_some_and(|(newest, _)| newest == *of);
        let has_it = self.shares.share(share);
        let has_it = has_it.is_some_and(|share| share.users.contains_key(&maker));
        if is_newest && has_it && !waiting.is_empty() {
            return self.begin_conversion(number, now);
        }
        let Some(Making { kind, .. }) = self.take_making(number) else {
            return;
        };
        if let Kind::Twin { waiting, .. } = kind {
            for (to, request) in waiting {
                let has = self.check_has(to, share);
                let fetched = has.and_then(|()| self.fetch_twin(to, request, share, now));
                if let Err(failure) = fetched {
                    self.answer(to, request, Some(failure));
                }
            }
        }
    }

    /// A twin is sealed: registers it and sends it to all plugins that wait for it.
    pub(super) fn register_twin(&mut self, number: u64, now: Instant) {
        let Some(mut making) = self.shares.remove_making(number) else {
            return;
        };
        self.unlink_making(number, &making);
        self.deadlines.set(Awaited::Making(number), None);
        let (
            Kind::Twin {
                of,
                name,
                waiting,
                since,
            },
            Some(mut charged),
        ) = (making.kind, making.charged.take())
        else {
            return;
        };
        self.has_converted(of, since, now);
        let original = self.shares.version_mut(of);
        let is_superseded = original
            .as_ref()
            .is_none_or(|original| original.is_superseded);
        if let Some(original) = original {
            original.twin = Some(Twin::There(number));
        }
        // From here on the plugins that hold the twin are charged for it, and not its maker: they asked for it, and decide how long they
        // keep it.
        charged.maker = None;
        let twin = Version {
            share: making.share,
            name,
            len: making.len,
            facts: making.facts,
            maker: Maker {
                plugin: Some(making.plugin),
                name: self.name_of(making.plugin),
            },
            in_place: false,
            charged,
            holders: Default::default(),
            is_superseded,
            twin_of: Some(of),
            twin: None,
            conversions: Default::default(),
        };
        self.shares.add_version(number, twin);
        if let Some(share) = self.shares.share_mut(making.share) {
            share.others.insert(number);
        }
        self.serve_twin(number, (making.share, waiting));
        if is_superseded {
            self.effects.push_back(Effect::Retired(number));
        }
        self.review_version(number);
        self.review_use(making.share, now);
    }

    fn serve_twin(&mut self, twin: u64, (share, waiting): (u64, Vec<(PluginId, u32)>)) {
        for (to, request) in waiting {
            let share = self.shares.share(share);
            let is_user = share.is_some_and(|share| share.users.contains_key(&to));
            let sent = match is_user {
                true => self.send_version(to, request, twin).map(drop),
                false => Err(invalid("this plugin has no such share any more")),
            };
            if let Err(failure) = sent {
                self.answer(to, request, Some(failure));
            }
        }
    }

    /// Refuses a twin to the plugins that wait for it.
    pub(super) fn refuse_twin(
        &mut self,
        waiting: Vec<(PluginId, u32)>,
        maker: PluginId,
        failure: &Failure,
    ) {
        let code = match Code::from_u16(failure.code) {
            Some(code @ (Code::Overloaded | Code::Timeout | Code::Cancelled)) => code,
            _ => Code::ShareTypeMismatch,
        };
        let maker = self.label_of(maker);
        let message = format!(
            "{maker} has not written its share as JSON: {}",
            failure.message
        );
        let failure = Failure::new(code, message);
        for (to, request) in waiting {
            self.answer(to, request, Some(failure.clone()));
        }
    }
}

fn mismatch(newest: &Version, why: &str) -> Failure {
    let (signature, maker) = (&newest.facts.signature, &newest.maker.name);
    let message = format!("the share is {signature} by {maker}; {why}");
    Failure::new(Code::ShareTypeMismatch, message)
}
