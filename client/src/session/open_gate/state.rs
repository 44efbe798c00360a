//! How a gate stands, and what calls are told that cannot be made.

use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::Encoding;
use callgate_layout::control::Availability;
use callgate_layout::envelope::CallKind;

use crate::base::error::{Error, Result};
use crate::call::in_process::Local;
use crate::call::target::Destination;
use crate::link::Link;
use crate::session::numbers::MembershipId;

/// The way to a gate's provider.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) link: Arc<Link>,
    pub(crate) index: u16,
    /// The provider, where it is in this process.
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

    /// That the provider's process has ended, where that is so and the news of it is still to be
    /// read by the control thread.
    pub(super) fn ended(&self) -> Option<Error> {
        let (link, peer) = (&self.link, self.link.peer());
        link.has_peer_ended().then(|| {
            let text = format!("plugin `{}` (pid {}) has ended", peer.name(), peer.pid());
            Error::new(Code::NotReady, text)
        })
    }
}

/// How a gate stands; replaced whole when anything changes, so that calls take no lock.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The membership whose broker has said so; none before any has.
    pub(super) by: MembershipId,
    pub(super) owner: Option<String>,
    /// Which of the gate's lives this is; 0 while nobody provides it.
    pub(super) generation: u64,
    pub(super) function: Availability,
    pub(super) action: Availability,
    pub(crate) way: Option<Way>,
    /// Why it cannot be called, where the broker or the end of the session says so.
    pub(super) refused: Option<Error>,
    /// Whether this plugin itself has closed.
    pub(super) is_closed: bool,
}

/// How a half stands that can be called.
pub(super) const READY: Availability = Availability::Ready {
    encoding: Encoding::Archive,
};

impl State {
    pub(super) fn absent() -> State {
        State {
            by: MembershipId::default(),
            owner: None,
            generation: 0,
            function: Availability::Absent,
            action: Availability::Absent,
            way: None,
            refused: None,
            is_closed: false,
        }
    }

    /// Whether this goes on while the broker of another membership says that nobody provides the gate, or one half of it:
    /// its provider may come back later than this plugin, and says one half after the other, and their link goes
    /// on.
    pub(super) fn outlasts(&self, next: &State) -> bool {
        let is_alive = self.way.as_ref().is_none_or(|way| !way.link.is_gone());
        self.owner.is_some() && self.by != next.by && is_alive && next.is_less_than(self)
    }

    /// Whether an older broker has said this, and there is no way any more: the provider may yet come to the bus of this
    /// membership.
    pub(super) fn is_awaited(&self, by: MembershipId) -> bool {
        self.owner.is_some() && self.by != by && self.way.is_none()
    }

    /// Whether this is the other state before its provider has provided all of it again.
    fn is_less_than(&self, other: &State) -> bool {
        let lacks = |kind| other.has(kind) && !self.has(kind);
        let is_half = || lacks(CallKind::Function) || lacks(CallKind::Action);
        self.owner.is_none() || self.generation == other.generation && is_half()
    }

    /// Whether the gate is gone when a link is that is one of this membership.
    pub(super) fn is_lost_with(&self, link: &Arc<Link>, by: MembershipId) -> bool {
        match &self.way {
            Some(way) => Arc::ptr_eq(&way.link, link),
            // Who only watches, or has other types, has no way; still it is the provider that has ended.
            None => {
                let is_its = self.by == by && self.owner() == Some(link.peer().name());
                is_its && link.has_peer_ended()
            }
        }
    }

    pub(super) fn is_mismatch(&self) -> bool {
        let good = [&Availability::Absent, &READY];
        [&self.function, &self.action]
            .into_iter()
            .any(|kind| !good.contains(&kind))
    }

    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    pub(crate) fn has(&self, kind: CallKind) -> bool {
        *self.kind(kind) != Availability::Absent
    }

    fn kind(&self, kind: CallKind) -> &Availability {
        match kind {
            CallKind::Function => &self.function,
            CallKind::Action => &self.action,
        }
    }

    /// The way that a call of this kind takes.
    #[inline]
    pub(crate) fn way(&self, kind: CallKind, gate: &Arc<str>) -> Result<&Way> {
        match (self.kind(kind), &self.way) {
            (&READY, Some(way)) => Ok(way),
            (state, _) => Err(self.error(state, name(kind), gate)),
        }
    }

    #[cold]
    pub(super) fn error(&self, state: &Availability, what: &str, gate: &Arc<str>) -> Error {
        if let Some(refused) = &self.refused {
            return refused.clone().at_gate(gate.clone());
        }
        let owner = self.owner.as_deref().unwrap_or("nobody");
        let error = match state {
            _ if self.is_closed => Error::new(Code::Closed, "this plugin has closed"),
            &Availability::Absent | &READY => {
                let text = match &self.owner {
                    Some(owner) => format!("plugin `{owner}` provides no {what} here"),
                    None => "nobody provides the gate now".to_owned(),
                };
                Error::new(Code::NotReady, text)
            }
            Availability::LengthMismatch { signature } => Error::new(
                Code::LengthMismatch,
                format!("plugin `{owner}` provides {signature}, with another number of parameters"),
            ),
            Availability::Ready { .. } => Error::new(
                Code::TypeMismatch,
                format!("plugin `{owner}` takes no archives"),
            ),
            Availability::NoEncoding { signature, takes } => Error::new(
                Code::TypeMismatch,
                format!(
                    "plugin `{owner}` provides {signature}, and takes {}",
                    takes.as_str()
                ),
            ),
            Availability::Differs { signature, .. } => Error::new(
                Code::TypeMismatch,
                format!(
                    "plugin `{owner}` provides {signature}, which differs in types, field names or their order"
                ),
            ),
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
