//! What peers may call here: grants, and the gates that they lead to now.

use std::collections::BTreeSet;
use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::envelope::CallKind;
use parking_lot::Mutex;

use super::limits::Limit;
use super::offered::Types;
use super::options::GateOptions;
use crate::base::error::{Error, Result};
use crate::handler::{ErasedHandler, HandlerKind};
use crate::link::Link;

/// One half of a provided gate.
#[derive(Clone)]
pub(crate) struct Half {
    /// So that a late withdrawal does not remove its successor.
    pub(super) registration: u64,
    /// What it takes and gives.
    pub(super) types: Arc<Types>,
    pub(super) handler: Arc<dyn ErasedHandler>,
    /// Whether a broker has agreed, so that the next one is asked as well.
    pub(super) is_offered: bool,
    /// Another plugin provides the gate, as the broker says: nobody may call it here.
    pub(super) is_lost: bool,
}

/// What a peer was granted under an index: a gate, with the types of its halves as the broker knew
/// them. A call that was laid out for those may still be on its way when the gate comes back with
/// others, and must not be read as if it were one of theirs.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) gate: Arc<str>,
    pub(crate) function: Option<u128>,
    pub(crate) action: Option<u128>,
}

impl Grant {
    /// The gate as it may be called under this index: without the halves that have other types
    /// now, or that it did not have yet.
    fn pin(&self, mut gate: Gate) -> Gate {
        for (pinned, half) in [
            (self.function, &mut gate.function),
            (self.action, &mut gate.action),
        ] {
            // Not dropped here: it may be the last one by now, and locks are held.
            let is_other =
                |half: &mut Half| half.is_lost || pinned != Some(half.types.shape.fingerprint);
            let other = half.take_if(is_other);
            gate.unseen.extend(other);
        }
        gate
    }
}

/// A gate's handlers as the dispatcher holds them.
#[derive(Clone)]
pub(crate) struct Gate {
    name: Arc<str>,
    /// Where its calls are counted, if the status page has room for it.
    record: Option<u16>,
    options: GateOptions,
    limit: Option<Arc<Limit>>,
    /// Which life of the gate brokers have said that this is.
    life: Option<u64>,
    pub(super) function: Option<Half>,
    pub(super) action: Option<Half>,
    /// Halves that may not be called here.
    unseen: Vec<Half>,
}

impl Gate {
    /// A gate without halves.
    pub(super) fn new(
        name: Arc<str>,
        record: Option<u16>,
        (options, limit): (GateOptions, Option<Arc<Limit>>),
    ) -> Gate {
        Gate {
            name,
            record,
            options,
            limit,
            life: None,
            function: None,
            action: None,
            unseen: Vec::new(),
        }
    }

    pub(super) fn half(&mut self, kind: CallKind) -> &mut Option<Half> {
        match kind {
            CallKind::Function => &mut self.function,
            CallKind::Action => &mut self.action,
        }
    }

    /// One half, and which life of the gate it is.
    pub(super) fn life_and_half(
        &mut self,
        kind: CallKind,
    ) -> (&mut Option<u64>, &mut Option<Half>) {
        let half = match kind {
            CallKind::Function => &mut self.function,
            CallKind::Action => &mut self.action,
        };
        (&mut self.life, half)
    }

    /// Whether one of its halves is another plugin's now.
    pub(super) fn is_lost(&self) -> bool {
        let mut halves = [&self.function, &self.action].into_iter().flatten();
        halves.any(|half| half.is_lost)
    }

    /// The halves that it has.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = CallKind> {
        let kinds = [CallKind::Function, CallKind::Action].into_iter();
        kinds.filter(|kind| self.handler(*kind).is_some())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How its calls are run.
    pub(crate) fn options(&self) -> GateOptions {
        self.options
    }

    /// How many of its calls are handled at a time, if that is limited.
    #[inline]
    pub(crate) fn limit(&self) -> Option<&Arc<Limit>> {
        self.limit.as_ref()
    }

    /// The same if it is about calls because the provider has said it, and not about a pool's threads. Then
    /// it holds for visitors, too, and until a call was answered.
    #[inline]
    pub(crate) fn limit_of_calls(&self) -> Option<&Arc<Limit>> {
        let is_said = self.options().calls_at_a_time().is_some();
        self.limit().filter(|_| is_said)
    }

    pub(super) fn set_options(&mut self, options: GateOptions, limit: Option<Arc<Limit>>) {
        (self.options, self.limit) = (options, limit);
    }

    #[inline]
    pub(crate) fn record(&self) -> Option<u16> {
        self.record
    }

    #[inline]
    pub(crate) fn handler(&self, kind: CallKind) -> Option<&dyn ErasedHandler> {
        let half = match kind {
            CallKind::Function => &self.function,
            CallKind::Action => &self.action,
        };
        half.as_ref().map(|half| &*half.handler)
    }
}

/// What lies behind an index of a link.
#[derive(Clone)]
pub(crate) enum Callable {
    /// Nothing that the peer may call.
    Refused,
    /// A gate that it may call, but that is not provided now.
    Absent,
    /// A gate.
    Here(Gate),
}

impl Callable {
    /// What lies behind a grant now.
    fn behind(grant: Option<&Grant>, look_up: impl Fn(&str) -> Option<Gate>) -> Callable {
        match grant {
            None => Callable::Refused,
            Some(grant) => match look_up(&grant.gate) {
                Some(gate) => Callable::Here(grant.pin(gate)),
                None => Callable::Absent,
            },
        }
    }

    /// Whether one of the gate's handlers answers later.
    pub(crate) fn answers_later(&self) -> bool {
        let Callable::Here(gate) = self else {
            return false;
        };
        let halves = [&gate.function, &gate.action].into_iter().flatten();
        let mut handlers = halves.map(|half| half.handler.kind());
        handlers.any(|kind| matches!(kind, HandlerKind::Later(_)))
    }

    /// Whether it is a gate whose handlers may run on top of another chain's wait.
    pub(crate) fn is_reentrant(&self) -> bool {
        match self {
            Callable::Here(gate) => gate.options().is_reentrant(),
            Callable::Refused | Callable::Absent => false,
        }
    }

    /// What runs a call of one of the gate's halves.
    #[inline]
    pub(crate) fn handler(&self, kind: CallKind) -> Result<(&Gate, &dyn ErasedHandler)> {
        let gate = match self {
            Callable::Here(gate) => gate,
            Callable::Absent => return Err(not_provided(kind)),
            Callable::Refused => return Err(not_granted()),
        };
        let handler = gate.handler(kind).ok_or_else(|| not_provided(kind))?;
        Ok((gate, handler))
    }
}

/// What the peer at the other end of a link may call here, by the index in its calls.
#[derive(Debug)]
pub(crate) struct PeerGrants {
    link: Arc<Link>,
    grants: Mutex<Vec<Option<Grant>>>,
}

impl PeerGrants {
    pub(super) fn new(link: Arc<Link>) -> PeerGrants {
        PeerGrants {
            link,
            grants: Mutex::default(),
        }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The gate that the peer calls under an index.
    pub(super) fn gate(&self, index: u16) -> Option<Arc<str>> {
        let grants = self.grants.lock();
        let grant = grants.get(usize::from(index))?.as_ref();
        grant.map(|grant| grant.gate.clone())
    }

    /// Lets the peer call a gate under an index.
    pub(super) fn grant(&self, index: u16, grant: Grant) {
        let mut grants = self.grants.lock();
        let index = usize::from(index);
        if grants.len() <= index {
            grants.resize(index + 1, None);
        }
        grants[index] = Some(grant);
    }

    /// The peer may not call what it called under some indexes.
    pub(super) fn revoke(&self, indexes: &[u16]) {
        let mut grants = self.grants.lock();
        for index in indexes {
            if let Some(grant) = grants.get_mut(usize::from(*index)) {
                *grant = None;
            }
        }
    }

    /// The peer may not call some gates any more, whatever their indexes.
    pub(super) fn revoke_gates(&self, gates: &[Arc<str>]) {
        for grant in self.grants.lock().iter_mut() {
            grant.take_if(|grant| gates.contains(&grant.gate));
        }
    }

    /// The gates that the peer may call.
    pub(crate) fn gates(&self) -> Vec<Arc<str>> {
        let grants = self.grants.lock();
        let granted = grants.iter().flatten().map(|grant| grant.gate.clone());
        let gates: BTreeSet<Arc<str>> = granted.collect();
        gates.into_iter().collect()
    }

    /// Of which gates that the peer may call something holds, by index.
    pub(super) fn which(&self, holds: impl Fn(&str) -> bool) -> Vec<bool> {
        let grants = self.grants.lock();
        let of = |grant: &Option<Grant>| grant.as_ref().is_some_and(|grant| holds(&grant.gate));
        grants.iter().map(of).collect()
    }

    /// What the peer may call, by index, as `look_up` has the gates now.
    pub(super) fn callable(&self, look_up: impl Fn(&str) -> Option<Gate>) -> Vec<Callable> {
        let grants = self.grants.lock();
        let pinned = grants
            .iter()
            .map(|grant| Callable::behind(grant.as_ref(), &look_up));
        pinned.collect()
    }

    /// The same of one index.
    pub(super) fn callable_as(
        &self,
        index: u16,
        look_up: impl Fn(&str) -> Option<Gate>,
    ) -> Callable {
        let grants = self.grants.lock();
        let grant = grants.get(usize::from(index));
        grant.map_or(Callable::Refused, |grant| {
            Callable::behind(grant.as_ref(), look_up)
        })
    }
}

/// The error for an index under which nothing may be called.
#[cold]
pub(super) fn not_granted() -> Error {
    let text = "no such gate is granted on this link, or not any more";
    Error::new(Code::PermissionDenied, text)
}

/// The error for a half of a gate that is not there.
#[cold]
pub(crate) fn not_provided(kind: CallKind) -> Error {
    let half = match kind {
        CallKind::Function => "function",
        CallKind::Action => "action",
    };
    Error::new(Code::NotReady, format!("the gate has no {half} now"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::erase;
    use callgate_layout::Encodings;
    use callgate_layout::control::Shape;

    fn gate(fingerprint: u128) -> Gate {
        let half = Half {
            registration: 0,
            types: Arc::new(Types {
                shape: Shape {
                    params: Some(1),
                    fingerprint,
                    encodings: Encodings::ARCHIVE,
                    signature: String::new(),
                },
                schema: Vec::new(),
            }),
            handler: erase(|n: u32| n),
            is_offered: true,
            is_lost: false,
        };
        Gate {
            function: Some(half),
            ..Gate::new("A.B".into(), None, (GateOptions::new(), None))
        }
    }

    /// A gate came back with other types; a call made for the old ones was still in the ring, and
    /// its bytes were read as the new ones.
    #[test]
    fn an_index_never_leads_to_other_types() {
        let grant = |function| Grant {
            gate: "A.B".into(),
            function,
            action: Some(2),
        };
        let leads = |grant: Grant, now| grant.pin(gate(now)).handler(CallKind::Function).is_some();
        assert!(leads(grant(Some(1)), 1));
        assert!(!leads(grant(Some(1)), 2));
        assert!(!leads(grant(None), 2), "a half that nobody grant");
    }
}
