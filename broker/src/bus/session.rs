//! Plugins that come and go, and requests about the bus as a whole.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, Identity, MAX_TEXT, SessionToBroker, ToBroker};
use serde::de::IgnoredAny;

use super::member::Farewell;
use super::old_links::OldLinks;
use super::waits::MOST_PARTS;
use super::{Awaited, Bus, Member, Weight, protocol};
use crate::clocks::SeenClock;
use crate::effect::Effect;
use crate::id::PluginId;
use crate::quota::{FirstTimes, Quota};
use crate::schemas::Own;

impl Bus {
    /// Admits a plugin. The caller has checked that its name is free.
    pub(crate) fn admit(
        &mut self,
        plugin: PluginId,
        identity: Identity,
        (pid, clock): (u32, SeenClock),
        now: Instant,
    ) {
        self.names.insert(identity.name.clone(), plugin);
        let limits = self.policies.limits(&identity.name, self.limits);
        let member = Member {
            identity,
            pid,
            clock,
            ready: false,
            gates: Quota::new(limits.gates),
            opens: Quota::new(limits.opens),
            links: Quota::new(limits.links),
            extents: Quota::new(limits.extent_mib),
            schemas: Own::new(limits.schema_mib),
            share_mib: Quota::new(limits.share_mib),
            shares: Quota::new(limits.shares),
            waits: Quota::new(MOST_PARTS),
            dispatcher: plugin,
            inspects: false,
            old_links: OldLinks::default(),
            farewell: None,
            // For both halves of each gate.
            returns: limits.gates.saturating_mul(2),
            source_returns: limits.gates,
            // For the shares that it has made, and for those that it uses.
            share_returns: limits.shares.saturating_mul(2),
            share_news: 0,
            share_changes: self.shares.changes(),
            first_opens: FirstTimes::default(),
            owed: 0,
            feed_answers: 0,
            whys: None,
        };
        self.members.insert(plugin, member);
        self.deadlines
            .set(Awaited::Status(plugin), Some(now + self.step));
        self.effects.push_back(Effect::Welcome(plugin));
    }

    /// Notes that a plugin which was just admitted has connected only for listings.
    pub(crate) fn only_inspects(&mut self, plugin: PluginId) {
        if let Some(member) = self.members.get_mut(&plugin) {
            member.inspects = true;
        }
    }

    /// Whether a plugin has acknowledged its status page, and may ask for something. An error if it has not said hello.
    pub(super) fn has_begun(&self, from: PluginId) -> Result<bool, Failure> {
        let member = self.members.get(&from).map(|member| member.ready);
        member.ok_or_else(|| protocol("it said nothing of itself yet"))
    }

    /// Handles the first record of a plugin, which must acknowledge its status page.
    pub(super) fn begin(&mut self, from: PluginId, record: &ToBroker) -> Result<Weight, Failure> {
        if *record != ToBroker::Session(SessionToBroker::StatusMapped) {
            return Err(protocol("it has not acknowledged its status page"));
        }
        if let Some(member) = self.members.get_mut(&from) {
            member.ready = true;
        }
        self.deadlines.set(Awaited::Status(from), None);
        self.effects.push_back(Effect::SealStatus(from));
        Ok(Weight::Expected)
    }

    pub(super) fn session_record(
        &mut self,
        from: PluginId,
        record: SessionToBroker,
    ) -> Result<Weight, Failure> {
        let why = match record {
            SessionToBroker::Drained => return Ok(self.drained(from)),
            SessionToBroker::Farewell { message, context } => {
                return self.farewell(from, Farewell { message, context });
            }
            SessionToBroker::List { request } => {
                self.effects.push_back(Effect::Listing(from, request));
                return Ok(Weight::Charged);
            }
            SessionToBroker::Hello(_)
            | SessionToBroker::Inspect(_)
            | SessionToBroker::HelloInGroup { .. } => "it said hello twice",
            SessionToBroker::StatusMapped => "it acknowledged its status page twice",
            SessionToBroker::Pulse { .. } => "it answered what it was not asked",
            SessionToBroker::Took => "it took a datagram that nobody sent",
        };
        Err(protocol(why))
    }

    fn farewell(&mut self, from: PluginId, farewell: Farewell) -> Result<Weight, Failure> {
        let Farewell { message, context } = &farewell;
        if message.len().saturating_add(context.len()) > MAX_TEXT {
            return Err(protocol("its last words are too long"));
        }
        if serde_json::from_str::<IgnoredAny>(context).is_err() {
            return Err(protocol("the context of its last words is no JSON"));
        }
        if let Some(member) = self.members.get_mut(&from) {
            member.farewell = Some(farewell);
        }
        Ok(Weight::Charged)
    }

    /// Removes a plugin whose session has ended, with everything that it had.
    pub(crate) fn remove(&mut self, plugin: PluginId, why: &Failure, now: Instant) {
        let Some(member) = self.members.remove(&plugin) else {
            return;
        };
        self.names.remove(&member.identity.name);
        self.deadlines.set(Awaited::Status(plugin), None);
        self.forget_late(plugin);
        self.asked.forget(plugin);
        self.forget_revocations(plugin);
        let gone = self.registry.remove(plugin);
        let failure = told(&member, why);
        for link in self.of_plugin.remove(&plugin).unwrap_or_default() {
            self.drop_link(link, &failure);
        }
        self.lines.forget(plugin);
        self.forget_cells(plugin);
        let topics = self.forget_events(plugin, &failure);
        self.forget_shares(plugin, &failure, now);
        for name in gone.into_iter().chain(topics) {
            self.hand_on(&name, now);
        }
        self.waits.remove(plugin);
        self.look_at_waits(now);
    }
}

/// The failure that the peers of a plugin are told: with its last words, unless the broker has ended its session.
fn told(member: &Member, why: &Failure) -> Failure {
    let went = why.code == Code::ProviderGone as u16;
    let (message, context) = match member.farewell.as_ref().filter(|_| went) {
        Some(Farewell { message, context }) => (message, Some(context)),
        None => (&why.message, why.context.as_ref()),
    };
    let message = format!("{} is gone: {message}", member.label());
    let failure = Failure::new(Code::ProviderGone, message);
    match context {
        Some(context) => failure.with_context(context.clone()),
        None => failure,
    }
}
