//! Providers that were told to refuse what they had granted and have not acknowledged it yet, and changes of policy that wait for that.
//! Over links of this bus a provider is told by `Revoke` and says `Revoked`; over [links of an older broker](super::old_links) it is told
//! by `Refuse` and says `Refused`.
//!
//! ```text
//! what happens                          then
//! `Revoked` or `Refused` comes          the changes of policy that wait for it go on
//! the provider's session ends, or it    the same: nothing is left that could be called
//!   says `Drained` (old links)
//! a step's time passes, and the policy  the provider's link is dropped (the broker cannot drop an old one: that
//!   forbids what is to be refused       is only logged), and the change reports the provider as late
//! the same, and its indexes are only    nothing: they are not given again before `Revoked` comes
//!   unused
//! the policy forbids what was only      the change waits for that provider, too, and a step's time begins
//!   unused when `Revoke` went
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

/// Revocations that are not acknowledged, and the changes of policy that wait for them.
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
    /// No change of policy waits for the revocation of unused indexes, so it has no deadline: otherwise a stopped provider would lose the
    /// calls under way on its link only because another plugin had closed a gate.
    cause: Cause,
    /// The indexes that are revoked, on a link of this bus.
    indexes: Vec<u16>,
    is_late: bool,
}

/// The link over which the provider is to refuse something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// A link of this bus: the provider's end of it.
    Link(LinkEnd),
    /// A link of an older broker.
    OldLink,
}

/// A change of policy. It is in force when all its revocations are acknowledged or late.
#[derive(Debug)]
struct Change {
    number: u64,
    awaited: BTreeSet<u64>,
    /// The names of providers that did not acknowledge in time.
    missing: BTreeSet<String>,
    /// Plugins that may no longer take part. Their sessions end once others refuse what these plugins may not call.
    ending: Vec<PluginId>,
}

impl Bus {
    /// Tells a provider to refuse calls under some indexes of a link.
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

    /// Notes that a provider is told to refuse something. Returns the number under which it will acknowledge.
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

    /// The policy now forbids what a provider was told to refuse only because it was unused: from now on the provider has a step's time to
    /// acknowledge.
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

    /// A provider has acknowledged that it refuses, or nothing is left that could be called.
    pub(super) fn refuses(&mut self, number: u64) {
        self.revocations.sent.remove(&number);
        self.deadlines.set(Awaited::Revoked(number), None);
        self.settle_change(number, None);
    }

    /// A provider acknowledges a `Revoke` on a link of this bus: the link's indexes are free again.
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

    /// A provider has not acknowledged in time: if the link is one of this bus, it is dropped, so that nobody calls over it any more.
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

    /// Forgets the revocations that a plugin which has ended would have acknowledged.
    pub(super) fn forget_revocations(&mut self, plugin: PluginId) {
        let is_its = |_: &u64, sent: &mut Revocation| sent.provider == plugin;
        let gone = self.revocations.sent.extract_if(.., is_its);
        let gone: Vec<u64> = gone.map(|(number, _)| number).collect();
        for number in gone {
            self.refuses(number);
        }
    }

    /// Begins a change of policy, which waits for all revocations under way of what the policy forbids. Those of earlier changes are
    /// included, because this change may rely on them. Returns the change's number.
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

    /// A revocation is no longer awaited. `late` is the name of the provider if it did not acknowledge in time.
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
                // A newer policy may allow the plugin to take part again.
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
