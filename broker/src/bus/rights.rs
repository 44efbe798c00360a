//! What policies allow, and taking back rights when a policy changes.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::Failure;

use super::Bus;
use crate::id::PluginId;
use crate::policy::{Policies, Policy};

impl Bus {
    /// Sets the policies of a bus that no plugin has joined yet.
    pub(crate) fn set_policies(&mut self, policies: Policies) {
        self.policies = policies;
    }

    /// Fails if a plugin of this name may not take part in the bus.
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

    /// How many control requests a second a plugin may make; `None` if its policy does not say.
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

    /// Fails if a plugin may not send on a topic.
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

    /// Fails if a plugin may not hear a topic, or all topics under a prefix.
    pub(super) fn check_subscribe(&self, plugin: PluginId, topic: &str) -> Result<(), Failure> {
        self.check_takes_part(plugin)?;
        let name = self.name_of(plugin);
        match self.policies.may_subscribe(&name, topic) {
            true => Ok(()),
            false => Err(denied(&name, "gate.subscribe", topic)),
        }
    }

    /// Fails if a plugin may not make shares or cells under a tag.
    pub(super) fn check_create_share(&self, plugin: PluginId, tag: &str) -> Result<(), Failure> {
        self.check_takes_part(plugin)?;
        let name = self.name_of(plugin);
        match self.policies.may_create_share(&name, tag) {
            true => Ok(()),
            false => Err(denied(&name, "share.create", tag)),
        }
    }

    /// Fails if a plugin may not read the shares or cells of a tag.
    pub(super) fn check_read_share(&self, plugin: PluginId, tag: &str) -> Result<(), Failure> {
        self.check_takes_part(plugin)?;
        let name = self.name_of(plugin);
        match self.policies.may_read_share(&name, tag) {
            true => Ok(()),
            false => Err(denied(&name, "share.read", tag)),
        }
    }

    /// Fails if a plugin has connected only for listings.
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

    /// Lends a name, which no plugin has, another policy until that is [taken back](Bus::take_back_policy). This changes no plugin's
    /// rights, because no plugin has the name.
    pub(crate) fn lend_policy(&mut self, name: &str, policy: Policy) {
        self.policies.lend(name, policy);
    }

    /// Takes back the policy that was lent to a name, which no plugin has any more.
    pub(crate) fn take_back_policy(&mut self, name: &str) {
        self.policies.take_back(name);
    }

    /// Gives plugins of a name, or of a pattern of names, another policy. What they may no longer do ends: first the grants between them
    /// and other plugins are revoked, then the plugins themselves are told. Sessions of plugins that may not take part any more end last,
    /// when others have acknowledged that they refuse them. Returns the number of this change; [`Effect::PolicySet`] says when it is in
    /// force.
    pub(crate) fn set_policy(&mut self, name: &str, policy: Option<Policy>, now: Instant) -> u64 {
        self.policies.set(name, policy);
        self.revoke_forbidden(now);
        self.refuse_forbidden(now);
        let members: Vec<PluginId> = self.members.keys().copied().collect();
        let mut ending = Vec::new();
        // Before gates become free, so that no plugin in line is given one that it may not provide.
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

    /// Revokes all grants that would not be given now. They are looked for in the links and not in what is open or provided at the moment:
    /// a plugin that has closed a gate still knows its index, and a gate that was withdrawn may come back under the index that it had.
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

    /// Withdraws the gates that a plugin may not provide any more.
    fn withdraw_forbidden(&mut self, plugin: PluginId, now: Instant) {
        for gate in self.registry.owned_by(plugin) {
            if self.check_provide(plugin, &gate).is_ok() {
                continue;
            }
            self.withdraw_all(plugin, &gate, now);
        }
    }
}

/// The failure that names the missing capability. A prefix, which ends in a dot, is named by the pattern that covers it.
fn denied(plugin: &str, capability: &str, gate: &str) -> Failure {
    let star = if gate.ends_with('.') { "*" } else { "" };
    let message = format!(
        "the policy of plugin `{plugin}` lacks {capability}:{gate}{star}; whoever runs the bus decides that"
    );
    Failure::new(Code::PermissionDenied, message)
}
