//! What peers may call here: their grants, and the gates behind these.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encoding};
use parking_lot::Mutex;

use super::answers::Answers;
use super::gate::{Gate, Half, not_provided};
use super::latest::Latest;
use crate::base::error::{Error, Result};
use crate::handler::{ErasedHandler, HandlerKind};
use crate::link::Link;

/// What a peer was granted under an index: a gate, with the types of its halves as the broker knew them. If the gate
/// comes back with other types, archives of the old types may still be on their way, and must not be read as the new
/// ones. JSON describes itself.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) gate: Arc<str>,
    pub(crate) function: Option<u128>,
    pub(crate) action: Option<u128>,
    /// The registrations of the prefix's function and action whose predicate has said that there is a gate of this
    /// name. A later half with a predicate of its own was not asked.
    pub(crate) said: [Option<u64>; 2],
}

impl Grant {
    /// The gate as it may be called under this index with archives: without halves that have other types now, that it
    /// did not have then, or that take no archives. Halves that have no gate of this name may not be called at all.
    fn pin(&self, mut gate: Gate) -> Gate {
        let [of_function, of_action] = self.said;
        for (kind, pinned, said) in [
            (CallKind::Function, self.function, of_function),
            (CallKind::Action, self.action, of_action),
        ] {
            let is_absent =
                |half: &mut Half| half.names.is_some() && said != Some(half.registration);
            let absent = gate.half(kind).take_if(is_absent);
            gate.absent.extend(absent);
            let takes = |half: &Half| half.takes().has(Encoding::Archive);
            let is_same = |half: &Half| pinned == Some(half.types.shape.fingerprint);
            let is_other = |half: &mut Half| half.is_lost || !takes(half) || !is_same(half);
            // Not dropped here, because this may be the last reference, and locks are held.
            let other = gate.half(kind).take_if(is_other);
            gate.unseen.extend(other.map(|half| (kind, half)));
        }
        gate
    }
}

/// What an index of a link leads to.
#[derive(Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are gates, which each call looks at where they lie"
)]
pub(crate) enum Callable {
    /// Nothing that the peer may call.
    Refused,
    /// A gate that the peer may call, but that is not provided now.
    Absent,
    /// A gate.
    Here(Gate),
}

impl Callable {
    /// What a grant leads to now.
    fn behind(grant: Option<&Grant>, look_up: impl Fn(&Arc<str>) -> Option<Gate>) -> Callable {
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
        // Also those that take only JSON.
        let halves = halves.chain(gate.unseen.iter().map(|(_, half)| half));
        let mut handlers = halves.map(|half| half.handler.kind());
        handlers.any(|kind| matches!(kind, HandlerKind::Later(_)))
    }

    /// Whether it is a re-entrant gate.
    pub(crate) fn is_reentrant(&self) -> bool {
        match self {
            Callable::Here(gate) => gate.options().is_reentrant(),
            Callable::Refused | Callable::Absent => false,
        }
    }

    /// The gate and the handler for a call of one half.
    #[inline]
    pub(crate) fn handler(&self, kind: CallKind) -> Result<(&Gate, &dyn ErasedHandler)> {
        let gate = match self {
            Callable::Here(gate) => gate,
            Callable::Absent => return Err(not_provided(kind)),
            Callable::Refused => return Err(not_granted()),
        };
        let handler = gate.handler(kind).ok_or_else(|| gate.no_handler(kind))?;
        Ok((gate, handler))
    }

    /// As `handler`, for a call in JSON.
    #[cold]
    pub(crate) fn json_handler(&self, kind: CallKind) -> Result<(&Gate, &dyn ErasedHandler)> {
        match self {
            Callable::Here(gate) => Ok((gate, gate.json_handler(kind)?)),
            Callable::Absent => Err(not_provided(kind)),
            Callable::Refused => Err(not_granted()),
        }
    }
}

/// A peer's grants, by index.
#[derive(Debug, Default)]
struct Granted {
    by_index: Vec<Option<Grant>>,
    latest: Latest,
}

/// A copy of what a peer may call, with the number of changes of its grants at that time.
pub(crate) struct Copied {
    pub(crate) changes: u64,
    /// By index.
    pub(crate) callable: Vec<Callable>,
}

/// The changes in what a peer may call.
pub(crate) struct Changed {
    pub(crate) changes: u64,
    /// The number of indexes now.
    pub(crate) len: usize,
    pub(crate) callable: Vec<(u16, Callable)>,
}

/// What the peer at the other end of a link may call, by the index in its calls.
#[derive(Debug)]
pub(crate) struct PeerGrants {
    link: Arc<Link>,
    grants: Mutex<Granted>,
    /// The answers to its calls, once the scheduler knows the link.
    answers: OnceLock<Arc<Answers>>,
}

impl PeerGrants {
    pub(super) fn new(link: Arc<Link>) -> PeerGrants {
        PeerGrants {
            link,
            grants: Mutex::default(),
            answers: OnceLock::new(),
        }
    }

    /// Notes where the peer's calls are answered.
    pub(super) fn answered_by(&self, answers: &Arc<Answers>) {
        let _ = self.answers.set(answers.clone());
    }

    /// The answers to its calls, if the scheduler knows the link.
    pub(super) fn answers(&self) -> Option<&Arc<Answers>> {
        self.answers.get()
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The gate that an index leads to.
    pub(super) fn gate(&self, index: u16) -> Option<Arc<str>> {
        let grants = self.grants.lock();
        let grant = grants.by_index.get(usize::from(index))?.as_ref();
        grant.map(|grant| grant.gate.clone())
    }

    /// Grants a gate to the peer, under an index.
    pub(super) fn grant(&self, index: u16, grant: Grant) {
        let mut grants = self.grants.lock();
        grants.latest.note(index);
        let (grants, index) = (&mut grants.by_index, usize::from(index));
        if grants.len() <= index {
            grants.resize(index + 1, None);
        }
        grants[index] = Some(grant);
    }

    /// Revokes grants by index.
    pub(super) fn revoke(&self, indexes: &[u16]) {
        let mut grants = self.grants.lock();
        for index in indexes {
            grants.latest.note(*index);
            if let Some(grant) = grants.by_index.get_mut(usize::from(*index)) {
                *grant = None;
            }
        }
        // Shortened, so that copies of the table are no longer than necessary.
        let last = grants.by_index.iter().rposition(Option::is_some);
        grants.by_index.truncate(last.map_or(0, |last| last + 1));
    }

    /// Revokes all grants of these gates.
    pub(super) fn revoke_gates(&self, gates: &[Arc<str>]) {
        let mut grants = self.grants.lock();
        for index in 0..grants.by_index.len() {
            let grant = &mut grants.by_index[index];
            if grant.take_if(|grant| gates.contains(&grant.gate)).is_some() {
                grants.latest.note(index as u16);
            }
        }
    }

    /// The gates that the peer may call.
    pub(crate) fn gates(&self) -> Vec<Arc<str>> {
        let grants = self.grants.lock();
        let granted = grants.by_index.iter().flatten();
        let granted = granted.map(|grant| grant.gate.clone());
        let gates: BTreeSet<Arc<str>> = granted.collect();
        gates.into_iter().collect()
    }

    /// For each index, whether the peer's gate there satisfies `holds`.
    pub(super) fn which(&self, holds: impl Fn(&str) -> bool) -> Vec<bool> {
        let grants = self.grants.lock();
        let of = |grant: &Option<Grant>| grant.as_ref().is_some_and(|grant| holds(&grant.gate));
        grants.by_index.iter().map(of).collect()
    }

    /// What the peer may call, by index; `look_up` finds the gates.
    pub(super) fn callable(&self, look_up: impl Fn(&Arc<str>) -> Option<Gate>) -> Copied {
        let grants = self.grants.lock();
        let all = grants.by_index.iter();
        let callable = all.map(|grant| Callable::behind(grant.as_ref(), &look_up));
        Copied {
            changes: grants.latest.changes(),
            callable: callable.collect(),
        }
    }

    /// What has changed since the given number of changes; `None` if that is not known any more.
    pub(super) fn changed(
        &self,
        changes: u64,
        look_up: impl Fn(&Arc<str>) -> Option<Gate>,
    ) -> Option<Changed> {
        let grants = self.grants.lock();
        let of = |index: u16| {
            let grant = grants.by_index.get(usize::from(index));
            let callable = Callable::behind(grant.and_then(Option::as_ref), &look_up);
            (index, callable)
        };
        Some(Changed {
            callable: grants.latest.since(changes)?.map(of).collect(),
            changes: grants.latest.changes(),
            len: grants.by_index.len(),
        })
    }

    /// What the peer may call under one index.
    pub(super) fn callable_as(
        &self,
        index: u16,
        look_up: impl Fn(&Arc<str>) -> Option<Gate>,
    ) -> Callable {
        let grants = self.grants.lock();
        let grant = grants.by_index.get(usize::from(index));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::erase;
    use crate::serve::offered::Types;
    use crate::serve::options::GateOptions;
    use callgate_layout::Encodings;
    use callgate_layout::control::Shape;

    fn gate(fingerprint: u128) -> Gate {
        gate_that_takes(Encodings::BOTH, fingerprint)
    }

    fn gate_that_takes(encodings: Encodings, fingerprint: u128) -> Gate {
        let shape = Shape {
            params: Some(1),
            fingerprint,
            encodings,
            signature: String::new(),
        };
        let half = Half {
            registration: 0,
            types: Arc::new(Types {
                shape,
                schema: Vec::new(),
            }),
            handler: erase(|n: u32| n),
            names: None,
            is_offered: true,
            is_lost: false,
        };
        let mut gate = Gate::new("A.B".into(), None, (GateOptions::new(), None));
        gate.function = Some(half);
        gate
    }

    /// A gate came back with other types. A call that was made for the old types was still in the ring, and its
    /// bytes were read as the new ones.
    #[test]
    fn an_index_never_leads_to_other_types() {
        let grant = |function| Grant {
            gate: "A.B".into(),
            function,
            action: Some(2),
            said: [None; 2],
        };
        let leads = |grant: Grant, now| grant.pin(gate(now)).handler(CallKind::Function).is_some();
        assert!(leads(grant(Some(1)), 1));
        assert!(!leads(grant(Some(1)), 2));
        assert!(!leads(grant(None), 2), "a half that nobody grant");
    }

    /// A gate was withdrawn whose owner also provides a prefix over it; the prefix has no gate of that name, but
    /// its handler was called under that name. In JSON that happened even if the predicate had said no.
    #[test]
    fn a_half_with_a_predicate_is_called_only_where_that_said_yes() {
        let leads = |said| {
            let mut gate = gate(1);
            if let Some(half) = &mut gate.function {
                half.names = Some(Arc::new(|_| true));
                half.registration = 7;
            }
            let grant = Grant {
                gate: "A.B".into(),
                function: Some(1),
                action: None,
                said: [said, None],
            };
            let callable = Callable::Here(grant.pin(gate));
            let json = callable.json_handler(CallKind::Function).is_ok();
            [json, callable.handler(CallKind::Function).is_ok()]
        };
        assert_eq!(leads(Some(7)), [true; 2]);
        assert_eq!(leads(Some(6)), [false; 2], "another one did");
        assert_eq!(leads(None), [false; 2]);
    }

    /// A caller with other types was refused as if the gate were absent; a handler that takes no JSON, or only
    /// JSON, got what it cannot read.
    #[test]
    fn json_leads_to_whatever_types_there_are_if_these_take_it() {
        let grant = Grant {
            gate: "A.B".into(),
            function: Some(1),
            action: None,
            said: [None; 2],
        };
        let outcomes = |fingerprint, takes| {
            let callable = Callable::Here(grant.pin(gate_that_takes(takes, fingerprint)));
            let code = |outcome: Result<_>| outcome.err().map(|error: Error| error.code());
            let archive = code(callable.handler(CallKind::Function).map(drop));
            (
                archive,
                code(callable.json_handler(CallKind::Function).map(drop)),
            )
        };
        let (absent, other) = (Some(Code::NotReady), Some(Code::TypeMismatch));
        assert_eq!(outcomes(1, Encodings::BOTH), (None, None));
        assert_eq!(outcomes(2, Encodings::BOTH), (absent, None));
        assert_eq!(outcomes(1, Encodings::ARCHIVE), (None, other));
        assert_eq!(outcomes(2, Encodings::ARCHIVE), (absent, other));
        assert_eq!(outcomes(1, Encodings::JSON), (other, None));
        let mut lost = gate(1);
        if let Some(half) = &mut lost.function {
            half.is_lost = true;
        }
        let lost = Callable::Here(grant.pin(lost));
        let refused = lost.json_handler(CallKind::Function).map(drop);
        assert_eq!(refused.map_err(|error| error.code()), Err(Code::NotReady));
    }
}
