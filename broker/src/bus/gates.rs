//! Requests about gates, and telling plugins how their open gates stand.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{
    Failure, GateState, GateToBroker, GateToPlugin, LinkEnd, Route, Shape,
};

use super::provided::Offered;
use super::{Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::names::is_prefix;
use crate::quota::TokenBucket;
use crate::refused::Refused;
use crate::registry::Standing;

/// How often a second a plugin may ask why nobody provides a gate without being charged: twice as often as its library asks for calls that
/// fail.
const WHYS: u32 = 128;

impl Bus {
    pub(super) fn gate_record(
        &mut self,
        from: PluginId,
        record: GateToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match record {
            GateToBroker::Provide {
                request,
                gate,
                prefix,
                kind,
                schema,
                signature,
                encodings,
                record,
                life,
            } => {
                let offered = Offered {
                    kind,
                    schema,
                    signature,
                    encodings,
                    record,
                };
                let names = (&*gate, prefix);
                self.provide(from, request, (names, life), offered, now);
                return Ok(self.weigh_provide(from, life.is_some()));
            }
            GateToBroker::Withdraw {
                request,
                gate,
                kind,
            } => self.withdraw(from, request, (&gate, kind), now),
            GateToBroker::Open {
                open,
                gate,
                function,
                action,
            } => {
                self.open(from, open, &gate, [function, action], now)?;
                return Ok(self.weigh_open(from));
            }
            GateToBroker::Sync { open } => return self.sync(from, open, now),
            GateToBroker::Close { open } => self.close(from, open, now),
            GateToBroker::WhyAbsent { request, gate } => {
                let effect = Effect::WhyAbsent(from, request, gate);
                self.effects.push_back(effect);
                return Ok(self.weigh_why(from, now));
            }
        }
        Ok(Weight::Charged)
    }

    /// The weight of the question why nobody provides a gate. It is free as often as the library asks for calls that fail, however few
    /// requests the plugin may make.
    fn weigh_why(&mut self, from: PluginId, now: Instant) -> Weight {
        let bucket = self.members.get_mut(&from).map(|member| {
            let full = || TokenBucket::new(WHYS, WHYS, now);
            member.whys.get_or_insert_with(full)
        });
        match bucket.is_some_and(|bucket| bucket.take(now)) {
            true => Weight::Expected,
            false => Weight::Charged,
        }
    }

    /// The weight of providing a half of a gate. A limited number of these is free for a plugin that comes back, even if the broker refuses
    /// the gate.
    fn weigh_provide(&mut self, from: PluginId, comes_back: bool) -> Weight {
        let member = self.members.get_mut(&from).filter(|_| comes_back);
        let left = member.and_then(|member| {
            member.returns = member.returns.checked_sub(1)?;
            Some(Weight::Expected)
        });
        left.unwrap_or(Weight::Charged)
    }

    /// The weight of opening a gate.
    pub(super) fn weigh_open(&mut self, from: PluginId) -> Weight {
        let member = self.members.get_mut(&from);
        let first = member.is_some_and(|member| member.first_opens.is_one(member.opens.used()));
        match first {
            true => Weight::Expected,
            false => Weight::Charged,
        }
    }

    /// A plugin closes a gate. Charged, like opening it: each of them may cause a record to the provider, and the burst of one plugin has
    /// to fit the queue of a provider that does not read for a moment.
    fn close(&mut self, from: PluginId, open: u32, now: Instant) {
        self.asked.remove(from, open);
        if let Some(gate) = self.registry.close(from, open) {
            self.closed(from, &gate, now);
        }
    }

    fn open(
        &mut self,
        from: PluginId,
        open: u32,
        gate: &str,
        wanted: [Shape; 2],
        now: Instant,
    ) -> Result<(), Failure> {
        let Some(member) = self.members.get(&from) else {
            return Ok(());
        };
        match self.registry.open(from, open, gate, wanted, &member.opens) {
            Ok(()) => {
                self.refresh(from, open, now);
                let standing = self.registry.standing(from, open);
                if let Some(standing) = standing.filter(|standing| standing.owner.is_none()) {
                    let effect = Effect::OpenedAbsent(from, open, standing.gate);
                    self.effects.push_back(effect);
                }
            }
            Err(Refused::NumberInUse) => {
                return Err(protocol("it opened two gates under one number"));
            }
            Err(refused) => {
                let failure = self.explain(&refused, gate);
                self.send(from, GateToPlugin::OpenFailed { open, failure });
            }
        }
        Ok(())
    }

    /// Tells all plugins that have a gate open how it stands.
    pub(super) fn refresh_gate(&mut self, gate: &str, now: Instant) {
        for (plugin, open) in self.registry.watchers(gate) {
            self.refresh(plugin, open, now);
        }
    }

    /// Tells a plugin how a gate that it has open stands, if that is new to it. If a call could be made, the plugin is told only when the
    /// way is ready. If the plugin has asked how the gate stands, it is answered, unless the way is still being set up.
    pub(super) fn refresh(&mut self, plugin: PluginId, open: u32, now: Instant) {
        let Some(standing) = self.registry.standing(plugin, open) else {
            return;
        };
        if let Err(failure) = self.check_call(plugin, &standing.gate) {
            return match standing.blocked {
                true => self.answer_sync(plugin, open),
                false => self.refuse_open(plugin, open, failure),
            };
        }
        let mut route = None;
        let provider = standing.owner.zip(standing.by.as_ref());
        if let Some(provider) = provider.filter(|_| standing.is_ready()) {
            if standing.blocked {
                return self.answer_sync(plugin, open);
            }
            match self.route(plugin, provider, &standing, now) {
                Ok(Some(found)) => route = Some(found),
                // The next step of the link, or its failure, calls this function again, or `refuse_open`.
                Ok(None) => return,
                Err(failure) => return self.refuse_open(plugin, open, failure),
            }
        }
        let schemas = self.differing(&standing);
        let state = GateState {
            owner: standing.owner.map(|owner| self.name_of(owner)),
            generation: standing.generation,
            function: standing.function,
            action: standing.action,
            route,
        };
        if self.registry.tell(plugin, open, &state) {
            self.let_fetch(plugin, schemas);
            self.send(plugin, GateToPlugin::State { open, state });
        }
        self.answer_sync(plugin, open);
    }

    /// The way from a plugin to a gate of another one. Begins to set it up if there is none; `None` until it is ready.
    fn route(
        &mut self,
        caller: PluginId,
        (owner, by): (PluginId, &Arc<str>),
        standing: &Standing,
        now: Instant,
    ) -> Result<Option<Route>, Failure> {
        let id = self.link_between(caller, owner, now)?;
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(None);
        };
        let side = link.side_of_provider(owner);
        let steps = link.want(side, (&standing.gate, by), standing.prints, now);
        let index = link.callable(side, &standing.gate);
        let steps = steps.ok_or_else(|| {
            let owner = self.label_of(owner);
            let message = format!("{owner} has granted too many gates on one link");
            Failure::new(Code::Overloaded, message)
        })?;
        self.run(id, steps, now);
        let end = LinkEnd { link: id, side }.other();
        Ok(index.map(|index| Route { end, index }))
    }

    /// Tells a plugin that a gate cannot be made callable for it, until something changes.
    pub(super) fn refuse_open(&mut self, plugin: PluginId, open: u32, failure: Failure) {
        self.registry.block(plugin, open);
        self.send(plugin, GateToPlugin::OpenFailed { open, failure });
        self.answer_sync(plugin, open);
    }

    /// As [`Bus::refuse_open`], because there is no way to the gate. Does nothing if the plugin may not call the gate anyway, which it was
    /// told.
    pub(super) fn refuse_way(&mut self, plugin: PluginId, open: u32, failure: &Failure) {
        let standing = self.registry.standing(plugin, open);
        if standing.is_some_and(|standing| self.check_call(plugin, &standing.gate).is_ok()) {
            self.refuse_open(plugin, open, failure.clone());
        }
    }

    pub(super) fn explain(&self, refused: &Refused, gate: &str) -> Failure {
        let (code, message) = match refused {
            Refused::Owned(owner, what) => {
                let owner = self.label_of(*owner);
                let message = match is_prefix(what) {
                    true => format!("{owner} provides all gates under {what} already"),
                    false => format!("{owner} provides the gate {what} already"),
                };
                (Code::AlreadyProvided, message)
            }
            Refused::Twice => {
                let message = format!("this plugin provides this half of {gate} already");
                (Code::AlreadyProvided, message)
            }
            Refused::Waits => {
                let message = format!("this plugin waits for this half of {gate} already");
                (Code::AlreadyProvided, message)
            }
            Refused::NotProvided => {
                let message = format!("this plugin does not provide this half of {gate}");
                (Code::NotReady, message)
            }
            Refused::Sends(owner, topic) => {
                let owner = self.label_of(*owner);
                let message = format!(
                    "{owner} sends the events of {topic} already; the topic is not open to others \
                     (`TopicOptions::open`)"
                );
                (Code::AlreadyProvided, message)
            }
            Refused::SendsTwice => {
                let message =
                    format!("this plugin sends events on {gate} already, or waits for it");
                (Code::AlreadyProvided, message)
            }
            Refused::SendsNot => {
                let message = format!("this plugin does not send events on {gate}");
                (Code::NotReady, message)
            }
            Refused::OpenTopic => {
                let message = format!(
                    "{gate} is an open topic, on which any plugin may send: no gate has that name meanwhile, \
                     and no plugin has it alone"
                );
                (Code::AlreadyProvided, message)
            }
            Refused::TooManyGates(limit) => {
                let message = format!(
                    "this plugin provides {limit} gates and topics already, its limit (those that it waits for \
                     count, too)"
                );
                (Code::Overloaded, message)
            }
            Refused::TooManyOpens(limit) => {
                let message = format!(
                    "this plugin has {limit} gates open or subscribed to already, its limit"
                );
                (Code::Overloaded, message)
            }
            Refused::TooMuchSchema(limit) => {
                let message = format!(
                    "the schemas of this plugin's gates would have more than {limit} bytes together, its limit"
                );
                (Code::Overloaded, message)
            }
            Refused::Invalid(message) => (Code::InvalidArgument, message.clone()),
            Refused::NumberInUse => (Code::Protocol, "the number is in use".into()),
        };
        Failure::new(code, message)
    }
}
