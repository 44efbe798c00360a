//! The handle of a provided gate.

use std::sync::Arc;

use crate::base::deadline::answer_due;
use crate::serve::provided::Offer;
use crate::session::connection::REQUEST_TIMEOUT;
use crate::session::plugin_state::PluginState;

/// One half of a gate, function or action, for as long as this handle lives.
///
/// Dropping it withdraws that half: calls that begin when the drop has returned, wherever, are
/// [`NOT_READY`](crate::Code::NotReady), waits for it find it gone, and another plugin can provide the gate. For
/// that it waits for the broker, one round trip; 5 s at most, where the broker is stopped, and only the first of
/// several that are dropped then. A call that is being handled is finished, and not waited for.
#[must_use = "dropping a provider withdraws its gate at once; `keep` it for as long as the plugin lives"]
pub struct Provider {
    pub(crate) state: Arc<PluginState>,
    pub(crate) offer: Offer,
    pub(crate) keep: bool,
}

impl Provider {
    /// The gate's name.
    pub fn gate(&self) -> &str {
        &self.offer.gate
    }

    /// Leaves the gate in place for as long as the plugin lives.
    pub fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if self.keep || !self.state.is_here() {
            return;
        }
        // Dropped last: what the handler has captured may panic.
        let _gone = self.state.provided.remove(&self.offer);
        // Then whoever is told by this plugin that the gate is gone finds it so at the broker. One that is gone
        // has forgotten the gate anyway, and one that is late hears of it later.
        let Offer { gate, kind, .. } = &self.offer;
        self.state
            .withdraw(gate, *kind, answer_due(REQUEST_TIMEOUT));
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("gate", &self.offer.gate)
            .field("kind", &self.offer.kind)
            .finish_non_exhaustive()
    }
}
