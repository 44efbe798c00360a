//! Policies at work: refusing, and taking back what was granted.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::Failure;

use super::Bus;
use crate::id::PluginId;
use crate::policy::{Policies, Policy};

impl Bus {
    /// Takes the policies of a bus that nobody has joined yet.
    pub(crate) fn set_policies(&mut self, policies: Policies) {
        self.policies = policies;
    }

    /// Whether a plugin of this name may take part.
    pub(crate) fn check_admission(&self, name: &str) -> Result<(), Failure> {
        if self.policies.admits(name) {
            return Ok(());
        }
        let message = format!(
            "this bus is strict, and has no policy for a plugin `{name}`: give it one (`callgate serve \
             --policy`, `Builder::plugin`, `Broker::set_policy`)"
        );
        Err(Failure::new(Code::PermissionDenied, message))
    }

    /// How many control requests a second a plugin may make, where its policy says so.
    pub(crate) fn requests_per_second(&self, name: &str) -> Option<u32> {
        self.policies.requests_per_second(name)
    }

    /// Whether a plugin of this name may provide a gate.
    pub(crate) fn may_provide(&self, name: &str, gate: &str) -> bool {
        self.policies.may_provide(name, gate)
    }

    pub(super) fn check_provide(&self, plugin: PluginId, gate: &str) -> Result<(), Failure> {
        self.check_takes_part(plugin)?;
        let name = self.name_of(plugin);
        if self.policies.may_provide(&name, gate) {
            return Ok(());
        }
        Err(denied(&name, "gate.provide", gate))
    }

    /// Whether a plugin may send on a topic.
    pub(super) fn check_offer(
        &self,
        plugin: PluginId,
        topic: &str,
        open: bool,
    ) -> Result<(), Failure> {
        if !open {
            return self.check_provide(plugin, topic);
        }
        self.check_takes_part(plugin)?;
        let name = self.name_of(plugin);
        match self.policies.may_send(&name, topic) {
            true => Ok(()),
            false => Err(denied(&name, "topic.send", topic)),
        }
    }

    /// Whether a plugin may hear a topic, or all under a prefix.
    pub(super) fn check_subscribe(&self, plugin: PluginId, topic: &str) -> Result<(), Failure> {
        self.check_takes_part(plugin)?;
        let name = self.name_of(plugin);
        match self.policies.may_subscribe(&name, topic) {
            true => Ok(()),
            false => Err(denied(&name, "gate.subscribe", topic)),
        }
    }

    /// Whether a plugin may make shares or cells under a tag.
    pub(super) fn check_create_share(&self, plugin: PluginId, tag: &str) -> Result<(), Failure> {
        self.check_takes_part(plugin)?;
        let name = self.name_of(plugin);
        match self.policies.may_create_share(&name, tag) {
            true => Ok(()),
            false => Err(denied(&name, "share.create", tag)),
        }
    }

    /// Whether a plugin may read the shares or cells of a tag.
    pub(super) fn check_read_share(&self, plugin: PluginId, tag: &str) -> Result<(), Failure> {
        self.check_takes_part(plugin)?;
        let name = self.name_of(plugin);
        match self.policies.may_read_share(&name, tag) {
            true => Ok(()),
            false => Err(denied(&name, "share.read", tag)),
        }
    }

    /// Refuses what a plugin asks for that came only for listings.
    pub(super) fn check_takes_part(&self, plugin: PluginId) -> Result<(), Failure> {
        let member = self.members.get(&plugin);
        if member.is_none_or(|member| !member.inspects) {
            return Ok(());
        }
        let message = "this connection was made only for listings (`PluginBuilder::inspector`): \
                       connect without that to provide and open gates";
        Err(Failure::new(Code::PermissionDenied, message))
    }

    pub(super) fn check_call(&self, plugin: PluginId, gate: &str) -> Result<(), Failure> {
        self.check_takes_part(plugin)?;
        let name = self.name_of(plugin);
        if self.policies.may_call(&name, gate) {
            return Ok(());
        }
        Err(denied(&name, "gate.call", gate))
    }

    /// Gives a name, which no plugin has, another policy until that is [taken back](Bus::take_back_policy). As nobody has the name,
    /// nobody's rights change by that.
    pub(crate) fn lend_policy(&mut self, name: &str, policy: Policy) {
        self.policies.lend(name, policy);
    }

    /// What a name had before holds for it again. Also this is for a name that no plugin has.
    pub(crate) fn take_back_policy(&mut self, name: &str) {
        self.policies.take_back(name);
    }

    /// Gives plugins of a name, or of a pattern of names, another policy. What they may no longer
    /// do ends: first the grants that others have of them or they of others, then what they are
    /// told of. Who may take no more part is sent away last, when others have said that they refuse
    /// it. Gives back the number of this change: [`Effect::PolicySet`] says when it is in force.
    pub(crate) fn set_policy(&mut self, name: &str, policy: Option<Policy>, now: Instant) -> u64 {
        self.policies.set(name, policy);
        self.revoke_forbidden(now);
        self.refuse_forbidden(now);
        let members: Vec<PluginId> = self.members.keys().copied().collect();
        let mut ending = Vec::new();
        // Before gates become free: nobody is given one that it may not provide.
        self.leave_forbidden_lines();
        for plugin in members {
            if self.check_admission(&self.name_of(plugin)).is_err() {
                ending.push(plugin);
            }
            self.withdraw_forbidden(plugin, now);
            self.close_forbidden(plugin, now);
            for open in self.registry.opens_of(plugin) {
                self.registry.unblock(plugin, open);
                self.refresh(plugin, open, now);
            }
            self.review_subscriptions(plugin, now);
            self.review_cells(plugin);
        }
        self.review_shares(now);
        self.await_revocations(ending)
    }

    /// Takes back all grants that nobody would get now. The links say which there are, not what
    /// is open or provided at the moment: who has closed a gate still knows its index, and a gate
    /// that was withdrawn may come back under the index it had.
    fn revoke_forbidden(&mut self, now: Instant) {
        let links: Vec<u64> = self.links.keys().copied().collect();
        for (id, side) in links.into_iter().flat_map(|id| [(id, 0), (id, 1)]) {
            let Some(link) = self.links.get(&id) else {
                continue;
            };
            let (owner, caller) = (link.plugin(side), link.plugin(1 - side));
            let (owner, caller) = (self.name_of(owner), self.name_of(caller));
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            let steps = {
                let is_granted = self.policies.between(&caller, &owner);
                link.revoke(side, |gate, by| !is_granted(gate, by))
            };
            self.run(id, steps, now);
        }
    }

    /// Takes away the gates that a plugin may no longer provide.
    fn withdraw_forbidden(&mut self, plugin: PluginId, now: Instant) {
        for gate in self.registry.owned_by(plugin) {
            if self.check_provide(plugin, &gate).is_ok() {
                continue;
            }
            self.withdraw_all(plugin, &gate, now);
        }
    }
}

/// A prefix, which ends in a dot, is named by the pattern that covers it.
fn denied(plugin: &str, capability: &str, gate: &str) -> Failure {
    let star = if gate.ends_with('.') { "*" } else { "" };
    let message = format!(
        "the policy of plugin `{plugin}` lacks {capability}:{gate}{star}; whoever runs the bus decides that"
    );
    Failure::new(Code::PermissionDenied, message)
}
