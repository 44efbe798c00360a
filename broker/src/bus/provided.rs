//! Gates that begin and cease to be provided, and which plugin provides them next.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Encodings;
use callgate_layout::control::{Failure, GateToPlugin, SchemaSource, SessionToPlugin};
use callgate_layout::envelope::CallKind;

use super::Bus;
use crate::id::PluginId;
use crate::lines::Offer;
use crate::names::is_prefix;
use crate::refused::Refused;
use crate::shape::Provided;

/// One half of a gate, as the plugin's `Provide` describes it.
pub(super) struct Offered {
    pub(super) kind: CallKind,
    pub(super) schema: SchemaSource,
    pub(super) signature: String,
    pub(super) encodings: Encodings,
    pub(super) record: Option<u16>,
}

impl Bus {
    /// A plugin offers one half of a gate or of a prefix. If the plugin comes back, `had` is the life of the gate that it had; such a
    /// plugin stands in line where another one provides the gate.
    pub(super) fn provide(
        &mut self,
        from: PluginId,
        request: u32,
        ((gate, prefix), had): ((&str, bool), Option<u64>),
        offered: Offered,
        now: Instant,
    ) {
        // Before anything else is checked: holding the schema ends the upload that the plugin has made for it.
        let offer = self.take_offer(from, offered);
        if let Err(failure) = self.check_provide(from, gate) {
            return self.answer(from, request, Some(failure));
        }
        let named = match prefix == is_prefix(gate) {
            true => Ok(()),
            false => Err(Refused::Invalid(
                "a prefix ends in `.`, and no gate's name does".into(),
            )),
        };
        let offer = match named.and(offer) {
            Ok(offer) => offer,
            Err(refused) => {
                let failure = self.explain(&refused, gate);
                return self.answer(from, request, Some(failure));
            }
        };
        let Some(member) = self.members.get(&from) else {
            return;
        };
        let free = self.topics.check_gate(from, gate);
        let provided = free.and_then(|()| {
            self.registry
                .provide(from, gate, (&offer, had), &member.gates)
        });
        let refused = match provided {
            Ok(life) => {
                self.send(from, GateToPlugin::Provided { request, life });
                return self.refresh_gate(gate, now);
            }
            Err(Refused::Owned(owner, _) | Refused::Sends(owner, _)) if had.is_some() => {
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

    /// Holds the schema of what a plugin offers, and returns the offer.
    fn take_offer(&mut self, from: PluginId, offered: Offered) -> Result<Offer, Refused> {
        let member = self.members.get_mut(&from).ok_or(Refused::NotProvided)?;
        let held = member.schemas.hold(offered.schema, &mut self.schemas)?;
        let provided = Provided {
            held,
            encodings: offered.encodings,
            signature: offered.signature,
        };
        Ok(Offer {
            kind: offered.kind,
            provided,
            record: offered.record,
        })
    }

    /// A plugin withdraws one half of a gate, or leaves the line for it.
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
            // A gate may have only one of the two.
            let _ = self.registry.withdraw(owner, gate, kind);
        }
        self.freed(owner, gate, now);
    }

    fn freed(&mut self, owner: PluginId, gate: &str, now: Instant) {
        self.ungrant(owner, gate);
        self.hand_on(gate, now);
    }

    /// Something is no longer provided. Gives its name, and names that it was in the way of, to the plugins that have stood in line
    /// longest; then tells all plugins that have these names open how they stand.
    pub(super) fn hand_on(&mut self, gone: &str, now: Instant) {
        let gates = self.lines.about(gone).into_iter();
        let gates = gates.map(|place| (place.since, place.name, place.plugin, false));
        let topics = self.source_lines.about(gone).into_iter();
        let topics = topics.map(|(since, topic, plugin)| (since, topic, plugin, true));
        let mut waiting: Vec<_> = gates.chain(topics).collect();
        waiting.sort_unstable_by_key(|(since, ..)| *since);
        let mut names = vec![Arc::from(gone)];
        for (since, name, plugin, is_source) in waiting {
            if is_source {
                self.hand_topic_on(plugin, (&name, since), now);
            } else if self.hand_gate_on(plugin, &name) && *name != *gone {
                names.push(name);
            }
        }
        for name in names {
            self.refresh_gate(&name, now);
        }
    }

    /// Gives a gate or a prefix to a plugin in line for it, if nothing is in the way; what was handed on just before can be. Returns
    /// whether the plugin got it.
    fn hand_gate_on(&mut self, plugin: PluginId, name: &str) -> bool {
        let taken = self.registry.in_the_way(plugin, name).is_some()
            || self.topics.check_gate(plugin, name).is_err();
        let next = (!taken).then(|| self.lines.take(plugin, name));
        let Some(next) = next.flatten() else {
            return false;
        };
        let requests: Vec<u32> = next.offers.iter().map(|(request, _)| *request).collect();
        let life = self.registry.hand_on(name, next);
        for request in requests {
            self.send(plugin, GateToPlugin::Provided { request, life });
        }
        true
    }

    /// Removes plugins from the lines for gates that they may not provide any more.
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
        self.leave_forbidden_source_lines();
    }

    pub(super) fn answer(&mut self, to: PluginId, request: u32, failure: Option<Failure>) {
        self.send(to, SessionToPlugin::Answer { request, failure });
    }
}
