//! Why nobody provides a gate, as the broker says.

use std::sync::Arc;

use super::{OpenGate, State};
use crate::base::error::Error;
use crate::base::thread::discard;

impl OpenGate {
    /// Whether the broker is to be asked why nobody provides the gate: nobody does as far as this plugin knows, and no such question is on its
    /// way. Where it is, one is on its way from here on.
    pub(in crate::session) fn asks_why(&self) -> bool {
        let mut progress = self.progress.lock();
        let asks = self.state().is_absent() && !progress.is_why_asked;
        progress.is_why_asked |= asks;
        asks
    }

    /// The question could not be sent, so that it has to be asked again. What was known stays known.
    pub(in crate::session) fn has_not_asked_why(&self) {
        self.progress.lock().is_why_asked = false;
    }

    /// The broker says why nobody provides the gate; nothing, where it does not know. Calls that fail from here on are told.
    pub(in crate::session) fn explain(&self, why: Option<Error>) {
        // Held across look and change, as in `lose`.
        let (mut progress, mut old) = (self.progress.lock(), None);
        progress.is_why_asked = false;
        let state = self.state();
        if state.is_absent() && (why.is_some() || state.why.is_some()) {
            let explained = State {
                why,
                ..State::clone(&state)
            };
            old = Some(self.state.swap(Arc::new(explained)));
        }
        drop((state, progress));
        discard(old);
    }
}

impl State {
    /// Whether nobody provides the gate, and nothing else is known to keep it from being called.
    fn is_absent(&self) -> bool {
        self.owner.is_none() && self.refused.is_none() && !self.is_closed
    }
}
