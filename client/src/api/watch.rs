//! Watching a gate come and go.

use std::sync::Arc;
use std::time::Duration;

use crate::base::deadline::instant_after;
use crate::base::error::Result;
use crate::session::open_gate::{GateEvent, OpenGate};
use crate::session::plugin_state::PluginState;

/// Reports in order when a gate's provider comes and goes.
///
/// ```no_run
/// use callgate_client::Plugin;
/// use std::time::Duration;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Launcher")?;
/// let watch = plugin.watch("Rack.Filter")?;
/// while let Some(event) = watch.next(Duration::from_secs(60))? {
///     match &event.owner {
///         Some(owner) => println!("{owner} provides it (life {})", event.generation),
///         None => println!("nobody provides it"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Watch {
    state: Arc<PluginState>,
    pub(super) number: u32,
    pub(super) gate: Arc<OpenGate>,
}

impl Watch {
    pub(crate) fn new(state: Arc<PluginState>, number: u32, gate: Arc<OpenGate>) -> Watch {
        Watch {
            state,
            number,
            gate,
        }
    }

    /// The gate's name.
    pub fn gate(&self) -> &str {
        self.gate.name()
    }

    /// Returns the next change; waits for it for `timeout` at most. `None` if there was none. The first change is
    /// the state of the gate when the watch began.
    ///
    /// Up to 64 changes are kept until they are taken. Beyond that the oldest are dropped, which shows in the
    /// generations.
    ///
    /// # Errors
    ///
    /// Each only after all changes that were known before. `BROKER_GONE` when there will be no broker any more that
    /// could report a change (while a broker is only away, the watch goes on). `PERMISSION_DENIED` while the plugin
    /// may not watch the gate; when it may again, for example at a later broker, changes are reported again.
    /// `CLOSED` when this plugin has closed.
    pub fn next(&self, timeout: Duration) -> Result<Option<GateEvent>> {
        self.state.check_here()?;
        self.gate.next_event(instant_after(timeout))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.state.is_here() {
            self.state.close_gate(self.number);
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("gate", &self.gate())
            .finish_non_exhaustive()
    }
}
