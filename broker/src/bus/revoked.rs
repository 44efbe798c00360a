//! Providers that were told to refuse what they had granted, until they say that they do; and who waits
//! for that. Over links of this bus they are told by `Revoke` and say `Revoked`, over
//! [links of an older broker](super::old_links) by `Refuse`, and say `Refused`.
//!
//! ```text
//! what happens                          then
//! `Revoked` or `Refused` comes          whoever waits goes on
//! the provider's session ends, or it    the same: nothing is left that could be called
//!   says `Drained` (old links)
//! a step's time passes, and the policy  its link is dropped (an old one is none of the broker's, so
//!   forbids what is to be refused       that is only logged), and whoever waits is told its name
//! the same, and its indexes are only    nothing: they are not given again before `Revoked` comes
//!   unused
//! the policy forbids what was only      whoever changes it waits for that one, too, and a step's time
//!   unused when `Revoke` went           begins
//! either comes after that, or when      it is taken, and is a sign that the provider goes on
//!   the link has ended
//! either for what was not sent,         the provider's session ends (`PROTOCOL`)
//!   twice, or for another's
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use callgate_layout::control::{Failure, LinkEnd, LinkToPlugin};

use super::links::pair;
use super::{Awaited, Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::link::Cause;

/// What was sent and not acknowledged, and what waits for that.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    sent: BTreeMap<u64, Revocation>,
    last: u64,
    changes: Vec<Change>,
    last_change: u64,
}

/// A `Revoke` or `Refuse` that was sent.
#[derive(Debug)]
struct Revocation {
    provider: PluginId,
    over: Over,
    /// Nobody waits for one of unused indexes, so it has no deadline: for a provider that is stopped, calls
    /// under way on its link would be lost only because somebody had closed a gate.
    cause: Cause,
    /// The indexes that it names, on a link of this bus.
    indexes: Vec<u16>,
    is_late: bool,
}

/// Over which link something is to be refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// One of this bus, by the provider's end.
    Link(LinkEnd),
    /// One of an older broker.
    OldLink,
}

/// A change of policy, which is in force when its revocations are acknowledged.
#[derive(Debug)]
struct Change {
    number: u64,
    awaited: BTreeSet<u64>,
    /// The names of providers that were late.
    missing: BTreeSet<String>,
    /// Plugins that may take no more part, once others refuse what these may not call.
    ending: Vec<PluginId>,
}

impl Bus {
    /// Tells a provider to refuse what comes under some indexes.
    pub(super) fn revoke(
        &mut self,
        to: PluginId,
        end: LinkEnd,
        (cause, indexes): (Cause, Vec<u16>),
        now: Instant,
    ) {
        let what = (cause, indexes.clone());
        let number = self.await_refusal(to, Over::Link(end), what, now);
        let record = LinkToPlugin::Revoke {
            end,
            number,
            indexes,
        };
        self.ask(to, Effect::Send(to, record.into()));
    }

    /// Notes that a provider is told to refuse something, by the number that this gives back.
    pub(super) fn await_refusal(
        &mut self,
        provider: PluginId,
        over: Over,
        (cause, indexes): (Cause, Vec<u16>),
        now: Instant,
    ) -> u64 {
        self.revocations.last += 1;
        let number = self.revocations.last;
        let revocation = Revocation {
            provider,
            over,
            cause,
            indexes,
            is_late: false,
        };
        self.revocations.sent.insert(number, revocation);
        if cause == Cause::Policy {
            let due = now + self.step;
            self.deadlines.set(Awaited::Revoked(number), Some(due));
        }
        number
    }

    /// The policy forbids what a provider was told to refuse because it was unused: it has a step's time for
    /// that from now on.
    pub(super) fn forbid(&mut self, end: LinkEnd, indexes: Vec<u16>, now: Instant) {
        let forbidden = BTreeSet::from_iter(indexes);
        for (number, sent) in &mut self.revocations.sent {
            let is_over = sent.over == Over::Link(end) && sent.cause == Cause::Unused;
            if is_over && sent.indexes.iter().any(|index| forbidden.contains(index)) {
                sent.cause = Cause::Policy;
                let due = now + self.step;
                self.deadlines.set(Awaited::Revoked(*number), Some(due));
            }
        }
    }

    /// A provider refuses what it was told to refuse, or there is nothing left that it could.
    pub(super) fn refuses(&mut self, number: u64) {
        self.revocations.sent.remove(&number);
        self.deadlines.set(Awaited::Revoked(number), None);
        self.settle_change(number, None);
    }

    /// A provider refuses what it was told to refuse on a link of this bus.
    pub(super) fn revoked(
        &mut self,
        from: PluginId,
        (end, number): (LinkEnd, u64),
        now: Instant,
    ) -> Result<Weight, Failure> {
        self.own_link(from, end)?;
        let sent = self.revocations.sent.get_mut(&number);
        let is_it = |sent: &&mut Revocation| sent.provider == from && sent.over == Over::Link(end);
        let Some(sent) = sent.filter(is_it) else {
            return Err(protocol("it refuses what nobody told it to refuse"));
        };
        let indexes = std::mem::take(&mut sent.indexes);
        self.refuses(number);
        if let Some(link) = self.links.get_mut(&end.link) {
            let steps = link.refused(end.side, &indexes);
            self.run(end.link, steps, now);
        }
        self.acknowledged(from)
    }

    /// A provider has not said in time that it refuses: nobody calls it any more over that link, if it is
    /// one of this bus.
    pub(super) fn revocation_is_late(&mut self, number: u64) {
        let Some(sent) = self.revocations.sent.get_mut(&number) else {
            return;
        };
        sent.is_late = true;
        let provider = sent.provider;
        match sent.over {
            Over::Link(end) => self.drop_unrevoked(provider, end),
            Over::OldLink => self.effects.push_back(Effect::NotRefused(provider)),
        }
        let name = self.name_of(provider);
        self.settle_change(number, Some(&name));
    }

    fn drop_unrevoked(&mut self, provider: PluginId, end: LinkEnd) {
        let Some(link) = self.links.get(&end.link) else {
            return;
        };
        let caller = link.plugin(1 - (end.side & 1));
        let between = pair(provider, caller);
        self.silent.entry(provider).or_default().insert(between);
        let failure = self.did_not(provider, "refuse what was revoked", caller);
        self.give_up(end.link, &failure);
    }

    /// Forgets what a plugin that is gone would have acknowledged.
    pub(super) fn forget_revocations(&mut self, plugin: PluginId) {
        let is_its = |_: &u64, sent: &mut Revocation| sent.provider == plugin;
        let gone = self.revocations.sent.extract_if(.., is_its);
        let gone: Vec<u64> = gone.map(|(number, _)| number).collect();
        for number in gone {
            self.refuses(number);
        }
    }

    /// Has a change of policy wait for all revocations under way of what is forbidden, also those of an
    /// earlier one: it may rely on them. Gives back the change's number.
    pub(super) fn await_revocations(&mut self, ending: Vec<PluginId>) -> u64 {
        let revocations = &mut self.revocations;
        revocations.last_change += 1;
        let is_awaited = |sent: &Revocation| sent.cause == Cause::Policy && !sent.is_late;
        let sent = revocations.sent.iter();
        let sent = sent.filter(|(_, sent)| is_awaited(sent));
        let change = Change {
            number: revocations.last_change,
            awaited: sent.map(|(number, _)| *number).collect(),
            missing: BTreeSet::new(),
            ending,
        };
        revocations.changes.push(change);
        self.finish_changes();
        self.revocations.last_change
    }

    #[cfg(test)]
    pub(super) fn revocations_under_way(&self) -> usize {
        self.revocations.sent.len()
    }

    /// A revocation is awaited no longer; `late` is the name of a provider that was.
    fn settle_change(&mut self, number: u64, late: Option<&str>) {
        for change in &mut self.revocations.changes {
            if change.awaited.remove(&number) {
                change.missing.extend(late.map(str::to_owned));
            }
        }
        self.finish_changes();
    }

    fn finish_changes(&mut self) {
        let is_over = |change: &mut Change| change.awaited.is_empty();
        let over = self.revocations.changes.extract_if(.., is_over);
        let over: Vec<Change> = over.collect();
        for change in over {
            for plugin in change.ending {
                // It may have got a policy meanwhile.
                if self.members.contains_key(&plugin)
                    && let Err(failure) = self.check_admission(&self.name_of(plugin))
                {
                    self.effects.push_back(Effect::End(plugin, failure));
                }
            }
            let missing = change.missing.into_iter().collect();
            self.effects
                .push_back(Effect::PolicySet(change.number, missing));
        }
    }
}
