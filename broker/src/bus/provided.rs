//! Gates that begin and end to be provided, and who provides them next.

use std::time::Instant;

use callgate_layout::control::{Failure, GateToPlugin, SessionToPlugin};
use callgate_layout::envelope::CallKind;

use super::Bus;
use crate::id::PluginId;
use crate::lines::Offer;
use crate::refused::Refused;

impl Bus {
    /// A plugin offers one half of a gate. `had` is which life of the gate it was, where it comes back:
    /// then it stands in line for a gate of another plugin.
    pub(super) fn provide(
        &mut self,
        from: PluginId,
        request: u32,
        (gate, had): (&str, Option<u64>),
        offer: Offer,
        now: Instant,
    ) {
        if let Err(failure) = self.check_provide(from, gate) {
            return self.answer(from, request, Some(failure));
        }
        let Some(member) = self.members.get(&from) else {
            return;
        };
        let provided = self
            .registry
            .provide(from, gate, (&offer, had), &member.gates);
        let refused = match provided {
            Ok(life) => {
                self.send(from, GateToPlugin::Provided { request, life });
                return self.refresh_gate(gate, now);
            }
            Err(Refused::Owned(owner)) if had.is_some() => {
                let joined = self.lines.join(from, gate, (request, offer), &member.gates);
                let Err(refused) = joined else {
                    let owner = self.name_of(owner);
                    return self.send(from, GateToPlugin::Lost { request, owner });
                };
                refused
            }
            Err(refused) => refused,
        };
        let failure = self.explain(&refused, gate);
        self.answer(from, request, Some(failure));
    }

    /// A plugin offers one half of a gate no longer, or stands in line for it no longer.
    pub(super) fn withdraw(
        &mut self,
        from: PluginId,
        request: u32,
        (gate, kind): (&str, CallKind),
        now: Instant,
    ) {
        if self.lines.leave(from, gate, kind) {
            return self.answer(from, request, None);
        }
        let done = self.registry.withdraw(from, gate, kind);
        let failure = done.as_ref().err();
        let failure = failure.map(|refused| self.explain(refused, gate));
        self.answer(from, request, failure);
        match done {
            Ok(true) => self.freed(from, gate, now),
            Ok(false) => self.refresh_gate(gate, now),
            Err(_) => {}
        }
    }

    /// Takes all halves of a gate from the plugin that provides it.
    pub(super) fn withdraw_all(&mut self, owner: PluginId, gate: &str, now: Instant) {
        for kind in [CallKind::Function, CallKind::Action] {
            // One of the two may not be there.
            let _ = self.registry.withdraw(owner, gate, kind);
        }
        self.freed(owner, gate, now);
    }

    fn freed(&mut self, owner: PluginId, gate: &str, now: Instant) {
        self.ungrant(owner, gate);
        self.hand_on(gate, now);
    }

    /// Gives a gate that nobody provides any more to whoever has stood in line for it longest, and tells
    /// everyone who has it open how it stands.
    pub(super) fn hand_on(&mut self, gate: &str, now: Instant) {
        if let Some(next) = self.lines.next(gate) {
            let plugin = next.plugin;
            let requests: Vec<u32> = next.offers.iter().map(|(request, _)| *request).collect();
            let life = self.registry.hand_on(gate, next);
            for request in requests {
                self.send(plugin, GateToPlugin::Provided { request, life });
            }
        }
        self.refresh_gate(gate, now);
    }

    /// Takes plugins out of the lines for gates that they may not provide any more.
    pub(super) fn leave_forbidden_lines(&mut self) {
        for (plugin, gate) in self.lines.all() {
            let Err(failure) = self.check_provide(plugin, &gate) else {
                continue;
            };
            let place = self.lines.take(plugin, &gate);
            for (request, _) in place.into_iter().flat_map(|place| place.offers) {
                self.answer(plugin, request, Some(failure.clone()));
            }
        }
    }

    fn answer(&mut self, to: PluginId, request: u32, failure: Option<Failure>) {
        self.send(to, SessionToPlugin::Answer { request, failure });
    }
}
