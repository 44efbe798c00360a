//! How a gate stands, and what calls are told that cannot be made.

use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::control::FaceState;
use callgate_layout::envelope::Face;

use crate::error::{Error, Result};
use crate::link::Link;
use crate::local::Local;

/// The way to a gate's provider.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) link: Arc<Link>,
    pub(crate) index: u16,
    /// The provider, where it is in this process.
    pub(crate) local: Option<Local>,
}

impl Way {
    /// That the provider's process has ended, where that is so and the news of it is still to be
    /// read by the control thread.
    pub(super) fn ended(&self) -> Option<Error> {
        let (link, peer) = (&self.link, self.link.peer());
        link.has_peer_ended().then(|| {
            let text = format!("plugin {} (process {}) has ended", peer.name(), peer.pid());
            Error::new(Code::NotReady, text)
        })
    }
}

/// How a gate stands; replaced whole when anything changes, so that calls take no lock.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(super) owner: Option<String>,
    /// Which of the gate's lives this is; 0 while nobody provides it.
    pub(super) generation: u64,
    pub(super) function: FaceState,
    pub(super) action: FaceState,
    pub(super) way: Option<Way>,
    /// Why it cannot be called, where the broker or the end of the session says so.
    pub(super) refused: Option<Error>,
    /// Whether this plugin itself has closed.
    pub(super) is_closed: bool,
}

impl Standing {
    pub(super) fn absent() -> Standing {
        Standing {
            owner: None,
            generation: 0,
            function: FaceState::Absent,
            action: FaceState::Absent,
            way: None,
            refused: None,
            is_closed: false,
        }
    }

    pub(super) fn is_mismatch(&self) -> bool {
        let good = [&FaceState::Absent, &FaceState::Ready];
        [&self.function, &self.action]
            .into_iter()
            .any(|face| !good.contains(&face))
    }

    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    pub(crate) fn has(&self, face: Face) -> bool {
        *self.face(face) != FaceState::Absent
    }

    fn face(&self, face: Face) -> &FaceState {
        match face {
            Face::Function => &self.function,
            Face::Action => &self.action,
        }
    }

    /// The way that a call of this face takes.
    #[inline]
    pub(crate) fn way(&self, face: Face, gate: &Arc<str>) -> Result<&Way> {
        match (self.face(face), &self.way) {
            (FaceState::Ready, Some(way)) => Ok(way),
            (state, _) => Err(self.error(state, name(face), gate)),
        }
    }

    #[cold]
    pub(super) fn error(&self, state: &FaceState, what: &str, gate: &Arc<str>) -> Error {
        if let Some(refused) = &self.refused {
            return refused.clone().at_gate(gate.clone());
        }
        let owner = self.owner.as_deref().unwrap_or("nobody");
        let error = match state {
            _ if self.is_closed => Error::new(Code::Closed, "this plugin has closed"),
            FaceState::Absent | FaceState::Ready => {
                let text = match &self.owner {
                    Some(owner) => format!("plugin {owner} provides no {what} here"),
                    None => "nobody provides the gate now".to_owned(),
                };
                Error::new(Code::NotReady, text)
            }
            FaceState::LengthMismatch { signature } => Error::new(
                Code::LengthMismatch,
                format!("plugin {owner} provides {signature}, with another number of parameters"),
            ),
            FaceState::TypeMismatch { signature } => Error::new(
                Code::TypeMismatch,
                format!(
                    "plugin {owner} provides {signature}, which differs in types, field names or their order"
                ),
            ),
        };
        error.at_gate(gate.clone())
    }
}

fn name(face: Face) -> &'static str {
    match face {
        Face::Function => "function",
        Face::Action => "action",
    }
}
