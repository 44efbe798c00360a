//! The handle of a provided gate.

use std::sync::Arc;

use crate::base::deadline::answer_due;
use crate::serve::provided::Offer;
use crate::session::connection::REQUEST_TIMEOUT;
use crate::session::plugin_state::PluginState;

/// One half of a gate, its function or its action. The half is provided for as long as this handle lives.
///
/// Dropping the handle withdraws the half. Once the drop has returned, new calls fail with
/// [`NOT_READY`](crate::Code::NotReady) in every process, threads that wait for the gate see that it is absent, and
/// another plugin can provide it. To that end the drop waits for the broker's answer: one round trip, or at most 5
/// s if the broker is stopped; when several handles are dropped then, only the first of them waits. The drop does
/// not wait for a call that is being handled; that call is finished.
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
        // Dropped at the end of this function: a value that the handler has captured may panic in its own drop.
        let _gone = self.state.provided.remove(&self.offer);
        // The broker answers before this returns, so whoever learns from this plugin that the gate is gone finds it
        // gone at the broker too. A broker that has ended has forgotten the gate anyway; a slow one reads the
        // record later.
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
