//! The gates that this plugin provides: changed by the program, read by the dispatcher.
//!
//! They outlive brokers: each membership has the links through which they are called (`linked.rs`). Changes are
//! rare and made under locks; each increments the version of every membership. The dispatcher works on private
//! copies, and renews them when a version has changed, so no call takes a lock.

mod prefixes;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use callgate_layout::Code;
use callgate_layout::control::{GateToBroker, SchemaSource};
use callgate_layout::envelope::CallKind;
use callgate_layout::stats::RECORDS;
use parking_lot::Mutex;

use super::dispatch::Dispatch;
use super::gate::{Gate, Half, Names};
use super::limits::{Limit, Limits, Owner, OwnerNow, at_a_time};
use super::offered::Types;
use super::options::GateOptions;
use crate::base::error::{Error, Result};
use crate::handler::ErasedHandler;
pub(crate) use prefixes::is_prefix;

/// One half of a gate that a plugin provides, as brokers are told of it.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) gate: Arc<str>,
    pub(crate) kind: CallKind,
    /// The number of the registration, so that a late answer does not change a later one.
    pub(crate) registration: u64,
    pub(crate) types: Arc<Types>,
    /// The record of the status page in which the gate's calls are counted.
    pub(crate) record: Option<u16>,
}

impl Offer {
    /// The record that asks a broker to register the gate. `life` is the life that it had, if the plugin has come
    /// back.
    pub(crate) fn record(
        &self,
        (request, life): (u32, Option<u64>),
        schema: SchemaSource,
    ) -> GateToBroker {
        let shape = &self.types.shape;
        GateToBroker::Provide {
            request,
            gate: self.gate.to_string(),
            prefix: is_prefix(&self.gate),
            kind: self.kind,
            schema,
            signature: shape.signature.clone(),
            encodings: shape.encodings,
            record: self.record,
            life,
        }
    }
}

/// What runs the calls of one half of a gate or a prefix.
pub(crate) struct Serving {
    pub(crate) handler: Arc<dyn ErasedHandler>,
    /// The names that exist under a prefix; `None` if all do.
    pub(crate) names: Option<Names>,
}

/// A membership through whose links gates are called.
pub(super) trait Follows: Send + Sync {
    /// Has its dispatcher renew its copies of the gates, and direct callers look again.
    fn changed(&self);

    /// Clears a record of its status page, in which a gate begins to be counted.
    fn clear_record(&self, record: u16);
}

/// The gates that a plugin provides.
pub(crate) struct ProvidedGates {
    gates: Mutex<HashMap<Arc<str>, Gate>>,
    /// The options of gates by name, whether they are provided or not. This lock is taken after those of grants and
    /// `gates`, and no other lock is taken while it is held.
    options: Mutex<HashMap<Arc<str>, GateOptions>>,
    limits: Limits,
    /// The memberships through whose links the gates are called, the newest last.
    followers: Mutex<Vec<Weak<dyn Follows>>>,
    /// How often gates have changed. Incremented after the change and before followers are told.
    changes: Mutex<u64>,
    next_registration: AtomicU64,
    dispatch: Dispatch,
    owner: OwnerNow,
}

impl ProvidedGates {
    /// No gates, for a plugin that has one membership and no links yet.
    pub(crate) fn new(dispatch: Dispatch, owner: Owner) -> ProvidedGates {
        ProvidedGates {
            gates: Mutex::default(),
            options: Mutex::default(),
            limits: Limits::default(),
            followers: Mutex::default(),
            changes: Mutex::default(),
            next_registration: AtomicU64::new(0),
            dispatch,
            owner: OwnerNow::new(owner),
        }
    }

    /// Makes the gates callable in one more membership, which is the current one from here on.
    pub(super) fn add_follower(&self, follower: Weak<dyn Follows>, owner: Owner) {
        self.owner.set(owner);
        let mut all = self.followers.lock();
        all.retain(|follower| follower.strong_count() > 0);
        all.push(follower);
    }

    fn followers(&self) -> Vec<Arc<dyn Follows>> {
        let all = self.followers.lock();
        all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Has the dispatcher renew its copies, and direct callers look again.
    fn changed(&self) {
        *self.changes.lock() += 1;
        for follower in self.followers() {
            follower.changed();
        }
    }

    /// How often gates have changed, at least as far as this thread has been told.
    pub(crate) fn changes(&self) -> u64 {
        *self.changes.lock()
    }

    /// Adds a handler for one half of a gate. Returns what brokers are told of it, with the number of the
    /// registration, which is needed to remove it.
    pub(crate) fn insert(
        &self,
        name: &Arc<str>,
        kind: CallKind,
        types: Types,
        serving: Serving,
    ) -> Result<Offer> {
        let mut gates = self.gates.lock();
        let free = free_record(&gates);
        let gate = gates.entry(name.clone()).or_insert_with(|| {
            let record = free.inspect(|record| self.clear_record(*record));
            let options = self.options_of(name);
            Gate::new(name.clone(), record, (options, self.limit(name, options)))
        });
        let types = Arc::new(types);
        let half = gate.half(kind);
        if half.is_some() {
            return Err(Error::new(
                Code::AlreadyProvided,
                "this plugin provides it already, or still holds the `Provider` of a gate that ended when the right \
                 to provide it was taken back: drop that `Provider` first",
            )
            .at_gate(name.clone()));
        }
        let registration = self.next_registration.fetch_add(1, Ordering::Relaxed);
        *half = Some(Half {
            registration,
            types: types.clone(),
            handler: serving.handler,
            names: serving.names,
            is_offered: false,
            is_lost: false,
        });
        let record = gate.record();
        drop(gates);
        self.changed();
        Ok(Offer {
            gate: name.clone(),
            kind,
            registration,
            types,
            record,
        })
    }

    /// Notes that a broker has registered a half, in this life of the gate. Returns `true` if the gate was lost and
    /// no half of it is lost any more.
    pub(crate) fn offered(&self, offer: &Offer, life: u64) -> bool {
        let was_lost = self.change(offer, |old, half| {
            *old = Some(life);
            half.is_offered = true;
            std::mem::take(&mut half.is_lost)
        });
        if was_lost != Some(true) {
            return false;
        }
        self.changed();
        !self.is_lost(&offer.gate)
    }

    /// Notes that another plugin provides the gate; calls of it are refused here. Returns whether it is the first
    /// half that is lost.
    pub(crate) fn lost(&self, offer: &Offer) -> bool {
        let is_first = !self.is_lost(&offer.gate);
        let lost = |life: &mut Option<u64>, half: &mut Half| {
            // That life has ended; the gate's next one gets another number.
            *life = Some(0);
            half.is_lost = true;
        };
        let is_news = self.change(offer, lost).is_some();
        if is_news {
            self.changed();
        }
        is_news && is_first
    }

    /// Whether another plugin has a half of the gate now.
    fn is_lost(&self, name: &str) -> bool {
        let gates = self.gates.lock();
        gates.get(name).is_some_and(Gate::is_lost)
    }

    /// Asks no later broker for this half, because a broker has refused it for good.
    pub(crate) fn refused(&self, offer: &Offer) {
        self.change(offer, |_, half| half.is_offered = false);
    }

    /// Notes that no broker has the half registered any more, because the plugin closes.
    pub(crate) fn withdrawn(&self, name: &str, kind: CallKind) {
        let mut gates = self.gates.lock();
        if let Some(half) = gates
            .get_mut(name)
            .and_then(|gate| gate.half(kind).as_mut())
        {
            half.is_offered = false;
        }
    }

    /// Changes one half of a gate and the gate's life, if this registration is still there.
    fn change<T>(
        &self,
        offer: &Offer,
        change: impl FnOnce(&mut Option<u64>, &mut Half) -> T,
    ) -> Option<T> {
        let mut gates = self.gates.lock();
        let gate = gates.get_mut(&offer.gate)?;
        let (life, half) = gate.life_and_half(offer.kind);
        let half = half.as_mut()?;
        (half.registration == offer.registration).then(|| change(life, half))
    }

    /// Whether the plugin still provides this half.
    pub(crate) fn has(&self, offer: &Offer) -> bool {
        self.change(offer, |_, _| ()).is_some()
    }

    /// The halves that a broker has registered, each with the life of its gate.
    pub(crate) fn offered_before(&self) -> Vec<(Offer, u64)> {
        let mut gates = self.gates.lock();
        let mut all = Vec::new();
        for (name, gate) in gates.iter_mut() {
            let record = gate.record();
            for kind in [CallKind::Function, CallKind::Action] {
                let (life, half) = gate.life_and_half(kind);
                if let Some(half) = half.as_ref().filter(|half| half.is_offered) {
                    let offer = Offer {
                        gate: name.clone(),
                        kind,
                        registration: half.registration,
                        types: half.types.clone(),
                        record,
                    };
                    all.push((offer, life.unwrap_or(0)));
                }
            }
        }
        all
    }

    /// Removes a handler and returns it. It may still be running.
    #[must_use = "what a handler has captured may come back here when it is dropped, or panic"]
    pub(crate) fn remove(&self, offer: &Offer) -> Option<Half> {
        let mut gates = self.gates.lock();
        let gate = gates.get_mut(&offer.gate)?;
        let gone = gate
            .half(offer.kind)
            .take_if(|half| half.registration == offer.registration);
        let is_over = gate.function.is_none() && gate.action.is_none();
        let over = if is_over {
            gates.remove(&offer.gate)
        } else {
            None
        };
        drop(gates);
        self.changed();
        // Direct calls that wait find that the gate is gone.
        if let Some(limit) = over.as_ref().and_then(Gate::limit) {
            limit.wake_visitors();
        }
        gone
    }

    /// Sets the options of a gate, from the next call on.
    pub(crate) fn set_options(&self, name: &Arc<str>, options: GateOptions) {
        let mut gates = self.gates.lock();
        self.options.lock().insert(name.clone(), options);
        if let Some(gate) = gates.get_mut(name) {
            gate.set_options(options, self.limit(name, options));
        }
        drop(gates);
        self.changed();
    }

    fn limit(&self, name: &Arc<str>, options: GateOptions) -> Option<Arc<Limit>> {
        let calls = at_a_time(options, self.dispatch);
        self.limits.of(name, &self.owner, calls)
    }

    /// Clears a record in which a gate begins to be counted.
    fn clear_record(&self, record: u16) {
        for follower in self.followers() {
            follower.clear_record(record);
        }
    }

    fn options_of(&self, name: &str) -> GateOptions {
        self.options.lock().get(name).copied().unwrap_or_default()
    }

    /// All halves that are provided.
    pub(crate) fn all(&self) -> Vec<(Arc<str>, CallKind)> {
        let gates = self.gates.lock();
        let mut all = Vec::new();
        for (name, gate) in gates.iter() {
            all.extend(gate.kinds().map(|kind| (name.clone(), kind)));
        }
        all
    }

    /// Removes and returns all gates.
    pub(crate) fn take_gates(&self) -> HashMap<Arc<str>, Gate> {
        let gates = std::mem::take(&mut *self.gates.lock());
        *self.changes.lock() += 1;
        gates
    }

    /// Whether any gate is re-entrant, or will be once it is provided.
    pub(super) fn any_reentrant(&self) -> bool {
        let options = self.options.lock();
        options.values().any(|options| options.is_reentrant())
    }

    /// Has all direct calls that wait for a permit look again, because the plugin closes.
    pub(super) fn wake_visitors(&self) {
        self.limits.wake_visitors();
    }
}

/// A record of the status page that no gate uses.
fn free_record(gates: &HashMap<Arc<str>, Gate>) -> Option<u16> {
    let taken = |taken, gate: &Gate| taken | gate.record().map_or(0, |record| 1_u128 << record);
    let taken = gates.values().fold(0, taken);
    let free = taken.trailing_ones() as u16;
    (free < RECORDS).then_some(free)
}

const _: () = assert!(RECORDS as u32 <= u128::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    /// Two gates were counted in one record.
    #[test]
    fn a_record_is_one_gate_s() {
        let gate = |name: &str, record| {
            let name: Arc<str> = name.into();
            (
                name.clone(),
                Gate::new(name, record, (GateOptions::new(), None)),
            )
        };
        let mut gates = HashMap::new();
        assert_eq!(free_record(&gates), Some(0));
        gates.extend([
            gate("A.A", Some(0)),
            gate("A.B", Some(2)),
            gate("A.C", None),
        ]);
        assert_eq!(free_record(&gates), Some(1));
        gates.extend((0..RECORDS).map(|n| gate(&format!("B.{n}"), Some(n))));
        assert_eq!(free_record(&gates), None);
    }
}
