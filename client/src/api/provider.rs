//! The handle of a provided gate.

use std::sync::Arc;

use callgate_layout::control::GateToBroker;
use callgate_layout::envelope::CallKind;

use crate::session::plugin_state::PluginState;

/// One half of a gate, function or action, for as long as this handle lives.
///
/// Dropping it withdraws that half: calls that begin when the drop has returned, wherever, are
/// [`NOT_READY`](crate::Code::NotReady), waits for it find it gone, and another plugin can provide the gate. For
/// that it waits for the broker, one round trip; 5 s at most, where the broker is stopped. A call that is
/// being handled is finished, and not waited for.
#[must_use = "dropping a provider withdraws its gate at once; `keep` it for as long as the plugin lives"]
pub struct Provider {
    pub(crate) state: Arc<PluginState>,
    pub(crate) gate: Arc<str>,
    pub(crate) kind: CallKind,
    pub(crate) registration: u64,
    pub(crate) keep: bool,
}

impl Provider {
    /// The gate's name.
    pub fn gate(&self) -> &str {
        &self.gate
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
        let _gone = self
            .state
            .provided
            .remove(&self.gate, self.kind, self.registration);
        let withdraw = |request| {
            let (gate, kind) = (self.gate.to_string(), self.kind);
            let withdraw = GateToBroker::Withdraw {
                request,
                gate,
                kind,
            };
            withdraw.into()
        };
        // A broker that is gone has forgotten the gate anyway, and one that is late hears of it later.
        let connection = &self.state.connection;
        let _ = match connection.is_control_thread() {
            // It cannot wait for what it hears itself.
            true => connection.send(&withdraw(connection.next_number())),
            // Then whoever is told by this plugin that the gate is gone finds it so at the broker.
            false => connection.request(withdraw).map(drop),
        };
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("gate", &self.gate)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
