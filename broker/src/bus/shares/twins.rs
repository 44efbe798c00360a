//! Twins: versions as JSON, which their makers write for users of another type.

use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, ShareToPlugin};

use crate::bus::{Awaited, Bus};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::shares::{Kind, Maker, Making, Progress, Twin, Version, invalid};

/// How long a maker may take until it says how long a twin is: as long as one gives itself for a share, if it says nothing else.
const CONVERSION: Duration = Duration::from_secs(30);

impl Bus {
    /// Whether there is, or can be, a twin of a version; else why not.
    pub(super) fn can_be_converted(&self, version: &Version) -> Result<(), &'static str> {
        if version.twin.is_some() {
            return Ok(());
        }
        let share = self.shares.share(version.share);
        let maker = version.maker.plugin;
        let has_it =
            maker.is_some_and(|maker| share.is_none_or(|of| of.users.contains_key(&maker)));
        // Of one that was found in a file it is not known whether there is JSON of its type, and nobody would write it.
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

    /// A plugin asks for the newest version as JSON; whether it was not sent that before.
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
                let kind = self
                    .shares
                    .making_mut(making)
                    .map(|making| &mut making.kind);
                if let Some(Kind::Twin { waiting, .. }) = kind {
                    waiting.push((from, request));
                }
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

    /// Has a maker write a version as JSON.
    fn convert(&mut self, maker: PluginId, of: u64, first: (PluginId, u32), now: Instant) {
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
            },
            progress: Progress::Called,
            share,
            len: 0,
            charged: None,
            saved_as: None,
        };
        self.shares.add_making(making, twin);
        self.deadlines.set(
            Awaited::Making(making),
            Some(now + CONVERSION.max(self.step)),
        );
        let convert = ShareToPlugin::Convert {
            making,
            version: of,
        };
        self.ask(maker, Effect::Send(maker, convert.into()));
    }

    /// A twin is sealed: whoever waits for it is sent it.
    pub(super) fn register_twin(&mut self, number: u64, now: Instant) {
        let Some(mut making) = self.shares.remove_making(number) else {
            return;
        };
        self.unlink_making(number, &making);
        self.deadlines.set(Awaited::Making(number), None);
        let (Kind::Twin { of, name, waiting }, Some(mut charged)) =
            (making.kind, making.charged.take())
        else {
            return;
        };
        let original = self.shares.version_mut(of);
        let is_superseded = original
            .as_ref()
            .is_none_or(|original| original.is_superseded);
        if let Some(original) = original {
            original.twin = Some(Twin::There(number));
        }
        // From here on those that have it are charged: they wanted it, and may keep it for as long as they like.
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

    /// There will be no twin.
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
