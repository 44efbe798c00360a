//! The state of a gate, and the errors of calls that cannot be made.

use std::sync::Arc;

use callgate_layout::control::GateState;
use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encoding, Signature};

use super::Half;
use super::nobody::{NOBODY, nobody};
use crate::base::error::{Error, Result};
use crate::call::in_process::Local;
use crate::call::target::Destination;
use crate::link::Link;
use crate::session::numbers::MembershipId;
use crate::session::verdict::{Verdict, Verdicts};
use crate::session::wanted::Wanted;

/// The way to a gate's provider.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) link: Arc<Link>,
    pub(crate) index: u16,
    /// The provider, if it is in this process.
    pub(crate) local: Option<Local>,
}

impl Way {
    /// Where a call of this kind goes.
    #[inline]
    pub(crate) fn destination(&self, kind: CallKind, deadline: u64) -> Destination<'_> {
        Destination {
            link: &self.link,
            index: self.index,
            kind,
            deadline,
        }
    }

    /// The error if the provider's process has ended, and the control thread has not read the news yet.
    pub(super) fn ended(&self) -> Option<Error> {
        let (link, peer) = (&self.link, self.link.peer());
        link.has_peer_ended().then(|| {
            let text = format!("plugin `{}` (pid {}) has ended", peer.name(), peer.pid());
            Error::new(Code::NotReady, text)
        })
    }
}

/// The state of a gate. Each change replaces all of it, so that calls take no lock.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The membership whose broker sent this state; none before the first answer.
    pub(super) by: MembershipId,
    pub(super) owner: Option<String>,
    /// Which of the gate's lives this is; 0 while nobody provides it.
    pub(super) generation: u64,
    pub(super) function: Half,
    pub(super) action: Half,
    /// The types of both halves that the provider declares, for halves for which this plugin has no types of its own.
    pub(super) described: [Option<Arc<Signature>>; 2],
    pub(crate) way: Option<Way>,
    /// Why it cannot be called, if the broker refuses or the session has ended.
    pub(super) refused: Option<Error>,
    /// Why nobody provides it, if the broker has said so.
    pub(super) why: Option<Error>,
    /// Whether this plugin itself has closed.
    pub(super) is_closed: bool,
}

impl State {
    /// Combines the answer of a membership's broker, the types that this plugin wants of both halves, and the results
    /// of comparing types.
    pub(super) fn new(
        by: MembershipId,
        said: GateState,
        (wanted, verdicts): (&[Wanted; 2], Verdicts),
        way: Option<Way>,
    ) -> State {
        let GateState {
            owner,
            generation,
            function,
            action,
            ..
        } = said;
        let name = owner.as_deref().unwrap_or("nobody");
        let [for_function, for_action] = wanted.each_ref().map(|wanted| wanted.shape.encodings);
        let described = verdicts.each_ref().map(|verdict| match verdict {
            Some(Verdict::Untyped(provided)) => Some(provided.clone()),
            _ => None,
        });
        let [of_function, of_action] = verdicts;
        State {
            by,
            described,
            function: Half::new((name, function), of_function, for_function),
            action: Half::new((name, action), of_action, for_action),
            owner,
            generation,
            way,
            refused: None,
            why: None,
            is_closed: false,
        }
    }

    pub(super) fn absent() -> State {
        State {
            by: MembershipId::default(),
            owner: None,
            generation: 0,
            function: Half::Absent,
            action: Half::Absent,
            described: [None, None],
            way: None,
            refused: None,
            why: None,
            is_closed: false,
        }
    }

    /// Whether this state stays in use although the broker of another membership says that nobody provides the gate,
    /// or one half of it. The provider may come back later than this plugin, and provides one half after the other.
    /// Meanwhile their link works.
    pub(super) fn outlasts(&self, next: &State) -> bool {
        let is_alive = self.way.as_ref().is_none_or(|way| !way.link.is_gone());
        self.owner.is_some() && self.by != next.by && is_alive && next.is_less_than(self)
    }

    /// Whether this state is from an older broker, and has no way any more: the provider may still come to the bus of
    /// this membership.
    pub(super) fn is_awaited(&self, by: MembershipId) -> bool {
        self.owner.is_some() && self.by != by && self.way.is_none()
    }

    /// Whether this is the other state before its provider has provided all of it again.
    fn is_less_than(&self, other: &State) -> bool {
        let lacks = |kind| other.has(kind) && !self.has(kind);
        let is_half = || lacks(CallKind::Function) || lacks(CallKind::Action);
        self.owner.is_none() || self.generation == other.generation && is_half()
    }

    /// Whether the gate is gone when this link ends, which belongs to this membership.
    pub(super) fn is_lost_with(&self, link: &Arc<Link>, by: MembershipId) -> bool {
        match &self.way {
            Some(way) => Arc::ptr_eq(&way.link, link),
            // A plugin that only watches, or has other types, has no way. The ended provider is still the gate's.
            None => {
                let is_its = self.by == by && self.owner() == Some(link.peer().name());
                is_its && link.has_peer_ended()
            }
        }
    }

    pub(super) fn is_mismatch(&self) -> bool {
        let mut halves = [&self.function, &self.action].into_iter();
        halves.any(|half| half.mismatch().is_some())
    }

    /// Whether a half is called as JSON.
    pub(crate) fn is_converted(&self) -> bool {
        let mut halves = [&self.function, &self.action].into_iter();
        halves.any(|half| matches!(half, Half::Ready(Encoding::Json)))
    }

    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    pub(crate) fn has(&self, kind: CallKind) -> bool {
        !matches!(self.half(kind), Half::Absent)
    }

    /// The types of one half that the provider declares, if this plugin has none of its own for it and they differ.
    #[inline]
    pub(crate) fn described(&self, kind: CallKind) -> Option<&Arc<Signature>> {
        let [function, action] = &self.described;
        match kind {
            CallKind::Function => function.as_ref(),
            CallKind::Action => action.as_ref(),
        }
    }

    /// The types of one half. `wanted` are this plugin's own.
    pub(crate) fn signature(
        &self,
        (wanted, kind): (&Wanted, CallKind),
        gate: &Arc<str>,
    ) -> Result<Arc<Signature>> {
        match (self.described(kind), self.half(kind)) {
            (Some(described), _) => Ok(described.clone()),
            // Both sides have the same types.
            (None, Half::Ready(_)) => Ok(wanted.signature.clone()),
            (None, half) => Err(self.error(half, name(kind), gate)),
        }
    }

    fn half(&self, kind: CallKind) -> &Half {
        match kind {
            CallKind::Function => &self.function,
            CallKind::Action => &self.action,
        }
    }

    /// The way of a call of this kind as an archive; `None` if the call is made as JSON or cannot be made.
    #[inline]
    pub(crate) fn way_of_archives(&self, kind: CallKind) -> Option<&Way> {
        match self.half(kind) {
            Half::Ready(Encoding::Archive) => self.way.as_ref(),
            _ => None,
        }
    }

    /// The way of a call of this kind, and its encoding.
    pub(crate) fn way(&self, kind: CallKind, gate: &Arc<str>) -> Result<(&Way, Encoding)> {
        match (self.half(kind), &self.way) {
            (Half::Ready(encoding), Some(way)) => Ok((way, *encoding)),
            (half, _) => Err(self.error(half, name(kind), gate)),
        }
    }

    /// The way of a call whose bytes are already written.
    #[inline]
    pub(crate) fn way_in(
        &self,
        encoding: Encoding,
        (kind, gate): (CallKind, &Arc<str>),
    ) -> Result<&Way> {
        match (self.half(kind), &self.way) {
            (Half::Ready(ready), Some(way)) if *ready == encoding => Ok(way),
            (half, _) => Err(self.error(half, name(kind), gate)),
        }
    }

    #[cold]
    pub(super) fn error(&self, half: &Half, what: &str, gate: &Arc<str>) -> Error {
        if let Some(refused) = &self.refused {
            return refused.clone().at_gate(gate.clone());
        }
        let error = match half {
            _ if self.is_closed => Error::new(Code::Closed, "this plugin has closed"),
            Half::Refused(error) => error.clone(),
            Half::Ready(encoding) if self.way.is_some() => {
                let text =
                    format!("the gate takes {encoding:?} now, and this call is written otherwise");
                Error::new(Code::TypeMismatch, text)
            }
            Half::Absent | Half::Ready(_) => match &self.owner {
                Some(owner) => {
                    let text = format!("plugin `{owner}` provides no {what} here");
                    Error::new(Code::NotReady, text)
                }
                None => nobody(NOBODY, self.why.as_ref()),
            },
        };
        error.at_gate(gate.clone())
    }
}

fn name(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Function => "function",
        CallKind::Action => "action",
    }
}
