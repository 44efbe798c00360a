//! The links of the bus: made, set up step by step, dropped. The stages of their outboxes are in `memory.rs`.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, LinkEnd, LinkToBroker, LinkToPlugin, MemoryId};

use super::{Awaited, Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::link::{Link, Step};
use crate::stages::OutOfOrder;

impl Bus {
    pub(super) fn link_record(
        &mut self,
        from: PluginId,
        record: LinkToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match record {
            LinkToBroker::GrantInstalled { end, index } => {
                self.grant_installed(from, end, index, now)
            }
            LinkToBroker::NotProvided { end, index } => self.not_provided(from, end, index, now),
            LinkToBroker::Revoked { end, number } => self.revoked(from, (end, number), now),
            LinkToBroker::Standing {
                number,
                peer,
                gates,
            } => self.stands(from, number, peer, gates, now),
            LinkToBroker::Refused { number } => self.refused(from, number),
            LinkToBroker::Failed { end, failure } => {
                if self.own_link(from, end)?.is_some() {
                    self.lose_link(from, end.link, &failure, now);
                }
                Ok(Weight::Charged)
            }
        }
    }

    /// The link between two plugins, if there is one. It may not be set up yet.
    pub(super) fn link_of(&self, a: PluginId, b: PluginId) -> Option<u64> {
        self.pairs.get(&pair(a, b)).copied()
    }

    /// The link between two plugins; begins one if there is none.
    pub(super) fn link_between(
        &mut self,
        caller: PluginId,
        owner: PluginId,
        now: Instant,
    ) -> Result<u64, Failure> {
        if let Some(link) = self.link_of(caller, owner) {
            return Ok(link);
        }
        self.check_clocks(caller, owner)?;
        self.check_answers(caller, owner)?;
        let mut charges = Vec::new();
        for plugin in ends(caller, owner) {
            let member = self.members.get(&plugin);
            let charge = member.and_then(|member| member.links.charge());
            charges.push(charge.ok_or_else(|| self.too_many_links(plugin))?);
        }
        let id = self.next_link;
        self.next_link += 1;
        let (link, steps) = Link::new([caller, owner], self.step, charges, now);
        self.links.insert(id, link);
        self.pairs.insert(pair(caller, owner), id);
        for plugin in ends(caller, owner) {
            self.of_plugin.entry(plugin).or_default().push(id);
        }
        self.run(id, steps, now);
        Ok(id)
    }

    /// Fails if two plugins have different clocks: each would take the other's deadlines for long past, or far ahead.
    fn check_clocks(&self, caller: PluginId, owner: PluginId) -> Result<(), Failure> {
        let clock = |plugin| self.members.get(&plugin).map(|member| member.clock);
        let apart = clock(caller)
            .zip(clock(owner))
            .and_then(|(a, b)| a.apart(b));
        let Some(apart) = apart else {
            return Ok(());
        };
        let (caller, owner) = (self.label_of(caller), self.label_of(owner));
        let message = format!("{caller} and {owner} cannot be linked: {apart}");
        Err(Failure::new(Code::System, message))
    }

    fn too_many_links(&self, plugin: PluginId) -> Failure {
        let member = self.members.get(&plugin);
        let limit = member.map_or(0, |member| member.links.limit());
        let plugin = self.label_of(plugin);
        let message = format!("{plugin} has {limit} links already, its limit");
        Failure::new(Code::Overloaded, message)
    }

    /// Carries out the steps of a link, and sets the deadline of the next one.
    pub(super) fn run(&mut self, id: u64, steps: Vec<Step>, now: Instant) {
        for step in steps {
            let Some(link) = self.links.get(&id) else {
                return;
            };
            let plugins = [link.plugin(0), link.plugin(1)];
            self.run_step(id, plugins, step, now);
        }
        let due = self.links.get(&id).and_then(Link::due);
        self.deadlines.set(Awaited::Link(id), due);
    }

    fn run_step(&mut self, link: u64, plugins: [PluginId; 2], step: Step, now: Instant) {
        let of = |side: u8| {
            let end = LinkEnd { link, side };
            (plugins[usize::from(side & 1)], end)
        };
        match step {
            Step::Make(side) => {
                let (to, end) = of(side);
                let (memory, len) = (MemoryId::Outbox { end }, self.outbox_len);
                self.ask(to, Effect::Make { to, memory, len });
            }
            Step::Peer(side) => {
                let ((to, end), (peer, _)) = (of(side), of(1 - side));
                self.ask(to, Effect::Peer { to, end, peer });
            }
            Step::Revoke(side, cause, indexes) => {
                let (to, end) = of(side);
                self.revoke(to, end, (cause, indexes), now);
            }
            Step::Forbid(side, indexes) => {
                let (_, end) = of(side);
                self.forbid(end, indexes, now);
            }
            Step::Grant(side, granted) => {
                let (to, end) = of(side);
                self.ask(to, Effect::Send(to, granted.record(end).into()));
            }
            Step::Up => {
                self.retries.remove(&pair(plugins[0], plugins[1]));
                self.refresh_between(plugins, now);
            }
            Step::Callable(side, gate) => {
                let (caller, _) = of(1 - side);
                for (plugin, open) in self.registry.watchers(&gate) {
                    if plugin == caller {
                        self.refresh(plugin, open, now);
                    }
                }
            }
        }
    }

    /// Tells both plugins of a link which of their open gates can be called now. Opens that failed over an earlier link are tried again,
    /// over this link or a new one.
    pub(super) fn refresh_between(&mut self, plugins: [PluginId; 2], now: Instant) {
        for (caller, owner) in both_ways(plugins) {
            for open in self.registry.opens_between(caller, owner) {
                self.registry.unblock(caller, open);
                self.refresh(caller, open, now);
            }
        }
    }

    /// Fails if there never was such an end of a link on this bus.
    pub(super) fn check_end(&self, end: LinkEnd) -> Result<(), Failure> {
        let given = self.first_link..self.next_link;
        if end.side > 1 || !given.contains(&end.link) {
            return Err(protocol("it named a link that there never was"));
        }
        Ok(())
    }

    /// The link that a plugin names, if it has this end; an error if another plugin has it or there never was one. `None` if the link has
    /// ended meanwhile: the plugin's record and the broker's have crossed.
    pub(super) fn own_link(
        &mut self,
        from: PluginId,
        end: LinkEnd,
    ) -> Result<Option<&mut Link>, Failure> {
        self.check_end(end)?;
        match self.links.get_mut(&end.link) {
            Some(link) if link.plugin(end.side) != from => {
                Err(protocol("it named the end of a link that is not its own"))
            }
            link => Ok(link),
        }
    }

    fn grant_installed(
        &mut self,
        from: PluginId,
        end: LinkEnd,
        index: u16,
        now: Instant,
    ) -> Result<Weight, Failure> {
        if let Some(link) = self.own_link(from, end)? {
            let steps = link.grant_installed(end.side, index, now);
            let steps = steps
                .map_err(|OutOfOrder| protocol("it acknowledged a grant that was not awaited"))?;
            self.run(end.link, steps, now);
        }
        self.acknowledged(from)
    }

    /// A plugin does not have a gate that it was asked to grant.
    fn not_provided(
        &mut self,
        from: PluginId,
        end: LinkEnd,
        index: u16,
        now: Instant,
    ) -> Result<Weight, Failure> {
        if let Some(link) = self.own_link(from, end)? {
            let said = link.not_provided(end.side, index, now);
            let (gate, steps) = said
                .map_err(|OutOfOrder| protocol("it acknowledged a grant that was not awaited"))?;
            let caller = link.plugin(1 - (end.side & 1));
            self.run(end.link, steps, now);
            if let Some(gate) = gate {
                self.deny(caller, &gate, now);
            }
        }
        self.acknowledged(from)
    }

    /// Tells a plugin, for each open gate of this name, that nobody provides it.
    fn deny(&mut self, caller: PluginId, gate: &str, now: Instant) {
        for open in self.registry.deny(caller, gate) {
            self.refresh(caller, open, now);
        }
    }

    /// A plugin has closed the last of its opens of a name: the grant's indexes are revoked, to be used again.
    pub(super) fn closed(&mut self, caller: PluginId, gate: &str, now: Instant) {
        let links = self.of_plugin.get(&caller).cloned().unwrap_or_default();
        for id in links {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            // A plugin that calls itself has both ends, and calls from side 0.
            let provider = u8::from(link.plugin(0) == caller);
            let steps = link.close(provider, gate);
            if !steps.is_empty() {
                self.run(id, steps, now);
            }
        }
    }

    /// A plugin gives a link up, or cannot map an outbox of it.
    pub(super) fn lose_link(&mut self, from: PluginId, id: u64, failure: &Failure, now: Instant) {
        let who = self.label_of(from);
        let code = Code::from_u16(failure.code).unwrap_or(Code::System);
        let message = format!("{who} gave the link up: {}", failure.message);
        let failure = Failure::new(code, message);
        match code {
            // The plugin may have descriptors and address space again later.
            Code::System => self.try_later(id, &failure, now),
            _ => self.give_up(id, &failure),
        }
    }

    /// Drops a link between two living plugins, and refuses the gates that were open over it.
    pub(crate) fn give_up(&mut self, id: u64, failure: &Failure) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let message = failure.message.clone();
        self.effects.push_back(Effect::GaveUp(id, message));
        let plugins = [link.plugin(0), link.plugin(1)];
        self.drop_link(id, failure);
        for (caller, owner) in both_ways(plugins) {
            for open in self.registry.opens_between(caller, owner) {
                let ready = self.registry.standing(caller, open);
                if ready.is_some_and(|standing| standing.is_ready()) {
                    self.refuse_way(caller, open, failure);
                }
            }
        }
    }

    /// Gives up a link for which the broker has no memory now, and tries again at that time.
    pub(crate) fn put_off(&mut self, id: u64, failure: &Failure, until: Instant) {
        if let Some(link) = self.links.get(&id) {
            let (a, b) = pair(link.plugin(0), link.plugin(1));
            self.deadlines.set(Awaited::Retry(a, b), Some(until));
        }
        self.give_up(id, failure);
    }

    /// Removes a link, and tells those of its plugins that are still there.
    pub(super) fn drop_link(&mut self, id: u64, failure: &Failure) {
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        let plugins = [link.plugin(0), link.plugin(1)];
        for (from, callee) in both_ways(plugins) {
            self.waits.part(from, callee);
        }
        self.drop_memory(id, plugins);
        self.pairs.remove(&pair(plugins[0], plugins[1]));
        self.deadlines.set(Awaited::Link(id), None);
        for (side, plugin) in (0u8..).zip(plugins) {
            if let Some(links) = self.of_plugin.get_mut(&plugin) {
                links.retain(|link| *link != id);
                if links.is_empty() {
                    self.of_plugin.remove(&plugin);
                }
            }
            if self.members.contains_key(&plugin) {
                let (end, failure) = (LinkEnd { link: id, side }, failure.clone());
                self.send(plugin, LinkToPlugin::Gone { end, failure });
            }
        }
    }

    /// A gate is no longer provided: no plugin can call it until it is granted again.
    pub(super) fn ungrant(&mut self, owner: PluginId, gate: &str) {
        for id in self.of_plugin.get(&owner).into_iter().flatten() {
            if let Some(link) = self.links.get_mut(id) {
                let side = link.side_of_provider(owner);
                link.withdraw(side, gate);
            }
        }
    }
}

/// The plugins of a link: two, or the one that has both ends.
fn ends(a: PluginId, b: PluginId) -> impl Iterator<Item = PluginId> {
    [Some(a), Some(b).filter(|b| *b != a)].into_iter().flatten()
}

/// The directions of a link: two, or one for a plugin that has both ends.
fn both_ways([a, b]: [PluginId; 2]) -> impl Iterator<Item = (PluginId, PluginId)> {
    let back = Some((b, a)).filter(|_| a != b);
    std::iter::once((a, b)).chain(back)
}

pub(super) fn pair(a: PluginId, b: PluginId) -> (PluginId, PluginId) {
    (a.min(b), a.max(b))
}
