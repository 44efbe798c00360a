//! Watching a gate come and go.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::{self, Bus};
use crate::error::Result;
use crate::opened::Opened;

/// How a watched gate stood at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GateEvent {
    /// The plugin that provides it; `None` when nobody does.
    pub owner: Option<String>,
    /// Which of the gate's lives this is: a number that is larger each time somebody begins to
    /// provide a gate that nobody provided. For a gate that is gone, the life that ended; 0 if
    /// there was none since the watch began.
    pub generation: u64,
    /// Whether it has a function, whatever its types.
    pub has_function: bool,
    /// Whether it has an action, whatever its types.
    pub has_action: bool,
}

impl GateEvent {
    /// Whether somebody provides the gate.
    pub fn is_present(&self) -> bool {
        self.owner.is_some()
    }
}

/// A gate's coming and going, in order.
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
    bus: Arc<Bus>,
    number: u32,
    opened: Arc<Opened>,
}

impl Watch {
    pub(crate) fn new(bus: Arc<Bus>, number: u32, opened: Arc<Opened>) -> Watch {
        Watch {
            bus,
            number,
            opened,
        }
    }

    /// The gate's name.
    pub fn gate(&self) -> &str {
        self.opened.gate()
    }

    /// The next change, waiting for it at most so long; `None` when there was none. The first one
    /// is how the gate stood when the watch began.
    ///
    /// Up to 64 changes are kept for a watcher that does not look. Beyond them the oldest are
    /// lost, which the generations show.
    ///
    /// # Errors
    ///
    /// `BROKER_GONE` when nobody is left who could tell of a change, `CLOSED` when this plugin has
    /// closed; after all changes that were known before.
    pub fn next(&self, timeout: Duration) -> Result<Option<GateEvent>> {
        self.bus.check_here()?;
        self.opened.next_event(bus::deadline(timeout))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.bus.is_here() {
            self.bus.close_opened(self.number);
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
