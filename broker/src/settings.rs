//! Settings of a broker: limits, deadlines, policies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use callgate_layout::Geometry;
use callgate_layout::control::PluginLimits;

use crate::policy::Policies;

/// How much of everything a bus may have, and each plugin on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusLimits {
    /// Gates that a plugin provides, plus topics on which it sends.
    pub gates: u32,
    /// Gates that a plugin has open, plus its subscriptions.
    pub opens: u32,
    /// Links of a plugin.
    pub links: u32,
    /// MiB of extents, for payloads that do not fit an outbox, and of rings of events that a plugin writes. An extent that was returned
    /// counts until neither the plugin nor its peer has it mapped or open any more.
    pub extent_mib: u32,
    /// MiB of extents of all plugins together. Memory that plugins left behind when they ended counts as long as some process holds it.
    pub bus_extent_mib: u32,
    /// MiB of the schemas of what a plugin provides. Equal schemas count once.
    pub schema_mib: u32,
    /// MiB of shares of a plugin: the newest versions that it has made, and older ones that it still uses.
    pub share_mib: u32,
    /// MiB of shares of all plugins together. A version that no plugin uses any more counts as long as some process holds its memory.
    pub bus_share_mib: u32,
    /// MiB of the files of persistent shares of all plugins together.
    pub persistent_mib: u32,
    /// Shares and cells that a plugin uses, makes, waits for and watches.
    pub shares: u32,
    /// Connections at once.
    pub connections: u32,
    /// Connections over the socket at once from one process.
    pub connections_per_process: u32,
    /// Control requests a second that a plugin may make in the long run. Not counted are those with which it comes back to a new broker,
    /// and those by which it has more gates open than ever before on its connection.
    pub requests_per_second: u32,
    /// Control requests that a plugin may make at once after a quiet time.
    pub request_burst: u32,
    /// Records that may wait for a plugin to read them. Should not be less than the gates that a plugin may have open: when the provider of
    /// all of these ends, the plugin is sent a record for each at once, and would lose its session.
    pub queued_records: usize,
    /// The layout of outboxes.
    pub geometry: Geometry,
}

impl Default for BusLimits {
    fn default() -> BusLimits {
        BusLimits {
            gates: 1024,
            opens: 4096,
            links: 1024,
            extent_mib: 256,
            bus_extent_mib: 4096,
            schema_mib: 8,
            share_mib: 2048,
            bus_share_mib: 8192,
            persistent_mib: 4096,
            shares: 4096,
            connections: 4096,
            connections_per_process: 256,
            requests_per_second: 4096,
            request_burst: 8192,
            queued_records: 8192,
            geometry: Geometry::DEFAULT,
        }
    }
}

impl BusLimits {
    /// The part of these limits that plugins are told.
    pub(crate) fn for_plugins(&self) -> PluginLimits {
        PluginLimits {
            gates: self.gates,
            opens: self.opens,
            links: self.links,
            extent_mib: self.extent_mib,
            schema_mib: self.schema_mib,
            share_mib: self.share_mib,
            shares: self.shares,
        }
    }
}

/// The settings that the broker's thread uses.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) limits: BusLimits,
    pub(crate) step_deadline: Duration,
    pub(crate) stop_grace: Duration,
    pub(crate) policies: Policies,
    /// The soft limit of descriptors that spawned plugins begin with, if this process's own was raised.
    pub(crate) children_soft: Option<u64>,
    pub(crate) signs_of_life: Option<SignsOfLife>,
}

/// The shortest time between two signs of life; more of them would be useless work.
const LEAST_BETWEEN_SIGNS: Duration = Duration::from_millis(10);

/// The function that the broker's thread calls while it serves, so that a watchdog hears that it does.
#[derive(Clone)]
pub(crate) struct SignsOfLife {
    pub(crate) every: Duration,
    say: Arc<dyn Fn(usize) + Send + Sync>,
}

impl SignsOfLife {
    pub(crate) fn new(every: Duration, say: impl Fn(usize) + Send + Sync + 'static) -> SignsOfLife {
        SignsOfLife {
            every: every.max(LEAST_BETWEEN_SIGNS),
            say: Arc::new(say),
        }
    }

    /// Gives one sign of life, with the number of plugins.
    pub(crate) fn say(&self, plugins: usize) {
        (self.say)(plugins);
    }
}

impl fmt::Debug for SignsOfLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignsOfLife")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}
