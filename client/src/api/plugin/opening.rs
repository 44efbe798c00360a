//! Opening gates without waiting for the broker's first news of them.

use std::sync::Arc;

use callgate_layout::{Encodings, Signature};

use super::{Plugin, check_gate};
use crate::api::shared::Shared;
use crate::api::subscriber::Subscriber;
use crate::api::watch::Watch;
use crate::base::backoff::Backoff;
use crate::base::error::Result;
use crate::base::types::{Arguments, GateType, action_signature_of, signature_of};
use crate::call::target::Origin;
use crate::session::open_gate::OpenGate;
use crate::session::plugin_state::PluginState;
use crate::session::wanted::Wanted;

impl Plugin {
    /// Opens a gate as [`Plugin::subscriber`] does, but waits neither for the broker nor for a provider that does
    /// not answer. Meant for threads that must not wait.
    ///
    /// Until the broker has told the state of the gate, the gate counts as absent:
    /// [`has_function`](Subscriber::has_function) is `false`, and [`wait_ready`](Subscriber::wait_ready) waits for
    /// the broker. A call waits for the broker until its own deadline.
    ///
    /// ```no_run
    /// use callgate_client::Plugin;
    ///
    /// # fn main() -> callgate_client::Result<()> {
    /// let plugin = Plugin::connect("Mixer")?;
    /// let add = plugin.subscriber_later::<(u32, u32), u32>("Calculator.Add")?; // returns at once
    /// assert_eq!(add.invoke((2, 3))?, 5); // waits
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a name that is not allowed; `CLOSED`; `BROKER_GONE` if there will be no broker any
    /// more. If there is no broker now, the next one is asked. If the broker refuses to open the gate, calls and
    /// `wait_ready` return its reason.
    pub fn subscriber_later<A: Arguments, R: GateType>(
        &self,
        gate: &str,
    ) -> Result<Subscriber<A, R>> {
        let signatures = [signature_of::<A, R>(), action_signature_of::<A>()];
        let shared = self.open_later(gate, signatures, self.state.encodings)?;
        Ok(Subscriber::new(shared))
    }

    /// Watches a gate as [`Plugin::watch`] does, but does not wait for the broker; the broker's first news is the
    /// first change.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use callgate_client::Plugin;
    ///
    /// # fn main() -> callgate_client::Result<()> {
    /// let plugin = Plugin::connect("Launcher")?;
    /// let watch = plugin.watch_later("Rack.Filter")?; // returns at once
    /// println!("{:?}", watch.next(Duration::from_secs(1))?); // waits
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Plugin::subscriber_later`].
    pub fn watch_later(&self, gate: &str) -> Result<Watch> {
        let watch = begin_to_watch(&self.state, gate)?;
        self.state.open_later(&watch.gate, watch.number)?;
        Ok(watch)
    }

    /// As [`Plugin::open`], without waiting for the broker's news of the gate.
    pub(crate) fn open_later(
        &self,
        gate: &str,
        signatures: [Signature; 2],
        encodings: Encodings,
    ) -> Result<Shared> {
        let shared = begin(&self.state, gate, signatures, encodings)?;
        self.state.open_later(&shared.gate, shared.number)?;
        Ok(shared)
    }
}

/// Prepares a gate that the broker has not been asked about yet. Dropping it closes the gate.
pub(super) fn begin(
    state: &Arc<PluginState>,
    gate: &str,
    [function, action]: [Signature; 2],
    encodings: Encodings,
) -> Result<Shared> {
    check_gate(gate)?;
    let wanted = |signature| {
        let wanted = Wanted::new(signature, encodings);
        wanted.map_err(|error| error.at_gate(gate))
    };
    let wanted = [wanted(function)?, wanted(action)?];
    let gate = Arc::new(OpenGate::new(gate.into(), wanted));
    let number = state.add_open_gate(&gate);
    let origin = Origin {
        gate: gate.name().clone(),
        backoff: Backoff::new(state.policy),
        reporter: state.clone(),
    };
    Ok(Shared {
        state: state.clone(),
        number,
        gate,
        origin,
    })
}

/// Prepares a gate to be watched.
pub(super) fn begin_to_watch(state: &Arc<PluginState>, gate: &str) -> Result<Watch> {
    check_gate(gate)?;
    let gate = Arc::new(OpenGate::new(gate.into(), Wanted::nothing()?));
    gate.watch();
    let number = state.add_open_gate(&gate);
    Ok(Watch::new(state.clone(), number, gate))
}
