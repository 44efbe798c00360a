//! The broker's reasons why nobody provides a gate.

use std::sync::Arc;

use super::{OpenGate, State};
use crate::base::error::Error;
use crate::base::thread::discard;

impl OpenGate {
    /// Whether to ask the broker why nobody provides the gate: as far as this plugin knows nobody does, and no such
    /// question is under way. If it returns true, the caller must send the question.
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

    /// Sets the broker's reason why nobody provides the gate; `None` if the broker knows none. Calls that fail from
    /// now on name it.
    pub(in crate::session) fn explain(&self, why: Option<Error>) {
        // The lock is held while the state is read and changed, as in `lose`.
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
    /// Whether nobody provides the gate, and no other reason is known why it cannot be called.
    fn is_absent(&self) -> bool {
        self.owner.is_none() && self.refused.is_none() && !self.is_closed
    }
}
